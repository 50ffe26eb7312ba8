import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { listActs } from '../../src/audit/act/acts.ts';
import { beginAnew } from '../../src/audit/act/begin-anew.ts';
import { dropSeals } from '../../src/audit/seal/drop-seals.ts';
import { erasePatient } from '../../src/audit/erase.ts';
import { headJson, parseHead, readHead, type Head } from '../../src/audit/seal/head.ts';
import { recordAct, type Actor } from '../../src/audit/act/record-act.ts';
import { sealOnce, type Seal } from '../../src/audit/seal/seal.ts';
import { openMarker } from '../../src/db/proof/marks.ts';
import { anchorText, privateKeyOf, readSealState, signText } from '../../src/db/proof/seal-key.ts';
import type { DomainEvent } from '../../src/event/types.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { servers } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  addWebhook,
  claimant,
  delivered,
  emptyTables,
  eventOf,
  failed,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';

const ana: Actor = { name: 'ana', role: 'admin' };

/** Writes into the log as deliveries and people do. */
interface TestLog {
  /** Sends events about these patients, each in one attempt. */
  send(...patients: string[]): Promise<void>;
  /** Sends these, each in one attempt. */
  sendOwn(...events: DomainEvent[]): Promise<void>;
  act(action: string): Promise<void>;
  /**
   * Three seals: events, deliveries and attempts 1 to 3 with act 1 and two by which the store is adopted; 4 to 6; 7 with acts 4 and 5.
   */
  sealThree(): Promise<void>;
}

async function openTestLog(test: TestStore): Promise<TestLog> {
  await addWebhook(test.vault, { events: ['*', 'audit.sealed'] });
  const me = claimant(test.store);
  const outbox = await openTestAppender(me, test.vault);
  let sent = 0;
  async function send(...patients: string[]): Promise<void> {
    await sendOwn(...patients.map((subject) => eventOf(`event ${(sent += 1)}`, { subject, key: subject })));
  }
  async function sendOwn(...events: DomainEvent[]): Promise<void> {
    const { fresh } = await outbox.append(events, { room: muchRoom });
    await settle(
      me,
      fresh.map((delivery, index) =>
        index % 2 === 0 ? delivered(delivery) : failed(delivery, { kind: 'exhausted' }),
      ),
    );
  }
  const details = { b: 1.5, a: ['ñ', null], c: {} };
  const act = async (action: string): Promise<void> => {
    await recordAct(test.store, test.vault.cipher, { actor: ana, action, target: 'Pagos', details });
  };
  return {
    send,
    sendOwn,
    act,
    async sealThree() {
      await send('45', '46', '45');
      await act('webhook.update');
      expect(await sealOnce(test.vault)).toMatchObject({ number: 1, entries: 12 });
      await send('45', '47', '48');
      expect(await sealOnce(test.vault)).toMatchObject({ number: 2, entries: 9 });
      await send('49');
      await act('webhook.rotate-secret');
      await act('webhook.disable');
      expect(await sealOnce(test.vault)).toMatchObject({ number: 3, entries: 5 });
    },
  };
}

describe.each(servers)('the sealed log on %s', (variant) => {
  let test: TestStore;
  let log: TestLog;

  beforeAll(async () => {
    test = await openTestStore(variant);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await emptyTables(test);
    log = await openTestLog(test);
  });

  const send = (...patients: string[]): Promise<void> => log.send(...patients);
  const sendOwn = (...events: DomainEvent[]): Promise<void> => log.sendOwn(...events);
  const act = (action: string): Promise<void> => log.act(action);
  const seal = (): Promise<Seal | null> => sealOnce(test.vault);
  const sealThree = async (): Promise<Head> => {
    await log.sealThree();
    return (await readHead(test.store))!;
  };

  it('proves an untouched log, and seals nothing twice', async () => {
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, seals: 0 });
    const head = await sealThree();
    expect(await seal()).toBeNull();
    await send('50');
    const steps: [number, number][] = [];
    const verified = await verifyLog(test.vault, {
      head: parseHead(JSON.stringify(headJson(head))),
      onProgress: (done, total) => steps.push([done, total]),
    });
    expect(verified).toMatchObject({
      ok: true,
      flaw: null,
      seals: 3,
      entries: 26,
      deliveries: 8,
      unproved: ['origin'],
      payloads: { proved: 7, pruned: 0, erased: 0 },
      unsealed: 1,
      firstSeal: 1,
      lastSeal: 3,
      lastHash: head.hash,
      headCompared: true,
      fingerprint: head.fingerprint,
    });
    expect(steps.at(-1)).toEqual([34, 34]);
    expect(steps.every(([done], index) => done >= (steps[index - 1]?.[0] ?? 0))).toBe(true);
    expect(head.fingerprint).toMatch(/^([0-9a-f]{4}:){15}[0-9a-f]{4}$/);
  });

  it('finds against a head from elsewhere that the end was cut off without a trace', async () => {
    const head = await sealThree();
    await test.schema.query(
      `DELETE FROM attempts WHERE id > 6; DELETE FROM audit_log WHERE id > 3; DELETE FROM event_log WHERE seq > 6;
       DELETE FROM delivery_log WHERE id > 6; DELETE FROM seals WHERE number = 3; DELETE FROM seal_packs WHERE seal = 3;
       UPDATE seal_state SET progress = JSON_SET(progress, '$.seals', 2)`,
    );
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, unproved: ['end', 'key', 'origin'] });
    expect(await verifyLog(test.vault, { head })).toMatchObject({ ok: false, flaw: { kind: 'truncated' } });
  });

  it('finds against a head from elsewhere that everything was rewritten, with the same key or another', async () => {
    const head = await sealThree();
    const unproved = ['end', 'key', 'origin'];
    // The same key: its owner signs a chain of other seals.
    const state = (await readSealState(test.store))!;
    await test.schema.query(
      "DELETE FROM seals; DELETE FROM seal_packs; UPDATE seal_state SET progress = JSON_SET(progress, '$.seals', 0)",
    );
    await expect(seal()).rejects.toMatchObject({ code: 'ERR_AUDIT' });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'truncated' } });
    const signature = signText(privateKeyOf(state, test.vault.cipher), anchorText(state.anchor, 'empty'));
    await test.schema.query('UPDATE seal_state SET anchor_signature = ?', [signature]);
    while (await sealOnce(test.vault, { maximumEntries: 6 }));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, headCompared: false });
    expect(await verifyLog(test.vault, { head })).toMatchObject({
      ok: false,
      flaw: { kind: 'rewritten', seal: 3 },
    });
    // Another key: it is made on record alone.
    await test.schema.query('DELETE FROM seal_state; DELETE FROM seals; DELETE FROM seal_packs');
    await expect(seal()).rejects.toMatchObject({ code: 'ERR_AUDIT' });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'truncated' } });
    await beginAnew(test.vault, { actor: ana, reason: 'no backup' });
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, unproved });
    const pinned = { fingerprint: head.fingerprint };
    expect(await verifyLog(test.vault, pinned)).toMatchObject({ ok: false, flaw: { kind: 'rewritten' } });
    expect(await verifyLog(test.vault, { head })).toMatchObject({ ok: false, flaw: { kind: 'rewritten' } });
  });

  it('refuses a head that was edited', async () => {
    const head = await sealThree();
    for (const edit of [
      { hash: 'f'.repeat(64) },
      { number: 2 },
      { publicKey: 'AAAA' },
      { fingerprint: '' },
    ]) {
      const edited = JSON.stringify(headJson({ ...head, ...edit }));
      expect(() => parseHead(edited)).toThrow('no head of a sealed log');
      expect(() => parseHead(`{"event":"audit.sealed","data":${edited}}`)).toThrow('no head of a sealed log');
    }
    expect(() => parseHead('{"data":null}')).toThrow('no head of a sealed log');
    expect(() => parseHead('{')).toThrow('no head of a sealed log');
  });

  it('seals no attempts that report seals while there is nothing else, and then with the next entries', async () => {
    await send('45');
    expect(await seal()).toMatchObject({ number: 1, entries: 5 });
    const told = ['told 1', 'told 2'].map((name) => eventOf(name, { type: 'audit.sealed', key: 'head' }));
    await sendOwn(...told);
    expect([await seal(), await seal()]).toEqual([null, null]);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, seals: 1, unsealed: 2 });
    await send('46');
    expect(await seal()).toMatchObject({ number: 2, entries: 9 });
    await sendOwn(eventOf('told 3', { type: 'audit.sealed', key: 'head' }));
    await act('webhook.update');
    expect(await seal()).toMatchObject({ number: 3, entries: 4 });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, seals: 3, unsealed: 0 });
    // Behind a whole seal of them something else may stand.
    await sendOwn(
      ...['told 4', 'told 5'].map((name) => eventOf(name, { type: 'audit.sealed', key: 'head' })),
    );
    expect(await sealOnce(test.vault, { maximumEntries: 6 })).toMatchObject({ number: 4, entries: 6 });
  });

  it('waits for a row whose id was given out before one that is visible', async () => {
    await openMarker(test.store, test.vault.cipher);
    const [written, released] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    const early = test.another().transaction(async (tx) => {
      await recordAct(tx, test.vault.cipher, { actor: ana, action: 'webhook.update' });
      written.resolve(undefined);
      await released.promise;
    });
    await written.promise;
    await act('webhook.update');
    expect(await seal()).toMatchObject({ number: 1, entries: 3 });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, entries: 3 });

    // Its grace is over, but it holds its row: the range stays open until it ends.
    const sealing = sealOnce(test.vault, { graceMs: 0 });
    await waitFor(sealerWaits, { what: 'the sealer to wait for the row' });
    released.resolve(undefined);
    await early;
    expect(await sealing).toMatchObject({ number: 2, entries: 1 });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, entries: 4, unsealed: 0 });

    // Now the range is closed: what appears in it was not there.
    await test.schema.query('DELETE FROM audit_log WHERE id = 1');
    expect(await verifyLog(test.vault)).toMatchObject({ flaw: { kind: 'deleted', entryId: 1 } });
  });

  async function sealerWaits(): Promise<boolean> {
    const sessions = await test.schema.sessions();
    return sessions.some(
      ({ db, info }) =>
        db === test.schema.name && info?.startsWith('SELECT COUNT(*) FROM audit_log') === true,
    );
  }

  it('gives up an id whose row was rolled back, once its grace is over', async () => {
    await test.schema.query(
      "BEGIN; INSERT INTO audit_log (actor, role, action) VALUES ('x', 'admin', 'y'); ROLLBACK",
    );
    await act('webhook.update');
    expect(await seal()).toMatchObject({ entries: 3 });
    const insert = "INSERT INTO audit_log (id, actor, role, action) VALUES (1, 'x', 'admin', 'y')";
    await test.schema.query(insert);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
    await test.schema.query('DELETE FROM audit_log WHERE id = 1');
    await act('webhook.update');
    expect(await sealOnce(test.vault, { graceMs: 0 })).toMatchObject({ entries: 1 });
    await test.schema.query(insert);
    expect(await verifyLog(test.vault)).toMatchObject({
      ok: false,
      flaw: { kind: 'inserted', log: 'audit_log', entryId: 1 },
    });
  });

  it('drops the seals whose time is over, with their entries, and still verifies', async () => {
    const old = await sealThree();
    const age = (ms: number) => ({ olderThanMs: ms });
    expect(await dropSeals(test.vault, age(86_400_000))).toEqual({ dropped: 0, more: false });
    expect(await dropSeals(test.vault, age(0))).toEqual({ dropped: 2, more: false });
    expect(await verifyLog(test.vault, { head: old })).toMatchObject({
      ok: true,
      firstSeal: 3,
      lastSeal: 3,
      entries: 5,
      headCompared: true,
    });
    const counts = await test.schema.query(
      'SELECT (SELECT COUNT(*) FROM attempts) AS attempts, (SELECT COUNT(*) FROM seal_packs WHERE seal < 3) AS packs',
    );
    expect(counts).toEqual([{ attempts: 1, packs: 0 }]);
    // What acts must explain for longer than they are kept was written anew: the settings of the webhook, and that the store was adopted.
    expect(await listActs(test.store, { actor: 'odontology-webhooks' }, { limit: 9 })).toMatchObject({
      items: [
        { action: 'retention.drop', details: { from: 1, to: 2, retention_ms: 0, attempts: 6, acts: 3 } },
        { action: 'store.adopt', details: { kept: { act: 3 } } },
        {
          action: 'webhook.adopt',
          target: '1',
          details: { kept: { act: 2 }, state: { events: ['*', 'audit.sealed'] } },
        },
      ],
    });
    await send('51');
    expect(await seal()).toMatchObject({ number: 4, entries: 6 });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, seals: 2 });
    await dropSeals(test.vault, age(0));
    expect(await verifyLog(test.vault, { head: (await readHead(test.store))! })).toMatchObject({
      ok: true,
      firstSeal: 4,
    });
    expect(await verifyLog(test.vault, { head: old })).toMatchObject({ headCompared: true, ok: true });
    await test.schema.query(
      'DELETE FROM seals; DELETE FROM seal_packs; DELETE FROM attempts; DELETE FROM audit_log',
    );
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'truncated', seal: 4 } });
    await expect(seal()).rejects.toThrow('its last seal is missing');
  });

  it('verifies after an erasure, and distinguishes it from a payload that was removed by SQL', async () => {
    await sealThree();
    expect(
      await erasePatient(test.vault, { patient: '45', reason: 'she asked for it', actor: ana }),
    ).toMatchObject({
      events: 3,
      ended: 0,
      beingSent: 0,
      keyFile: null,
    });
    await send('45');
    await seal();
    expect(await verifyLog(test.vault)).toMatchObject({
      ok: true,
      payloads: { proved: 5, pruned: 0, erased: 3 },
    });
    expect(await listActs(test.store, { action: 'patient.erase' }, { limit: 2 })).toMatchObject({
      items: [{ actor: 'ana', target: '45', details: { reason: 'she asked for it', events: 3 } }],
    });
    await test.schema.query("UPDATE event_log SET body = NULL WHERE subject = '45'");
    expect(await verifyLog(test.vault)).toMatchObject({
      ok: false,
      flaw: { kind: 'deleted', log: 'event_log', entryId: 8, fields: ['body'] },
    });
  });

  it('seals more entries at once than it reads or writes at once', async () => {
    const patients = Array.from({ length: 1_001 }, (_, n) => String(n % 7));
    await log.send(...patients);
    expect(await seal()).toMatchObject({ number: 1, entries: 3_005 });
    expect(await verifyLog(test.vault)).toMatchObject({
      ok: true,
      entries: 3_005,
      deliveries: 1_001,
      unsealed: 0,
      payloads: { proved: 1_001 },
    });
    const [row] = await test.schema.query('SELECT COUNT(*) AS packs FROM seal_packs');
    expect(row).toEqual({ packs: 1 + 3 * 3 });
  });

  it('seals every entry of concurrent writers once, by two sealers at once', async () => {
    await openMarker(test.store, test.vault.cipher);
    const writers = Array.from({ length: 6 }, () => test.another());
    let writing = true;
    const sealers = [test.store, test.another()].map(async (store) => {
      let sealed = 0;
      for (;;) {
        const last = !writing;
        const made = await sealOnce({ ...test.vault, store }, { maximumEntries: 40 });
        sealed += made?.entries ?? 0;
        if (last && !made) return sealed;
      }
    });
    await Promise.all(
      writers.map(async (store, writer) => {
        for (let n = 0; n < 40; n += 1) {
          const isUndone = n % 5 === writer % 5;
          const written = store.transaction(async (tx) => {
            for (const name of ['a', 'b'])
              await recordAct(tx, test.vault.cipher, { actor: { name, role: 'admin' }, action: 'x' });
            await tx.rows('SELECT SLEEP(?)', [((n * 7 + writer * 3) % 10) / 1_000]);
            if (isUndone) throw new Error('undone');
          });
          await (isUndone ? expect(written).rejects.toThrow('undone') : written);
        }
      }),
    );
    writing = false;
    const sealed = (await Promise.all(sealers)).reduce((sum, n) => sum + n, 0);
    // What one sealer left because the other was at it.
    const rest = (await seal())?.entries ?? 0;
    const [row] = await test.schema.query('SELECT COUNT(*) AS n FROM audit_log');
    expect(row!['n']).toBe(6 * 32 * 2 + 2);
    expect(sealed + rest).toBe(row!['n']);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, entries: row!['n'], unsealed: 0 });
  });
});
