import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import {
  addWebhook,
  claimant,
  delivered,
  eventOf,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';
import { callCli } from '../support/call-cli.ts';
import { writeConfig } from '../support/daemon.ts';
import { flavours } from '../support/server.ts';

/** Six hundred delivered events, of which the first five hundred are old, and an old one that is still owed. */
describe.each(flavours)('prune on %s', (flavour) => {
  let test: TestStore;
  let config: Awaited<ReturnType<typeof writeConfig>>;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    const url = test.schema.url();
    config = await writeConfig(`source: { url: "${url}_clinic" }\nstore: { url: "${url}" }\n`);
    await addWebhook(test.vault);
    const me = claimant(test.store);
    const outbox = await openTestAppender(me, test.vault);
    const events = Array.from({ length: 600 }, (_, index) => eventOf(`e${index}`, { key: String(index) }));
    const { fresh } = await outbox.append(events, { room: muchRoom });
    await settle(me, fresh.filter(({ id }) => id !== 7).map(delivered));
    await test.schema.query(
      'UPDATE event_log SET created_at = created_at - INTERVAL 100 DAY WHERE seq <= 500',
    );
    while (await sealOnce(test.vault));
  });
  afterAll(async () => {
    await test.close();
    await config.remove();
  });

  const prune = (...args: string[]) => callCli('prune', '--config', config.file, ...args);
  const withPayload = async (): Promise<number[]> =>
    (await test.schema.query('SELECT seq FROM event_log WHERE body IS NOT NULL ORDER BY seq')).map(
      ({ seq }) => seq as number,
    );

  it('asks first, and removes nothing where no terminal can answer', async () => {
    expect(await prune()).toMatchObject({ code: 2, stderr: expect.stringContaining('Add --yes') as string });
    expect(await withPayload()).toHaveLength(600);
  });

  it('removes in batches what has outlived its time, on record, and nothing that is still owed', async () => {
    const { code, stdout } = await prune('--yes', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual({ seals: 0, payloads: 500, events: 0 });
    expect(await withPayload()).toEqual([7, ...Array.from({ length: 100 }, (_, index) => 501 + index)]);
    const acts = await test.schema.query(
      "SELECT role, action FROM audit_log WHERE action LIKE 'retention.%' ORDER BY id",
    );
    expect(acts).toEqual([
      { role: 'local', action: 'retention.prune' },
      { role: 'engine', action: 'retention.payloads' },
    ]);
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, payloads: { proved: 101, pruned: 499 } });
    expect(await prune('--yes')).toMatchObject({
      code: 0,
      stdout: 'Looked at 0 events for their payloads; 0 events and the entries of 0 seals are gone.\n',
    });
  });
});
