import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { getDelivery } from '../../src/audit/deliveries.ts';
import { adoptBeforeSealing, beginEncryption } from '../../src/audit/act/adopt.ts';
import { sealedErasures } from '../../src/audit/act/sealed-erasures.ts';
import { erasePatient } from '../../src/audit/erase.ts';
import { recordAct } from '../../src/audit/act/record-act.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { openCipher, type EncryptionKey } from '../../src/crypto/cipher.ts';
import { appendSystemEvent } from '../../src/outbox/append/append-system-event.ts';
import { claim } from '../../src/outbox/queue/claim.ts';
import { destroyKeys, ensureKeyFile } from '../../src/outbox/payload/destroy-keys.ts';
import { createRouter } from '../../src/outbox/append/fan-out.ts';
import { openPayloads, type OpenedPayload, type StoredPayload } from '../../src/outbox/payload/payloads.ts';
import { eraseAction, readClearTo } from '../../src/outbox/payload/payload-acts.ts';
import { encryptPayloads } from '../../src/outbox/payload/encrypt-payloads.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { ensureSalts, reencryptSubjectKeys } from '../../src/outbox/payload/subject-keys.ts';
import type { Claimant } from '../../src/outbox/types.ts';
import { copiedColumns, servers } from '../support/server.ts';
import {
  addWebhook,
  claimant,
  delivered,
  emptyTables,
  eventOf,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from './support.ts';

const present: EncryptionKey = { id: 'present', bytes: randomBytes(32) };
const ana = { name: 'ana', role: 'admin' } as const;

describe.each(servers)('a key file on %s', (variant) => {
  let test: TestStore;
  let hook: number;
  let folder: string;
  let path: string;

  beforeAll(async () => {
    test = await openTestStore(variant);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await emptyTables(test);
    folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
    path = join(folder, 'patients.key');
    hook = await addWebhook(test.vault);
  });
  afterEach(() => rm(folder, { recursive: true }));

  /** As a process does that is started with this configuration. */
  async function start(keyFile: string | null, ...encryptionKeys: EncryptionKey[]): Promise<Claimant> {
    const me = claimant(test.store, { cipher: openCipher({ encryptionKeys, keyFile }), owner: 'capture' });
    await ensureKeyFile(me);
    await adoptBeforeSealing(me.store, me.cipher);
    await beginEncryption(me.store, me.cipher);
    await destroyKeys(me, sealedErasures(me));
    await reencryptSubjectKeys(me);
    return me;
  }
  const erase = (me: Claimant, patient: string) => erasePatient(me, { patient, reason: 'asked', actor: ana });

  /** What becomes of each event's payload with what this process has: `hers: readable`. */
  async function readEvents(me: Claimant): Promise<Record<string, OpenedPayload['kind']>> {
    const rows = await test.store.rows<StoredPayload & { name: string }>(
      'SELECT id AS eventId, seq AS eventSeq, subject, entity_key AS name, body AS payload FROM event_log ORDER BY seq',
    );
    const opened = await openPayloads(test.store, me.cipher, rows);
    return Object.fromEntries(rows.map(({ name }, index) => [name, opened[index]!.kind]));
  }
  const about = (subject: string | null, name: string) => eventOf(name, { subject, key: name });

  /** A whole copy of the store's tables; `restore` puts all of them back, or the named ones. */
  async function backUp(): Promise<{ restore(...only: string[]): Promise<void> }> {
    const columns = await copiedColumns(test.schema, test.schema.name);
    for (const table of columns.keys()) if (table.startsWith('backup_')) columns.delete(table);
    for (const [table, list] of columns) {
      await test.schema.query(
        `DROP TABLE IF EXISTS backup_${table}; CREATE TABLE backup_${table} AS SELECT ${list} FROM ${table}`,
      );
    }
    return {
      async restore(...only) {
        for (const table of only.length > 0 ? only : columns.keys()) {
          const list = columns.get(table)!;
          await test.schema.query(
            `DELETE FROM ${table}; INSERT INTO ${table} (${list}) SELECT ${list} FROM backup_${table}`,
          );
        }
      },
    };
  }

  it('erases a patient in backups that are put back, whole or in part, and no other patient', async () => {
    const me = await start(path, present);
    const outbox = await openTestAppender(me, test.vault);
    const { fresh } = await outbox.append([about('45', 'hers'), about('46', 'his'), about(null, 'none')], {
      room: muchRoom,
    });
    await settle(me, fresh.map(delivered));
    await sealOnce(me);
    const backup = await backUp();
    await copyFile(path, `${path}.copy`);

    expect(await erase(me, '45')).toMatchObject({ events: 1, keyFile: path });
    expect(await verifyLog(me)).toMatchObject({ ok: true, payloads: { proved: 2, erased: 1 } });
    await backup.restore('subject_keys', 'event_log', 'delivery_log');
    const left = { hers: 'gone', his: 'readable', none: 'readable' };
    expect(await readEvents(await start(path, present))).toEqual(left);
    // What came back does not open, and is named until it is erased again.
    expect(await verifyLog(me)).toMatchObject({ ok: false, flaw: { kind: 'inserted' } });
    await erase(me, '45');
    expect(await verifyLog(me)).toMatchObject({ ok: true, payloads: { proved: 2, erased: 1 } });

    // As it was that day, with all keys but the destroyed one.
    await backup.restore();
    await ensureKeyFile(me);
    expect(await readEvents(me)).toEqual(left);
    // With an old copy of the file the same rows open: what the erasure took out of it made the difference.
    const withCopy = claimant(test.store, {
      cipher: openCipher({ encryptionKeys: [present], keyFile: `${path}.copy` }),
    });
    expect(await readEvents(withCopy)).toEqual({ ...left, hers: 'readable' });

    // She comes back: under a new key, with the row of the dead one in the way.
    const again = await openTestAppender(me, test.vault);
    await ensureSalts(me, new Set(['45']));
    expect(await again.append([about('45', 'back')])).toMatchObject({ events: 1 });
    expect(await readEvents(await start(path, present))).toEqual({ ...left, back: 'readable' });
    const { deliveries } = await claim(me, [{ webhookId: hook, room: 9 }]);
    expect(deliveries.map(({ eventId }) => eventId)).toEqual([about('45', 'back').id]);
  });

  it('is destroyed again where an old copy takes its place, or a crash came before it', async () => {
    const me = await start(path);
    await (await openTestAppender(me, test.vault)).append([about('45', 'hers'), about('46', 'his')]);
    await copyFile(path, `${path}.copy`);
    const backup = await backUp();
    await erase(me, '45');
    await backup.restore('subject_keys', 'event_log');
    await copyFile(`${path}.copy`, path);
    const started = await start(path);
    expect(await readEvents(started)).toEqual({ hers: 'gone', his: 'readable' });
    expect(await destroyKeys(started, sealedErasures(started))).toEqual({ destroyed: 0, unexplained: 0 });
  });

  it('keeps a key that SQL names as destroyed, until a sealed act of an erasure names it too', async () => {
    const me = await start(path);
    await (await openTestAppender(me, test.vault)).append([about('45', 'hers'), about('46', 'his')]);
    await sealOnce(me);
    const slotOf = async (patient: string): Promise<string> => {
      const [row] = await test.store.rows<{ key: string }>(
        'SELECT payload_key AS `key` FROM subject_keys WHERE subject = ?',
        [patient],
      );
      return row!.key.split(':')[3]!;
    };
    const slots = { hers: await slotOf('45'), his: await slotOf('46') };
    const nameAsDestroyed = (slot: string) =>
      test.schema.query('INSERT INTO destroyed_keys (key_file, slot) SELECT key_file, ? FROM installation', [
        slot,
      ]);
    const destroy = () => destroyKeys(me, sealedErasures(me));
    const forge = (action: string) =>
      test.schema.query(
        `INSERT INTO audit_log (at, actor, role, action, target, details) SELECT UTC_TIMESTAMP(3), 'ana', 'admin', ?, '46',
           JSON_OBJECT('keys', JSON_ARRAY(JSON_OBJECT('file', key_file, 'slot', ?))) FROM installation`,
        [action, slots.his],
      );
    const refused = { destroyed: 0, unexplained: 1 };

    // Without any act, with acts that SQL wrote, and with the act of another patient's erasure.
    await nameAsDestroyed(slots.his);
    expect(await destroy()).toEqual(refused);
    await forge(eraseAction);
    await forge('store.adopt');
    expect(await destroy()).toEqual(refused);
    // While acts of SQL are in the log nothing is encrypted: an erasure is on record, and its key goes once it is sealed.
    expect(await erase(me, '45')).toMatchObject({ events: 1, keyFile: null });
    expect(await destroy()).toEqual({ destroyed: 0, unexplained: 2 });
    await test.schema.query('DELETE FROM audit_log WHERE mark IS NULL');
    while (await sealOnce(me));
    expect(await destroy()).toEqual({ destroyed: 1, unexplained: 1 });
    expect(await destroy()).toEqual(refused);
    expect(await readEvents(me)).toEqual({ hers: 'gone', his: 'readable' });

    // An act of this program that no seal has yet.
    const details = { keys: [{ file: me.cipher.forPatients.keyFile!.id, slot: slots.his }] };
    await recordAct(test.store, me.cipher, { actor: ana, action: eraseAction, target: '46', details });
    expect(await destroy()).toEqual(refused);
    while (await sealOnce(me));
    expect(await destroy()).toEqual({ destroyed: 1, unexplained: 0 });
    expect(await readEvents(me)).toEqual({ hers: 'gone', his: 'gone' });
  });

  it('takes over from the encryption key, and no process continues without it or with another', async () => {
    const before = await start(null, present);
    await (await openTestAppender(before, test.vault)).append([about('45', 'old'), about('46', 'other')]);
    const me = await start(path, present);
    expect(
      await test.schema.query("SELECT COUNT(*) AS n FROM subject_keys WHERE payload_key LIKE 'file:v1:%'"),
    ).toEqual([{ n: 2 }]);
    // The encryption key opens nothing of it any more, and is not needed for it.
    const alone = claimant(test.store, { cipher: openCipher({ encryptionKeys: [], keyFile: path }) });
    const rows = await test.store.rows<StoredPayload>(
      'SELECT id AS eventId, seq AS eventSeq, subject, body AS payload FROM event_log ORDER BY seq',
    );
    const opened = await openPayloads(test.store, alone.cipher, rows);
    expect(opened.map(({ kind }) => kind)).toEqual(['readable', 'readable']);
    const refused = { code: 'ERR_SECRET_KEY', remedy: expect.stringContaining('store.key_file') as string };
    await expect(start(null, present)).rejects.toMatchObject(refused);
    await expect(readEvents(before)).rejects.toMatchObject(refused);
    const elsewhere = join(folder, 'other host.key');
    await expect(start(elsewhere)).rejects.toMatchObject({ code: 'ERR_SECRET_KEY' });
    const other = openCipher({ encryptionKeys: [], keyFile: elsewhere });
    await other.forPatients.keyFile!.create();
    await expect(start(elsewhere)).rejects.toMatchObject(refused);
    expect(await readEvents(me)).toEqual({ old: 'readable', other: 'readable' });
  });

  it('loses no event while patients are erased and new ones come', async () => {
    const me = await start(path);
    const outbox = await openTestAppender(me, test.vault);
    const route = createRouter(outbox.webhooks);
    const other: Claimant = { ...(await start(path)), store: test.another() };
    const subjects = ['45', '46', '47'];
    for (let n = 0; n < 25; n += 1) {
      const told = eventOf(`told ${n}`, {
        subject: subjects[n % 3]!,
        key: `told ${n}`,
        type: 'webhook.disabled',
      });
      const patients = [...subjects, `new ${n}`];
      await Promise.all([
        outbox.append(
          patients.map((subject) => eventOf(`e${n} ${subject}`, { subject, key: `${n} ${subject}` })),
        ),
        erase(n % 2 ? me : other, subjects[n % 3]!),
        other.store.transaction((tx) => appendSystemEvent(tx, told, { route, cipher: other.cipher })),
        ensureSalts(other, new Set(patients)),
      ]);
    }
    const kept = await test.store.rows<StoredPayload>(
      'SELECT id AS eventId, seq AS eventSeq, subject, body AS payload FROM event_log WHERE body IS NOT NULL',
    );
    const opened = await openPayloads(test.store, (await start(path)).cipher, kept);
    expect(opened.filter(({ kind }) => kind !== 'readable')).toEqual([]);
    expect(kept.filter(({ subject }) => subject!.startsWith('new'))).toHaveLength(25);
  });

  it('encrypts what was written before a key was set, in steps, and the sealed log holds throughout', async () => {
    const narrow = await addWebhook(test.vault, { fields: ['note'], events: ['appointment.*'] });
    const clear = await start(null);
    const outbox = await openTestAppender(clear, test.vault);
    const { fresh } = await outbox.append([about('45', 'answered'), about(null, 'none')], {
      room: muchRoom,
    });
    await settle(
      clear,
      fresh.map((delivery) => {
        const settlement = delivered(delivery);
        return { ...settlement, outcome: { ...settlement.outcome, responseBody: `got ${delivery.body}` } };
      }),
    );
    await sealOnce(clear);
    const many = Array.from({ length: 450 }, (_, n) => ({
      ...about(`${n % 7}`, `many ${n}`),
      type: 'payment.received',
    }));
    await outbox.append(many);
    await claim(clear, [{ webhookId: hook, room: 1 }]);

    const me = await start(path, present);
    const clearRows = async (): Promise<number> => {
      const [row] = await test.schema.query(
        `SELECT (SELECT COUNT(*) FROM event_log WHERE body NOT LIKE 'aes:v1:%') +
           (SELECT COUNT(*) FROM delivery_log WHERE payload NOT LIKE 'aes:v1:%' OR response_body NOT LIKE 'aes:v1:%') AS n`,
      );
      return Number(row!['n']);
    };
    expect(await clearRows()).toBe(452 + 4);
    const last = await readClearTo(test.store, me.cipher);
    const proved = { ok: true, flaw: null, payloads: { proved: 2, pruned: 0, erased: 0 } };
    expect(await verifyLog(me)).toMatchObject(proved);
    // The request that is under way was given out in the clear: its answer would be written so.
    expect(await encryptPayloads(me, last)).toEqual({ kind: 'waits', encrypted: 50 });
    expect(await verifyLog(me)).toMatchObject(proved);
    expect(await encryptPayloads(me, last)).toEqual({ kind: 'waits', encrypted: 2 });
    await test.schema.query(
      "UPDATE queue SET state = 'pending', attempt = attempt - 1 WHERE state = 'sending'",
    );
    const steps = [];
    while (steps.at(-1)?.kind !== 'done') steps.push(await encryptPayloads(me, last));
    expect(steps.map(({ encrypted }) => encrypted).reduce((a, b) => a + b, 0)).toBe(400);
    expect(await clearRows()).toBe(0);
    expect(await verifyLog(me)).toMatchObject(proved);

    const { payload, responseBody } = await getDelivery(
      me,
      fresh.find(({ webhookId }) => webhookId === narrow)!.id,
    );
    expect([payload, responseBody]).toEqual([fresh[1]!.body, `got ${fresh[1]!.body}`]);
    expect(new Set(Object.values(await readEvents(me)))).toEqual(new Set(['readable']));
    await erase(me, '45');
    expect(await readEvents(me)).toMatchObject({ answered: 'gone', 'many 1': 'readable' });
  });
});
