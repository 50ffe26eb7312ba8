import { recordKeyChange } from '../../src/audit/act/change-key.ts';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { getDelivery, listAccess } from '../../src/audit/deliveries.ts';
import { readClearTo } from '../../src/outbox/payload/payload-acts.ts';
import { retryDelivery } from '../../src/outbox/queue/reopen.ts';
import { encryptPayloads } from '../../src/outbox/payload/encrypt-payloads.ts';
import { beginEncryption } from '../../src/audit/act/adopt.ts';
import { erasePatient } from '../../src/audit/erase.ts';
import { engine } from '../../src/audit/act/record-act.ts';
import { recordReplay, recordReplayEnd } from '../../src/audit/act/replay-acts.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { createCipher, type EncryptionKey } from '../../src/crypto/cipher.ts';
import { appendSystemEvent } from '../../src/outbox/append/append-system-event.ts';
import { claim } from '../../src/outbox/queue/claim.ts';
import { createRouter } from '../../src/outbox/append/fan-out.ts';
import { openPayloads, type StoredPayload } from '../../src/outbox/payload/payloads.ts';
import { createReplay } from '../../src/outbox/replay/replay.ts';
import { stepReplay } from '../../src/outbox/replay/replay-step.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { ensureSalts, reencryptSubjectKeys } from '../../src/outbox/payload/subject-keys.ts';
import type { Claimant, ClaimedDelivery, Settlement } from '../../src/outbox/types.ts';
import { servers } from '../support/server.ts';
import {
  addWebhook,
  checkpointAt,
  claimant,
  delivered,
  emptyTables,
  eventOf,
  failed,
  muchRoom,
  openTestAppender,
  openTestStore,
  readQueue,
  type TestStore,
} from './support.ts';
import type { EncryptedStore } from '../../src/db/connection/encrypted-store.ts';

const keyOf = (id: string): EncryptionKey => ({ id, bytes: randomBytes(32) });
const [former, present] = [keyOf('former'), keyOf('present')];
const ana = { name: 'ana', role: 'admin' } as const;
const always = { sinceMs: 0, untilMs: Date.parse('2100-01-01T00:00:00Z') };

describe.each(servers)('payloads at rest, on %s', (variant) => {
  let test: TestStore;
  let all: number;
  let some: number;

  beforeAll(async () => {
    test = await openTestStore(variant);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await emptyTables(test);
    all = await addWebhook(test.vault);
    some = await addWebhook(test.vault, { fields: ['note'], events: ['appointment.*'] });
  });

  /** The store as a process sees it that was started with these keys: it remembers nothing of another's. */
  const vaultWith = (...keys: EncryptionKey[]): EncryptedStore => ({
    store: test.store,
    cipher: createCipher(keys),
  });
  const startWith = (...keys: EncryptionKey[]): Claimant =>
    claimant(test.store, { cipher: createCipher(keys), owner: 'capture' });
  const claimAll = async (me: Claimant): Promise<ClaimedDelivery[]> =>
    (
      await claim(me, [
        { webhookId: all, room: 100 },
        { webhookId: some, room: 100 },
      ])
    ).deliveries;
  const echoed = (delivery: ClaimedDelivery): Settlement => {
    const settlement = delivered(delivery);
    return { ...settlement, outcome: { ...settlement.outcome, responseBody: `got ${delivery.body}` } };
  };
  /** An event whose payload has this word in it. */
  const eventWith = (word: string, name: string, subject: string | null = '45') =>
    eventOf(`${word} ${name}`, { subject, key: name });

  /** Files of the server and columns of the store in which a text is in clear text. */
  async function tracesOf(word: string): Promise<string[]> {
    const hex = Buffer.from(word).toString('hex').toUpperCase();
    const found: string[] = [];
    const columns = await test.schema.query(
      `SELECT c.TABLE_NAME AS t, c.COLUMN_NAME AS c FROM information_schema.COLUMNS c
       JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME)
       WHERE c.TABLE_SCHEMA = DATABASE() AND t.TABLE_TYPE = 'BASE TABLE'`,
    );
    for (const { t, c } of columns) {
      const [row] = await test.schema.query(
        `SELECT COUNT(*) AS n FROM \`${t as string}\` WHERE HEX(CAST(\`${c as string}\` AS BINARY)) LIKE '%${hex}%'`,
      );
      if (row!['n'] !== 0) found.push(`${t as string}.${c as string}`);
    }
    await test.schema.query('FLUSH BINARY LOGS');
    const [log] = await test.schema.query('SELECT @@log_bin_basename AS base');
    const folder = dirname(log!['base'] as string);
    for (const file of await readdir(folder)) {
      if (!/\.\d{6}$/.test(file)) continue;
      if ((await readFile(join(folder, file))).includes(word)) found.push('binary log');
    }
    return [...new Set(found)].sort();
  }

  /** Everything that the outbox and the auditors do with a payload that holds the word. */
  async function useEverything(me: Claimant, word: string): Promise<void> {
    const outbox = await openTestAppender(me, test.vault);
    const route = createRouter(outbox.webhooks);
    const { fresh } = await outbox.append([eventWith(word, 'fresh'), eventWith(word, 'none', null)], {
      room: muchRoom,
    });
    expect(fresh).toHaveLength(4);
    await settle(me, [
      echoed(fresh[0]!),
      ...fresh.slice(1).map((delivery) => {
        const settlement = failed(delivery, { kind: 'retry', delayMs: 0 });
        return { ...settlement, outcome: { ...settlement.outcome, responseBody: delivery.body } };
      }),
    ]);
    await outbox.appender.stage({ id: 'huge', events: [eventWith(word, 'staged', '46')] }, route);
    await outbox.appender.flip(checkpointAt(9), outbox.webhooks);
    await test.store.transaction((tx) =>
      appendSystemEvent(
        tx,
        { ...eventWith(word, 'ours', null), type: 'webhook.disabled' },
        { route, cipher: me.cipher },
      ),
    );
    const late = await addWebhook(test.vault, { fields: ['note'] });
    const { webhooks } = await openTestAppender(me, test.vault);
    const replay = { webhookId: late, ...always, requestedBy: 'ana', reason: 'test', ratePerSecond: null };
    const record = recordReplay(me.cipher, late, { actor: ana, details: {} });
    const { id } = await createReplay(test.store, replay, webhooks, record);
    const onEnd = recordReplayEnd(me.cipher, engine);
    expect(await stepReplay(me, id, { webhooks, onEnd })).toMatchObject({ waitMs: null });
    expect(await sealOnce(me)).toMatchObject({ number: 1 });

    const restarted = { ...me, owner: 'restarted' };
    const { deliveries } = await claim(restarted, [
      ...[all, some, late].map((webhookId) => ({ webhookId, room: 100 })),
    ]);
    expect(deliveries.length).toBeGreaterThanOrEqual(8);
    for (const { body } of deliveries) expect(body).toContain(word);
    await settle(restarted, deliveries.map(echoed));
    while (await sealOnce(me));
    expect(await verifyLog(me)).toMatchObject({ ok: true, payloads: { pruned: 0, erased: 0 } });
    expect(await getDelivery(me, 1)).toMatchObject({
      payload: fresh[0]!.body,
      responseBody: `got ${fresh[0]!.body}`,
    });
    expect(
      (await listAccess(me, { patient: '45' }, { limit: 9 })).items.map(({ fields }) => fields),
    ).toContainEqual(['note']);
  }

  it('leaves no trace of payloads and answers in the tables and the binary log, and sends and proves them', async () => {
    const [secret, open] = ['Ñusta-secreta', 'Ñusta-abierta'].map(
      (word) => word + randomBytes(6).toString('hex'),
    );
    await useEverything(startWith(present), secret!);
    expect(await tracesOf(secret!)).toEqual([]);

    await emptyTables(test);
    all = await addWebhook(test.vault);
    some = await addWebhook(test.vault, { fields: ['note'], events: ['appointment.*'] });
    await useEverything(startWith(), open!);
    expect(await tracesOf(open!)).toEqual([
      'binary log',
      'delivery_log.payload',
      'delivery_log.response_body',
      'event_log.body',
    ]);
  });

  it('continues with another key after a rotation, and says which one is missing without losing anything', async () => {
    const before = startWith(former);
    await (await openTestAppender(before, test.vault)).append([eventOf('a', { subject: '45' })]);

    const both = vaultWith(present, former);
    expect(await reencryptSubjectKeys(both)).toBe(1);
    expect(await reencryptSubjectKeys(both)).toBe(0);

    const missing = { code: 'ERR_SECRET_KEY', message: expect.stringContaining('"present"') as string };
    for (const keys of [[former], [], [{ ...present, bytes: randomBytes(32) }]]) {
      const me = startWith(...keys);
      await expect(claimAll(me)).rejects.toMatchObject(missing);
      await expect(reencryptSubjectKeys(me)).rejects.toMatchObject(missing);
      await expect(getDelivery(me, 1)).rejects.toMatchObject(missing);
    }
    const halted = await openTestAppender(before, test.vault);
    await expect(halted.append([eventOf('b', { subject: '45' })])).rejects.toMatchObject(missing);
    expect(await readQueue(test.store)).toEqual(['1:pending', '2:pending']);

    expect(await recordKeyChange(both.store, both.cipher)).toBe(true);
    const after = startWith(present);
    expect((await claimAll(after)).map(({ body }) => body)).toContain(eventOf('a').body);
  });

  it('makes what was erased unreadable also where a copy of the rows is put back, and keeps what came after', async () => {
    const me = startWith(present);
    const outbox = await openTestAppender(me, test.vault);
    const { fresh } = await outbox.append(
      [eventOf('hers', { subject: '45', key: '1' }), eventOf('his', { subject: '46', key: '2' })],
      { room: muchRoom },
    );
    await settle(me, fresh.map(echoed));
    await outbox.append([eventOf('waiting', { subject: '45', key: '1' })]);
    await sealOnce(me);
    await test.schema.query(
      `CREATE TABLE kept_events AS SELECT * FROM event_log; CREATE TABLE kept_deliveries AS SELECT * FROM delivery_log`,
    );

    await erasePatient(me, { patient: '45', reason: 'she asked for it', actor: ana });
    await test.schema.query(
      `REPLACE INTO event_log SELECT * FROM kept_events; REPLACE INTO delivery_log SELECT * FROM kept_deliveries;
       INSERT INTO queue (delivery_id, webhook_id, event_seq, state, due_at)
         SELECT id, webhook_id, event_seq, 'pending', UTC_TIMESTAMP(3) FROM kept_deliveries WHERE status = 'open';
       DROP TABLE kept_events, kept_deliveries`,
    );

    // The same process remembers the key that was destroyed.
    const later = await outbox.append([eventOf('later', { subject: '45', key: '3' })]);
    expect(later).toMatchObject({ events: 1 });
    const claimed = await claimAll(startWith(present));
    expect(claimed.map(({ eventId }) => eventId)).toEqual([eventOf('later').id, eventOf('later').id]);
    expect(
      await test.schema.query("SELECT delivery_id AS id, reason FROM attempts WHERE outcome = 'failed'"),
    ).toEqual([
      { id: 5, reason: 'no-payload' },
      { id: 6, reason: 'no-payload' },
    ]);
    expect(await getDelivery(me, 1)).toMatchObject({ payload: null, responseBody: null });
    expect(await getDelivery(me, 3)).toMatchObject({ payload: fresh[2]!.body });
    expect((await getDelivery(me, claimed[0]!.id)).payload).toContain('later');
    // What came back does not open, and is named until it is erased again.
    expect(await verifyLog(me)).toMatchObject({ ok: false, flaw: { kind: 'inserted' } });
    await erasePatient(me, { patient: '45', reason: 'put back from a backup', actor: ana });
    // With what came after the first erasure.
    expect(await verifyLog(me)).toMatchObject({ ok: true, payloads: { erased: 3, proved: 1 } });
  });

  it('reads what was written before a key was configured, and takes nothing for a payload that was put there', async () => {
    const clear = startWith();
    await (await openTestAppender(clear, test.vault)).append([eventOf('open', { subject: '45', key: '1' })]);
    expect(await test.schema.query('SELECT COUNT(*) AS n FROM subject_keys')).toEqual([{ n: 0 }]);

    const me = startWith(present);
    await beginEncryption(me.store, me.cipher);
    const outbox = await openTestAppender(me, test.vault);
    await outbox.append([
      eventOf('sealed', { subject: '45', key: '2' }),
      eventOf('moved', { subject: '45', key: '3' }),
    ]);
    await test.schema.query(
      'UPDATE event_log a JOIN event_log b ON b.seq = 2 SET a.body = b.body WHERE a.seq = 3',
    );
    const claimed = (await claimAll(me)).filter(({ webhookId }) => webhookId === all);
    expect(claimed.map(({ eventId }) => eventId)).toEqual([eventOf('open').id, eventOf('sealed').id]);
    expect(claimed.map(({ body }) => (JSON.parse(body) as { data: object }).data)).toMatchObject([
      { note: expect.stringContaining('open') as string },
      { note: expect.stringContaining('sealed') as string },
    ]);
    expect(await test.schema.query('SELECT delivery_id AS id, reason FROM attempts')).toEqual([
      { id: 5, reason: 'damaged-payload' },
    ]);
    await settle(me, claimed.map(delivered));
    while (await sealOnce(me));
    expect(await verifyLog(me)).toMatchObject({ ok: false, flaw: { kind: 'edited' } });
  });

  it.each([
    ['in a store that was encrypted from the beginning', (): Promise<unknown> => Promise.resolve()],
    [
      'whatever SQL says of the encryption',
      () =>
        test.schema.query(
          `INSERT INTO audit_log (actor, role, action, details) VALUES ('x', 'engine', 'payloads.encrypt', '{"clear_to":99}');
           UPDATE installation SET payloads_sealed_to = 0`,
        ),
    ],
  ])('sends no clear text in the place of an encrypted payload, %s', async (_where, prepare) => {
    const me = startWith(present);
    await beginEncryption(me.store, me.cipher);
    const outbox = await openTestAppender(me, test.vault);
    await outbox.append([eventOf('hers', { subject: '45', key: '1' })]);
    await prepare();
    await test.schema.query(`UPDATE event_log SET body = '{"event":"payment.received","data":{}}'`);
    expect((await claimAll(me)).map(({ webhookId }) => webhookId)).not.toContain(all);
    const reasons = await test.schema.query('SELECT delivery_id AS id, reason FROM attempts');
    expect(reasons).toEqual([{ id: 1, reason: 'damaged-payload' }]);
    expect(await getDelivery(me, 1)).toMatchObject({ payload: null });
    expect(await encryptPayloads(me, await readClearTo(me.store, me.cipher))).toEqual({
      kind: 'done',
      encrypted: 0,
    });
  });

  it('shows and sends nothing that was erased, whatever SQL puts in its place', async () => {
    for (const me of [startWith(), startWith(present)]) {
      await emptyTables(test);
      await addWebhook(test.vault);
      await beginEncryption(me.store, me.cipher);
      const outbox = await openTestAppender(me, test.vault);
      await outbox.append([eventOf('hers', { subject: '45', key: '1' })]);
      await erasePatient(me, { patient: '45', reason: 'asked', actor: ana });
      await test.schema.query(`UPDATE event_log SET body = '{"event":"payment.received","data":{}}'`);
      expect(await getDelivery(me, 1)).toMatchObject({ payload: null });
      await expect(retryDelivery(me.store, 1)).resolves.toBe('reopened');
      expect(await claimAll(me)).toEqual([]);
    }
  });

  it('writes under no key that is destroyed at that moment, while other processes make and erase keys', async () => {
    const me = startWith(present);
    const outbox = await openTestAppender(me, test.vault);
    const route = createRouter(outbox.webhooks);
    const subjects = ['45', '46', '47'];
    const other = test.another();
    const tell = (n: number): Promise<number> => {
      const event = eventOf(`told ${n}`, {
        subject: subjects[n % 3]!,
        key: 'told',
        type: 'webhook.disabled',
      });
      return other.transaction((tx) => appendSystemEvent(tx, event, { route, cipher: me.cipher }));
    };
    for (let n = 0; n < 40; n += 1) {
      await Promise.all([
        outbox.append(subjects.map((subject) => eventOf(`e${n} ${subject}`, { subject, key: `${n}` }))),
        erasePatient({ ...me, store: other }, { patient: subjects[n % 3]!, reason: 'test', actor: ana }),
        tell(n),
        ensureSalts(me, new Set(subjects)),
      ]);
    }
    const rows = await test.store.rows<StoredPayload>(
      'SELECT id AS eventId, seq AS eventSeq, subject, body AS payload FROM event_log WHERE body IS NOT NULL',
    );
    const opened = await openPayloads(test.store, me.cipher, rows);
    expect(opened.filter(({ kind }) => kind !== 'readable')).toEqual([]);
    expect(opened.length).toBeGreaterThan(0);
  });
});
