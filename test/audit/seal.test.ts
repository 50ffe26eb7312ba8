import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { listActs } from '../../src/audit/acts.ts';
import { dropSeals } from '../../src/audit/drop-seals.ts';
import { erasePatient } from '../../src/audit/erase.ts';
import { headJson, parseHead, readHead, type Head } from '../../src/audit/head.ts';
import { recordAct, type Actor } from '../../src/audit/record-act.ts';
import { sealOnce, type Seal } from '../../src/audit/seal.ts';
import type { DomainEvent } from '../../src/event/types.ts';
import { verifyLog, type FlawKind } from '../../src/audit/verify.ts';
import { settle } from '../../src/outbox/settle.ts';
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
  /** Three seals: attempts 1 to 3 with act 1; attempts 4 to 6; attempt 7 with acts 2 and 3. */
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
  const act = (action: string): Promise<void> =>
    recordAct(test.store, { actor: ana, action, target: 'Pagos', details });
  return {
    send,
    sendOwn,
    act,
    async sealThree() {
      await send('45', '46', '45');
      await act('webhook.update');
      expect(await sealOnce(test.vault)).toMatchObject({ number: 1, entries: 4 });
      await send('45', '47', '48');
      expect(await sealOnce(test.vault)).toMatchObject({ number: 2, entries: 3 });
      await send('49');
      await act('webhook.rotate-secret');
      await act('webhook.disable');
      expect(await sealOnce(test.vault)).toMatchObject({ number: 3, entries: 3 });
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

  it('proves what nobody touched, and seals nothing twice', async () => {
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
      entries: 10,
      payloads: { proved: 7, pruned: 0, erased: 0 },
      unsealed: 1,
      firstSeal: 1,
      lastSeal: 3,
      lastHash: head.hash,
      headCompared: true,
      fingerprint: head.fingerprint,
    });
    expect(steps).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
    expect(head.fingerprint).toMatch(/^([0-9a-f]{4}:){15}[0-9a-f]{4}$/);
  });

  it('finds against a head from elsewhere that the end was cut off without a trace', async () => {
    const head = await sealThree();
    await test.schema.query(
      `DELETE FROM attempts WHERE id > 6; DELETE FROM audit_log WHERE id > 1; DELETE FROM seals WHERE number = 3;
       DELETE FROM seal_leaves WHERE seal = 3;
       UPDATE seal_state SET progress = JSON_SET(progress, '$.seals', 2, '$.attempts.to', 6, '$.audit_log.to', 1)`,
    );
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
    expect(await verifyLog(test.vault, { head })).toMatchObject({ ok: false, flaw: { kind: 'truncated' } });
  });

  it('finds against a head from elsewhere that everything was rewritten, with the same key or another', async () => {
    const head = await sealThree();
    const rewrite = async (): Promise<void> => {
      await test.schema.query(
        `UPDATE attempts SET outcome = 'delivered'; DELETE FROM seals; DELETE FROM seal_leaves;
         UPDATE seal_state SET progress = '{"attempts":{"to":0,"open":[]},"audit_log":{"to":0,"open":[]},"seals":0}'`,
      );
      for (let left = 4; left > 0; left -= 1) await sealOnce(test.vault, { maximumEntries: 3 });
    };
    await rewrite();
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, headCompared: false });
    expect(await verifyLog(test.vault, { head })).toMatchObject({
      ok: false,
      flaw: { kind: 'rewritten', seal: 3 },
    });
    await test.schema.query('DELETE FROM seal_state; DELETE FROM seals; DELETE FROM seal_leaves');
    await seal();
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
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

  it('seals no attempts that tell of seals while there is nothing else, and then with what comes', async () => {
    await send('45');
    expect(await seal()).toMatchObject({ number: 1, entries: 1 });
    const told = ['told 1', 'told 2'].map((name) => eventOf(name, { type: 'audit.sealed', key: 'head' }));
    await sendOwn(...told);
    expect([await seal(), await seal()]).toEqual([null, null]);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, seals: 1, unsealed: 2 });
    await send('46');
    expect(await seal()).toMatchObject({ number: 2, entries: 3 });
    await sendOwn(eventOf('told 3', { type: 'audit.sealed', key: 'head' }));
    await act('webhook.update');
    expect(await seal()).toMatchObject({ number: 3, entries: 2 });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, seals: 3, unsealed: 0 });
    // Behind a whole seal of them something else may stand.
    await sendOwn(
      ...['told 4', 'told 5'].map((name) => eventOf(name, { type: 'audit.sealed', key: 'head' })),
    );
    expect(await sealOnce(test.vault, { maximumEntries: 2 })).toMatchObject({ number: 4, entries: 2 });
  });

  it('waits for a row whose id was given out before one that is visible', async () => {
    const early = await test.schema.connect();
    await early.query('BEGIN');
    await early.query(
      "INSERT INTO attempts (delivery_id, number, started_at, duration_ms, outcome) VALUES (1, 9, UTC_TIMESTAMP(3), 1, 'lost')",
    );
    await send('45');
    expect(await seal()).toMatchObject({ number: 1, entries: 1 });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, entries: 1 });

    // Its grace is over, but it holds its row: the range stays open until it ends.
    const sealing = sealOnce(test.vault, { graceMs: 0 });
    await waitFor(sealerWaits, { what: 'the sealer to wait for the row' });
    await early.query('COMMIT');
    expect(await sealing).toMatchObject({ number: 2, entries: 1 });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, entries: 2, unsealed: 0 });

    // Now the range is closed: what appears in it was not there.
    await test.schema.query('DELETE FROM attempts WHERE number = 9');
    expect(await verifyLog(test.vault)).toMatchObject({ flaw: { kind: 'deleted' } });
  });

  async function sealerWaits(): Promise<boolean> {
    const sessions = await test.schema.sessions();
    return sessions.some(
      ({ db, info }) => db === test.schema.name && info?.startsWith('SELECT COUNT(*) FROM attempts') === true,
    );
  }

  it('gives up an id whose row was rolled back, once its grace is over', async () => {
    await test.schema.query(
      "BEGIN; INSERT INTO audit_log (actor, role, action) VALUES ('x', 'admin', 'y'); ROLLBACK",
    );
    await act('webhook.update');
    expect(await seal()).toMatchObject({ entries: 1 });
    await test.schema.query("INSERT INTO audit_log (id, actor, role, action) VALUES (1, 'x', 'admin', 'y')");
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
    await test.schema.query('DELETE FROM audit_log WHERE id = 1');
    expect(await sealOnce(test.vault, { graceMs: 0 })).toBeNull();
    await test.schema.query("INSERT INTO audit_log (id, actor, role, action) VALUES (1, 'x', 'admin', 'y')");
    expect(await verifyLog(test.vault)).toMatchObject({
      ok: false,
      flaw: { kind: 'inserted', log: 'audit_log', entryId: 1 },
    });
  });

  it('drops the seals whose time is over, with their entries, and still verifies', async () => {
    const old = await sealThree();
    const day = 86_400_000;
    expect(await dropSeals(test.vault, { olderThanMs: day })).toEqual({ dropped: 0, more: false });
    expect(await dropSeals(test.vault, { olderThanMs: -day })).toEqual({ dropped: 2, more: false });
    expect(await verifyLog(test.vault, { head: old })).toMatchObject({
      ok: true,
      firstSeal: 3,
      lastSeal: 3,
      entries: 3,
      headCompared: true,
    });
    const counts = await test.schema.query(
      'SELECT (SELECT COUNT(*) FROM attempts) AS attempts, (SELECT COUNT(*) FROM audit_log) AS acts, (SELECT COUNT(*) FROM seal_leaves) AS leaves',
    );
    expect(counts).toEqual([{ attempts: 1, acts: 2, leaves: 3 }]);
    await send('51');
    expect(await seal()).toMatchObject({ number: 4, entries: 1 });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, seals: 2 });
    await dropSeals(test.vault, { olderThanMs: -day });
    expect(await verifyLog(test.vault, { head: (await readHead(test.store))! })).toMatchObject({
      ok: true,
      firstSeal: 4,
    });
    expect(await verifyLog(test.vault, { head: old })).toMatchObject({ headCompared: true, ok: true });
    await test.schema.query(
      'DELETE FROM seals; DELETE FROM seal_leaves; DELETE FROM attempts; DELETE FROM audit_log',
    );
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'truncated', seal: 4 } });
  });

  it('verifies after an erasure, and knows it from a payload that somebody removed', async () => {
    await sealThree();
    expect(await erasePatient(test.vault, { patient: '45', reason: 'she asked for it', actor: ana })).toEqual(
      {
        events: 3,
        ended: 0,
        beingSent: 0,
        keyFile: null,
      },
    );
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
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'deleted', seal: 4 } });
  });

  it('seals more entries at once than it reads or writes at once', async () => {
    const patients = Array.from({ length: 1_001 }, (_, n) => String(n % 7));
    await log.send(...patients);
    expect(await seal()).toMatchObject({ number: 1, entries: 1_001 });
    expect(await verifyLog(test.vault)).toMatchObject({
      ok: true,
      entries: 1_001,
      unsealed: 0,
      payloads: { proved: 1_001 },
    });
    const [row] = await test.schema.query('SELECT MAX(place) AS last FROM seal_leaves');
    expect(row).toEqual({ last: 1_000 });
  });

  it('seals every entry of concurrent writers once, by two sealers at once', async () => {
    const writers = await Promise.all(Array.from({ length: 6 }, () => test.schema.connect()));
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
      writers.map(async (connection, writer) => {
        for (let n = 0; n < 40; n += 1) {
          await connection.query('BEGIN');
          await connection.query(
            "INSERT INTO audit_log (actor, role, action) VALUES ('a', 'admin', 'x'), ('b', 'admin', 'x')",
          );
          await connection.query('DO SLEEP(?)', [((n * 7 + writer * 3) % 10) / 1_000]);
          await connection.query(n % 5 === writer % 5 ? 'ROLLBACK' : 'COMMIT');
        }
      }),
    );
    writing = false;
    const sealed = (await Promise.all(sealers)).reduce((sum, n) => sum + n, 0);
    // What one sealer left because the other was at it.
    const rest = (await seal())?.entries ?? 0;
    const [row] = await test.schema.query('SELECT COUNT(*) AS n FROM audit_log');
    expect(row!['n']).toBe(6 * 32 * 2);
    expect(sealed + rest).toBe(row!['n']);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, entries: row!['n'], unsealed: 0 });
  });
});

/** What was done by SQL, what verify says of it, and what it names. */
const tampering: [
  string,
  string,
  FlawKind,
  { seal: number | null; log: string | null; entryId: number | null },
][] = [
  [
    'an outcome is edited',
    "UPDATE attempts SET outcome = 'delivered', response_status = 200 WHERE id = 2",
    'edited',
    { seal: 1, log: 'attempts', entryId: 2 },
  ],
  [
    'a moment is edited',
    'UPDATE attempts SET started_at = started_at + INTERVAL 1 SECOND WHERE id = 5',
    'edited',
    { seal: 2, log: 'attempts', entryId: 5 },
  ],
  [
    'a payload is edited',
    `UPDATE event_log SET body = REPLACE(body, 'event', 'even7') WHERE seq = 4`,
    'edited',
    { seal: 2, log: 'attempts', entryId: 4 },
  ],
  [
    'a payload is put under another delivery',
    "UPDATE delivery_log SET payload = '{}' WHERE id = 6",
    'edited',
    { seal: 2, log: 'attempts', entryId: 6 },
  ],
  [
    'a payload is deleted',
    'UPDATE event_log SET body = NULL WHERE seq = 3',
    'deleted',
    { seal: 1, log: 'attempts', entryId: 3 },
  ],
  [
    'the receiver is edited',
    'UPDATE delivery_log SET webhook_id = 9 WHERE id = 1',
    'edited',
    { seal: 1, log: 'attempts', entryId: 1 },
  ],
  [
    'the patient is edited',
    "UPDATE event_log SET subject = '99' WHERE seq = 7",
    'edited',
    { seal: 3, log: 'attempts', entryId: 7 },
  ],
  [
    'the event is edited',
    "UPDATE event_log SET type = 'patient.created' WHERE seq = 1",
    'edited',
    { seal: 1, log: 'attempts', entryId: 1 },
  ],
  [
    'an act is edited',
    "UPDATE audit_log SET actor = 'luis' WHERE id = 2",
    'edited',
    { seal: 3, log: 'audit_log', entryId: 2 },
  ],
  [
    "an act's details are edited",
    `UPDATE audit_log SET details = '{"a":["n",null],"b":1.5,"c":{}}' WHERE id = 1`,
    'edited',
    { seal: 1, log: 'audit_log', entryId: 1 },
  ],
  [
    'an attempt is deleted',
    'DELETE FROM attempts WHERE id = 4',
    'deleted',
    { seal: 2, log: 'attempts', entryId: 4 },
  ],
  [
    'an attempt is deleted with its leaf',
    "DELETE FROM attempts WHERE id = 4; DELETE FROM seal_leaves WHERE entry_id = 4 AND log = 'attempts'",
    'deleted',
    { seal: 2, log: null, entryId: null },
  ],
  [
    'an act is deleted',
    'DELETE FROM audit_log WHERE id = 3',
    'deleted',
    { seal: 3, log: 'audit_log', entryId: 3 },
  ],
  [
    'a delivery is deleted',
    'DELETE FROM delivery_log WHERE id = 5',
    'deleted',
    { seal: 2, log: 'attempts', entryId: 5 },
  ],
  [
    'an event is deleted',
    'DELETE FROM event_log WHERE seq = 5',
    'deleted',
    { seal: 2, log: 'attempts', entryId: 5 },
  ],
  [
    'the last attempts are cut off',
    'DELETE FROM attempts WHERE id >= 6',
    'deleted',
    { seal: 2, log: 'attempts', entryId: 6 },
  ],
  [
    'an attempt is inserted where one was',
    'UPDATE attempts SET id = 100 WHERE id = 3; INSERT INTO attempts SELECT 3, 1, 1, started_at, 5, outcome, 200, reason FROM attempts WHERE id = 1',
    'edited',
    { seal: 1, log: 'attempts', entryId: 3 },
  ],
  [
    'an act is inserted before the others',
    "UPDATE audit_log SET id = 4 WHERE id = 3; UPDATE seal_leaves SET entry_id = 4 WHERE log = 'audit_log' AND entry_id = 3; INSERT INTO audit_log (id, actor, role, action) VALUES (3, 'x', 'admin', 'y')",
    'edited',
    { seal: 3, log: 'audit_log', entryId: 4 },
  ],
  [
    'an attempt is inserted below the last',
    'INSERT INTO attempts SELECT 0 - 1, delivery_id, number, started_at, 5, outcome, 200, reason FROM attempts WHERE id = 1',
    'inserted',
    { seal: null, log: 'attempts', entryId: -1 },
  ],
  [
    'two attempts change places',
    'UPDATE attempts SET id = 100 WHERE id = 1; UPDATE attempts SET id = 1 WHERE id = 2; UPDATE attempts SET id = 2 WHERE id = 100',
    'edited',
    { seal: 1, log: 'attempts', entryId: 1 },
  ],
  [
    'two leaves change places',
    'UPDATE seal_leaves SET place = 100 WHERE seal = 2 AND place = 0; UPDATE seal_leaves SET place = 0 WHERE seal = 2 AND place = 1; UPDATE seal_leaves SET place = 1 WHERE seal = 2 AND place = 100',
    'reordered',
    { seal: 2, log: null, entryId: null },
  ],
  [
    'a leaf moves to another seal',
    'UPDATE seal_leaves SET seal = 3, place = 50 WHERE seal = 2 AND place = 2',
    'deleted',
    { seal: 2, log: null, entryId: null },
  ],
  [
    'a seal is edited',
    'UPDATE seals SET sealed_at = sealed_at + INTERVAL 1 HOUR WHERE number = 2',
    'edited',
    { seal: 2, log: null, entryId: null },
  ],
  [
    'a seal is signed by somebody else',
    'UPDATE seals SET signature = REVERSE(signature) WHERE number = 2',
    'forged',
    { seal: 2, log: null, entryId: null },
  ],
  [
    'a seal is deleted',
    'DELETE FROM seals WHERE number = 2',
    'deleted',
    { seal: 2, log: null, entryId: null },
  ],
  [
    'the last seal is deleted',
    'DELETE FROM seals WHERE number = 3',
    'truncated',
    { seal: 3, log: null, entryId: null },
  ],
  [
    'two seals change places',
    'UPDATE seals SET number = 9 WHERE number = 1; UPDATE seals SET number = 1 WHERE number = 2; UPDATE seals SET number = 2 WHERE number = 9',
    'edited',
    { seal: 1, log: null, entryId: null },
  ],
  [
    'the beginning of the chain is moved',
    'UPDATE seal_state SET anchor_number = 1, anchor_hash = (SELECT hash FROM seals WHERE number = 1); DELETE FROM seals WHERE number = 1',
    'forged',
    { seal: null, log: null, entryId: null },
  ],
  [
    "a patient's key is deleted",
    "DELETE FROM subject_keys WHERE subject = '47'",
    'edited',
    { seal: 2, log: 'attempts', entryId: 5 },
  ],
  [
    'everything is deleted',
    'DELETE FROM attempts; DELETE FROM audit_log; DELETE FROM seals; DELETE FROM seal_leaves',
    'truncated',
    { seal: 1, log: null, entryId: null },
  ],
];

describe.each(servers)('a sealed log that was tampered with on %s', (variant) => {
  const tables = [
    'event_log',
    'delivery_log',
    'attempts',
    'audit_log',
    'subject_keys',
    'seals',
    'seal_leaves',
    'seal_state',
  ];
  let test: TestStore;

  beforeAll(async () => {
    test = await openTestStore(variant);
    await (await openTestLog(test)).sealThree();
    for (const table of tables)
      await test.schema.query(`CREATE TABLE whole_${table} AS SELECT * FROM ${table}`);
  });
  afterAll(() => test.close());
  beforeEach(() =>
    test.schema.query(
      tables
        .map((table) => `DELETE FROM ${table}; INSERT INTO ${table} SELECT * FROM whole_${table}`)
        .join(';'),
    ),
  );

  it.each(tampering)('finds that %s', async (_what, sql, kind, at) => {
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, entries: 10 });
    await test.schema.query(sql);
    const { ok, flaw } = await verifyLog(test.vault);
    expect({ ok, flaw }).toEqual({ ok: false, flaw: { kind, ...at, message: expect.any(String) as string } });
  });
});
