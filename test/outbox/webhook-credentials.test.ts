import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { listActs } from '../../src/audit/act/acts.ts';
import { areWebhooksEdited } from '../../src/audit/act/explain-webhooks.ts';
import { recordAlong } from '../../src/audit/act/record-along.ts';
import { clearCipher, createCipher, type Cipher } from '../../src/crypto/cipher.ts';
import { withReceivers } from '../../src/outbox/webhook/receivers.ts';
import { webhookJson } from '../../src/outbox/webhook/webhook-json.ts';
import {
  createWebhook,
  getWebhook,
  loadWebhook,
  loadWebhooks,
  reencryptSecrets,
  updateWebhook,
} from '../../src/outbox/webhook/webhook-registry.ts';
import { syncWebhooks } from '../../src/outbox/webhook/webhook-sync.ts';
import { flavours } from '../support/server.ts';
import { testSecret } from '../support/receiver.ts';
import { openTestStore, type TestStore } from './support.ts';

const token = 'aBcDeFgHiJkLmNoPqRsTuVwX';
const query = 'q-credential-1';
const header = 'Bearer h-credential-2';
const credentials = [token, query, header];
const url = `https://hooks.example/services/T024BE7LD/${token}?key=${query}`;
const shown = 'https://hooks.example/services/T024BE7LD/***?key=***';
const headers = { Authorization: header };

const key = { id: 'k1', bytes: new Uint8Array(32).fill(7) };
const newKey = { id: 'k2', bytes: new Uint8Array(32).fill(9) };

describe.each(flavours)('credentials of a webhook, on %s', (flavour) => {
  let test: TestStore;
  let cipher: Cipher;
  const actor = { name: 'ana', role: 'admin' } as const;

  beforeEach(async () => {
    test = await openTestStore(flavour);
    cipher = createCipher([key]);
  });
  afterEach(() => test.close());

  const vault = () => ({ store: test.store, cipher });
  const create = () =>
    createWebhook(
      vault(),
      { name: 'Pagos', url, headers, events: ['*'] },
      recordAlong(cipher, { actor, action: 'webhook.create', details: { url } }),
    );
  /** The contents of these tables, as one text. */
  const stored = async (...tables: string[]): Promise<string> => {
    const all = await Promise.all(tables.map((table) => test.schema.query(`SELECT * FROM ${table}`)));
    return JSON.stringify(all);
  };
  const requireNone = (text: string): void => {
    for (const credential of credentials) expect(text).not.toContain(credential);
  };

  it('are whole for the engine, and stand nowhere else', async () => {
    const { id } = await create();
    const loaded = await loadWebhook(vault(), id);
    expect(loaded).toMatchObject({ url, headers });
    const record = webhookJson(await getWebhook(vault(), id));
    expect(record).toMatchObject({ url: shown, headers: { Authorization: '***' }, problems: [] });
    const [sent] = await withReceivers(test.store, [loaded]);
    expect(sent).toMatchObject({ url, receiver: 1 });
    requireNone(await stored('webhooks', 'receivers', 'audit_log'));
    const { items } = await listActs(test.store, {}, { limit: 50 });
    expect(items.find(({ action }) => action === 'webhook.create')!.details).toMatchObject({ url: shown });
    expect(await areWebhooksEdited(test.store, cipher)).toBe(false);
    const [row] = await test.schema.query('SELECT url, sealed_url FROM webhooks');
    expect(row).toEqual({ url: shown, sealed_url: expect.stringMatching(/^enc:v1:k1:/) });
  });

  it('can be sent back as they were read, replaced one by one, and never invented', async () => {
    const { id } = await create();
    const change = (changes: Parameters<typeof updateWebhook>[2]) =>
      updateWebhook(vault(), id, changes, recordAlong(cipher, { actor, action: 'webhook.update' }));
    const read = async () => loadWebhook(vault(), id);
    await change({ url: shown, headers: { Authorization: '***' }, maxInFlight: 3 });
    expect(await read()).toMatchObject({ url, headers, maxInFlight: 3 });
    await change({ headers: { Authorization: '***', 'X-Clinic': 'central' } });
    expect(await read()).toMatchObject({ headers: { ...headers, 'X-Clinic': 'central' } });
    await change({ headers: { 'X-Clinic': 'norte' } });
    expect((await read()).headers).toEqual({ 'X-Clinic': 'norte' });
    for (const changes of [
      { headers: { Authorization: '***' } },
      { url: 'https://other.example/***' },
      { url: `${shown}&more=1` },
    ])
      await expect(change(changes)).rejects.toMatchObject({
        code: 'ERR_USAGE',
        message: expect.stringContaining('masked'),
      });
    await expect(createWebhook(vault(), { name: 'n', url: shown, events: ['*'] })).rejects.toMatchObject({
      code: 'ERR_USAGE',
    });
    await change({ url: 'https://plain.example/hook' });
    const [row] = await test.schema.query('SELECT url, sealed_url FROM webhooks');
    expect(row).toEqual({ url: 'https://plain.example/hook', sealed_url: null });
  });

  it('that SQL wrote count, and are sealed; so are those of before the key, and under an older one', async () => {
    cipher = clearCipher;
    const { id } = await create();
    expect(await stored('webhooks')).toContain(token);
    requireNone(await stored('receivers', 'audit_log'));
    cipher = createCipher([key]);
    expect(await areWebhooksEdited(test.store, cipher)).toBe(false);
    expect(await reencryptSecrets(vault())).toBe(1);
    expect(await reencryptSecrets(vault())).toBe(0);
    requireNone(await stored('webhooks'));
    expect(await loadWebhook(vault(), id)).toMatchObject({ url, headers });
    expect(await areWebhooksEdited(test.store, cipher)).toBe(false);

    const moved = `https://moved.example/hooks/${token}`;
    await test.schema.query('UPDATE webhooks SET url = ?, headers = ?', [moved, JSON.stringify(headers)]);
    expect(await areWebhooksEdited(test.store, cipher)).toBe(true);
    expect(await loadWebhook(vault(), id)).toMatchObject({ url: moved, headers });
    expect(await reencryptSecrets(vault())).toBe(1);
    requireNone(await stored('webhooks'));
    expect(await loadWebhook(vault(), id)).toMatchObject({ url: moved, headers });

    cipher = createCipher([newKey, key]);
    expect(await reencryptSecrets(vault())).toBe(1);
    cipher = createCipher([newKey]);
    expect(await loadWebhook(vault(), id)).toMatchObject({ url: moved, headers });
    cipher = createCipher([key]);
    const { webhooks, problems } = await loadWebhooks(vault());
    expect(webhooks).toMatchObject([{ standing: 'unfit' }]);
    requireNone(JSON.stringify(problems));
  });

  it('in a masked URL that SQL wrote are a problem, not a destination', async () => {
    const { id } = await create();
    await test.schema.query("UPDATE webhooks SET url = 'https://elsewhere.example/***'");
    expect((await loadWebhooks(vault())).webhooks).toMatchObject([{ id, standing: 'unfit' }]);
  });

  it('of the file are the same at every start', async () => {
    const webhook = {
      ...{ name: 'Pagos', url, headers, events: ['*'], secret: testSecret, positions: {} },
      ...{ isActive: true, filter: null, fields: null, order: 'entity' as const, maxInFlight: 8 },
      ...{ ratePerSecond: null, timeoutMs: 15_000, legacySignature: true, clientCertificate: null },
    } as const;
    const sync = async (each = webhook) =>
      (await syncWebhooks({ ...vault(), owner: 'me' }, [each], { overlapMs: 0 })).synced;
    expect(await sync()).toMatchObject({ created: ['Pagos'], updated: [] });
    requireNone(await stored('webhooks'));
    expect(await sync()).toMatchObject({ created: [], updated: [] });
    const renamed = { ...webhook, name: 'Cobros' } as unknown as typeof webhook;
    expect(await sync(renamed)).toMatchObject({ renamed: [{ from: 'Pagos', to: 'Cobros' }] });
  });
});
