import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ConfiguredWebhook } from '../../src/config/types.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { registerProcess } from '../../src/outbox/queue/heartbeat.ts';
import { EndedClaims } from '../../src/outbox/webhook/ended-claims.ts';
import { isOutdated, type Standing } from '../../src/outbox/webhook/file-claims.ts';
import { listWebhooks, readWebhooksVersion } from '../../src/outbox/webhook/webhook-registry.ts';
import { syncWebhooks, type Synced } from '../../src/outbox/webhook/webhook-sync.ts';
import { testSecret } from '../support/receiver.ts';
import { flavours } from '../support/server.ts';
import { openTestStore, type TestStore } from './support.ts';

function webhook(name: string, changes: Partial<ConfiguredWebhook> = {}): ConfiguredWebhook {
  return {
    ...{
      name,
      url: `https://${name.toLowerCase()}.example/`,
      events: ['*'],
      secret: testSecret,
      positions: {},
    },
    ...{ isActive: true, filter: null, fields: null, headers: {}, order: 'entity', maxInFlight: 8 },
    ...{ ratePerSecond: null, timeoutMs: 15_000, legacySignature: true, clientCertificate: null },
    ...changes,
  };
}

describe.each(flavours)('files of daemons on one store, on %s', (flavour) => {
  let test: TestStore;
  const standings = new Map<string, Standing>();
  let nowMs: number;
  let memory: EndedClaims;

  beforeAll(async () => {
    test = await openTestStore(flavour);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    standings.clear();
    nowMs = 0;
    memory = new EndedClaims(() => nowMs);
    for (const owner of ['a', 'b', 'c']) await registerProcess({ store: test.store, owner });
  });
  afterEach(async () => {
    for (const table of ['webhook_claims', 'webhooks', 'leases'])
      await test.store.run(`DELETE FROM ${table}`);
  });

  async function sync(owner: string, ...configured: ConfiguredWebhook[]): Promise<Partial<Synced>> {
    // Owners that live, for as long as a live process can say at most: the row of an ended one is gone.
    await test.store.run('UPDATE leases SET expires_at = UTC_TIMESTAMP(3) + INTERVAL 11 SECOND');
    const { synced, standing } = await syncWebhooks(
      { store: test.store, cipher: clearCipher, owner },
      configured,
      {
        overlapMs: 0,
        memory,
      },
    );
    standings.set(owner, standing);
    return Object.fromEntries(Object.entries(synced).filter(([, names]) => names.length > 0));
  }

  /** Ends it, as the others have seen it to run `agoMs` ago. */
  async function end(owner: string, agoMs = 30_000): Promise<void> {
    await memory.read(test.store);
    await test.store.run('DELETE FROM leases WHERE name = ?', [owner]);
    nowMs += agoMs;
  }
  const isDue = async (owner: string): Promise<boolean> =>
    isOutdated(await memory.read(test.store), owner, standings.get(owner)!);
  const urls = async (): Promise<Record<string, string>> => {
    const rows = await test.store.rows<{ name: string; url: string; active: number }>(
      'SELECT name, url, is_active AS active FROM webhooks ORDER BY id',
    );
    return Object.fromEntries(rows.map(({ name, url, active }) => [name, active === 1 ? url : 'inactive']));
  };
  const problems = async (): Promise<Record<string, readonly string[]>> => {
    const records = await listWebhooks(test.vault);
    return Object.fromEntries(records.map((record) => [record.name, record.problems]));
  };

  const x = webhook('X');
  const moved = webhook('X', { url: 'https://moved.example/' });
  const y = webhook('Y');

  /** Each setting that a file can give differently. */
  const differences: [what: string, changes: Partial<ConfiguredWebhook>][] = [
    ['the case of its name', { name: 'x' }],
    ['URL', { url: 'https://moved.example/' }],
    ['events', { events: ['patient.created'] }],
    ['secret', { secret: `whsec_${'A'.repeat(44)}` }],
    ['active', { isActive: false }],
    ['filter', { filter: { id: [1] } }],
    ['fields', { fields: ['id'] }],
    ['headers', { headers: { 'x-clinic': '1' } }],
    ['order', { order: 'none' }],
    ['max_in_flight', { maxInFlight: 1 }],
    ['rate_limit', { ratePerSecond: 1 }],
    ['timeout', { timeoutMs: 1_000 }],
    ['legacy_signature', { legacySignature: false }],
    ['client_certificate', { clientCertificate: 'own' }],
  ];
  it.each(differences)(
    'differ by %s: the second is refused by name, the others of its file are used',
    async (_what, changes) => {
      expect(await sync('a', x)).toEqual({ created: ['X'] });
      const other = webhook('X', changes);
      expect(await sync('b', other, y)).toEqual({ created: ['Y'], refused: [other.name] });
      expect((await urls())['X']).toBe(x.url);
      expect((await problems())['X']).toEqual([
        'the files of two running daemons define it differently: the present definition stays until a daemon ends or both files are the same',
      ]);
      expect((await problems())['Y']).toEqual([]);
      // The first neither loses what it has nor touches what the second added.
      expect(await sync('a', x)).toEqual({ kept: ['Y'] });
      expect(await isDue('b')).toBe(false);
    },
  );

  it('are no conflict where they are the same, in any order of webhooks', async () => {
    await sync('a', x, y);
    expect(await sync('b', y, x)).toEqual({});
    expect(await problems()).toEqual({ X: [], Y: [] });
    await end('a');
    expect(await isDue('b')).toBe(false);
  });

  it('a refused definition is due when the other daemon has ended, and the problem is gone', async () => {
    await sync('a', x);
    await sync('b', moved);
    const version = await readWebhooksVersion(test.store);
    await end('a');
    expect(await isDue('b')).toBe(true);
    expect(await sync('b', moved)).toEqual({ updated: ['X'] });
    expect(await urls()).toEqual({ X: moved.url });
    expect(await problems()).toEqual({ X: [] });
    expect(await readWebhooksVersion(test.store)).not.toBe(version);
    // Started again, the first is the second.
    await registerProcess({ store: test.store, owner: 'c' });
    expect(await sync('c', x)).toEqual({ refused: ['X'] });
  });

  it('a refused daemon that ends takes its problem with it', async () => {
    await sync('a', x);
    await sync('b', moved);
    const version = await readWebhooksVersion(test.store);
    await end('b');
    expect(await problems()).toEqual({ X: [] });
    expect(await readWebhooksVersion(test.store)).not.toBe(version);
  });

  it('a refused definition is due when the other file says the same, or drops it', async () => {
    await sync('a', x);
    await sync('b', moved);
    expect(await sync('a', moved)).toEqual({ updated: ['X'] });
    expect(await isDue('b')).toBe(true);
    expect(await sync('b', moved)).toEqual({});
    expect(await sync('c', x)).toEqual({ refused: ['X'] });
    expect(await sync('a')).toEqual({ kept: ['X'] });
    expect(await isDue('c')).toBe(false);
    expect(await sync('b')).toEqual({ kept: ['X'] });
    expect(await isDue('c')).toBe(true);
    expect(await sync('c', x)).toEqual({ updated: ['X'] });
    expect(await urls()).toEqual({ X: x.url });
  });

  it('two copies that are edited one after the other come to the edit', async () => {
    await sync('a', x);
    await sync('b', x);
    expect(await sync('a', moved)).toEqual({ refused: ['X'] });
    expect(await sync('b', moved)).toEqual({ updated: ['X'] });
    expect(await isDue('a')).toBe(true);
    expect(await sync('a', moved)).toEqual({});
    expect(await urls()).toEqual({ X: moved.url });
  });

  it('a webhook is deactivated after both have dropped it', async () => {
    await sync('a', x, y);
    await sync('b', x, y);
    expect(await sync('a', y)).toEqual({ kept: ['X'] });
    expect(await urls()).toEqual({ X: x.url, Y: y.url });
    expect(await isDue('a')).toBe(false);
    expect(await sync('b', y)).toEqual({ deactivated: ['X'] });
    expect(await urls()).toEqual({ X: 'inactive', Y: y.url });
    expect(await sync('a', y)).toEqual({});
  });

  it('a webhook that one has dropped is deactivated when the other has ended', async () => {
    await sync('a', x, y);
    expect(await sync('b', y)).toEqual({ kept: ['X'] });
    await end('a');
    expect(await isDue('b')).toBe(true);
    expect(await sync('b', y)).toEqual({ deactivated: ['X'] });
  });

  it('a webhook of a daemon that restarts stays: it counts as named for 30 s', async () => {
    await sync('a', x, y);
    expect(await sync('b', y)).toEqual({ kept: ['X'] });
    await end('a', 29_999);
    expect(await isDue('b')).toBe(false);
    expect(await sync('b', y)).toEqual({ kept: ['X'] });
    // Its next life has another owner.
    await registerProcess({ store: test.store, owner: 'c' });
    expect(await sync('c', x, y)).toEqual({});
    nowMs += 30_000;
    expect(await isDue('b')).toBe(false);
    expect(await sync('b', y)).toEqual({ kept: ['X'] });
    expect(await urls()).toEqual({ X: x.url, Y: y.url });
  });

  it('a daemon that has just ended refuses no definition', async () => {
    await sync('a', x);
    await sync('b', moved);
    await end('a', 0);
    expect(await isDue('b')).toBe(true);
    expect(await sync('b', moved)).toEqual({ updated: ['X'] });
  });

  it('a renaming waits for a daemon that restarts with the former name', async () => {
    const renamed = { ...x, name: 'Z' };
    await sync('a', x);
    await sync('b', renamed);
    await end('a', 29_999);
    expect(await isDue('b')).toBe(false);
    nowMs += 1;
    expect(await isDue('b')).toBe(true);
    expect(await sync('b', renamed)).toEqual({ renamed: [{ from: 'X', to: 'Z' }] });
  });

  it('a renaming waits for the daemon that has the former name, and then moves the webhook', async () => {
    const renamed = { ...x, name: 'Z' };
    await sync('a', x);
    const [before] = await listWebhooks(test.vault);
    expect(await sync('b', renamed)).toEqual({ refused: ['Z'], kept: ['X'] });
    expect(await problems()).toEqual({
      X: [
        'the file of one running daemon renames it to "Z", and the file of another one does not: the present definition stays until a daemon ends or both files are the same',
      ],
    });
    expect(await isDue('b')).toBe(false);
    await end('a');
    expect(await isDue('b')).toBe(true);
    expect(await sync('b', renamed)).toEqual({ renamed: [{ from: 'X', to: 'Z' }] });
    expect(await listWebhooks(test.vault)).toMatchObject([{ id: before!.id, name: 'Z', problems: [] }]);
  });

  it('two copies that rename it one after the other move it once', async () => {
    const renamed = { ...x, name: 'Z' };
    await sync('a', x);
    await sync('b', x);
    expect(await sync('a', renamed)).toEqual({ refused: ['Z'], kept: ['X'] });
    expect(await sync('b', renamed)).toEqual({ renamed: [{ from: 'X', to: 'Z' }] });
    expect(await isDue('a')).toBe(true);
    expect(await sync('a', renamed)).toEqual({});
    expect(await urls()).toEqual({ Z: x.url });
  });

  it('a daemon that drops a webhook leaves it to the one that waits to rename it', async () => {
    const renamed = { ...x, name: 'Z' };
    await sync('a', x);
    await sync('b', renamed);
    expect(await sync('a')).toEqual({ kept: ['X'] });
    expect(await isDue('b')).toBe(true);
    expect(await sync('b', renamed)).toEqual({ renamed: [{ from: 'X', to: 'Z' }] });
  });

  it('a daemon whose lease had expired and that lives on gives way to the one that took over', async () => {
    await sync('a', x);
    await end('a');
    await sync('b', moved);
    await registerProcess({ store: test.store, owner: 'a' });
    expect(await isDue('a')).toBe(true);
    expect(await sync('a', x)).toEqual({ refused: ['X'] });
    expect(await isDue('a')).toBe(false);
    expect(await isDue('b')).toBe(false);
    expect(await urls()).toEqual({ X: moved.url });
  });

  it('of two that begin at once, one is refused', async () => {
    const [one, other] = await Promise.all([sync('a', x), sync('b', moved)]);
    expect([one, other].filter(({ refused }) => refused?.[0] === 'X')).toHaveLength(1);
    expect([one, other].filter(({ created }) => created?.[0] === 'X')).toHaveLength(1);
  });

  it('the store has a digest of a definition, and nothing of it', async () => {
    await sync('a', x);
    const rows = await test.store.rows('SELECT * FROM webhook_claims');
    expect(rows).toEqual([
      { owner: 'a', name: 'X', digest: expect.stringMatching(/^[0-9a-f]{32}$/) as string, refused_for: null },
    ]);
  });
});
