import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { auditorViews, prepareAuditor } from '../../src/audit/auditor.ts';
import { dropSeals } from '../../src/audit/seal/drop-seals.ts';
import { readHead } from '../../src/audit/seal/head.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import type { Flaw } from '../../src/audit/verify/flaw.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { readViewQueries } from '../../src/db/schema/definitions.ts';
import type { Store } from '../../src/db/connection/client.ts';
import { flavours } from '../support/server.ts';
import { openFilledStore, type FilledStore } from './filled-store.ts';

type Found = Partial<Pick<Flaw, 'kind' | 'log' | 'entryId' | 'delivery' | 'fields'>>;

/** What SQL does to hide or to invent a delivery: more than one column at a time, and so that the rows fit each other. */
const attacks: [what: string, sql: string, found: Found, undo?: string][] = [
  [
    'queue: of another webhook',
    'UPDATE queue SET webhook_id = 7 WHERE delivery_id = 4',
    { kind: 'edited', delivery: 4, fields: ['webhook_id'] },
  ],
  [
    'queue: of another event',
    'UPDATE queue SET event_seq = 1 WHERE delivery_id = 4',
    { kind: 'edited', delivery: 4, fields: ['event_seq'] },
  ],
  [
    'queue: behind the deliveries of another entity',
    'UPDATE queue a JOIN queue b ON b.delivery_id = 4 SET a.lane = b.lane WHERE a.delivery_id = 3',
    { kind: 'edited', delivery: 3, fields: ['lane'] },
  ],
  [
    'queue: never sent, because it waits for nothing',
    "UPDATE queue SET state = 'waiting', due_at = NULL, lane = NULL WHERE delivery_id = 4",
    { kind: 'edited', delivery: 4, fields: ['state'] },
  ],
  [
    'queue: never sent, because it is never due',
    'UPDATE queue SET due_at = NULL WHERE delivery_id = 4',
    { kind: 'edited', delivery: 4, fields: ['due_at'] },
  ],
  [
    'queue: one attempt less before it is given up',
    'UPDATE queue SET attempt = 2 WHERE delivery_id = 3',
    { kind: 'edited', delivery: 3, fields: ['attempt'] },
  ],
  [
    'queue: as if it were being sent',
    "UPDATE queue SET state = 'sending' WHERE delivery_id = 3",
    { kind: 'edited', delivery: 3, fields: ['attempt'] },
  ],
  [
    'webhooks: failing since long ago',
    "UPDATE webhooks SET updated_at = updated_at, failing_since = '2026-01-01'",
    { kind: 'edited', fields: ['failing_since'] },
  ],
  [
    'webhooks: failing since an attempt that was delivered',
    `UPDATE webhooks SET updated_at = updated_at, failing_since =
       (SELECT recorded_at - INTERVAL 1000 MICROSECOND FROM attempts WHERE delivery_id = 1)`,
    { kind: 'edited', fields: ['failing_since'] },
  ],
  [
    'queue: orphan row',
    "INSERT INTO queue (delivery_id, webhook_id, event_seq, state, due_at) VALUES (77, 1, 1, 'pending', NOW())",
    { kind: 'inserted', delivery: 77 },
  ],
  [
    'queue: attempts_before raised so that a failed delivery counts as reopened',
    'UPDATE queue SET attempts_before = 1 WHERE delivery_id = 3; UPDATE delivery_log SET failed_at = NULL WHERE id = 3',
    { kind: 'unexplained', delivery: 3, fields: ['status'] },
  ],
  [
    'delivery_log: reopened with a replay of the webhook as excuse',
    "UPDATE delivery_log SET status='open', exhausted_at=NULL, failed_at=NULL WHERE id=2; INSERT INTO queue (delivery_id, webhook_id, event_seq, lane, state, due_at, attempt, attempts_before) SELECT 2,1,2,NULL,'pending',NOW(),1,1 FROM queue WHERE delivery_id=4",
    { kind: 'unexplained', delivery: 2, fields: ['status'] },
  ],
  [
    'delivery_log: a delivered one is reopened with a replay as excuse',
    "UPDATE delivery_log SET status='open', delivered_at=NULL WHERE id=1; INSERT INTO queue (delivery_id, webhook_id, event_seq, lane, state, due_at, attempt, attempts_before) SELECT 1,1,1,NULL,'pending',NOW(),1,1 FROM queue WHERE delivery_id=4",
    { kind: 'unexplained', delivery: 1, fields: ['status'] },
  ],
  [
    'event_log: hidden as if it were being staged',
    'UPDATE event_log SET staging = 1000 WHERE seq = 4',
    { kind: 'edited', log: 'event_log', entryId: 4, fields: ['staging'] },
  ],
  [
    'event_log: swap the subjects of two events',
    "UPDATE event_log SET subject = CASE seq WHEN 1 THEN '46' WHEN 2 THEN '45' END WHERE seq IN (1,2)",
    { kind: 'edited', delivery: 1, fields: ['subject'] },
  ],
  [
    'event_log: a body after an erasure',
    `UPDATE event_log SET body = '{"event":"forged"}' WHERE subject = '60'`,
    { kind: 'inserted', log: 'event_log', entryId: 5, fields: ['body'] },
  ],
  [
    'delivery_log: a payload after an erasure',
    `UPDATE delivery_log SET payload = '{"event":"forged"}' WHERE event_seq = 5`,
    { kind: 'inserted', log: 'delivery_log', fields: ['payload'] },
  ],
  [
    'event_log: swap two bodies',
    'UPDATE event_log a JOIN event_log b ON a.seq = 1 AND b.seq = 3 SET a.body = b.body',
    { kind: 'edited', log: 'event_log', entryId: 1, fields: ['body'] },
  ],
  [
    'event_log: subject in other case',
    "UPDATE event_log SET subject = '45 ' WHERE seq = 1",
    { kind: 'edited', delivery: 1, fields: ['subject'] },
  ],
  [
    'event_log: duplicate row',
    "INSERT INTO event_log (seq, id, type, entity_table, entity_key, subject, transaction_id, occurred_at, staging, body) SELECT 60, 'evt_copy', type, entity_table, entity_key, subject, transaction_id, occurred_at, staging, body FROM event_log WHERE seq = 1",
    { kind: 'inserted', log: 'event_log', entryId: 60 },
  ],
  [
    'event_log: negative seq',
    "INSERT INTO event_log (seq, id, type, entity_table, entity_key, subject, transaction_id, occurred_at, staging, body) SELECT -6, 'evt_copy', type, entity_table, entity_key, subject, transaction_id, occurred_at, staging, body FROM event_log WHERE seq = 1",
    { kind: 'inserted', log: 'event_log', entryId: -6 },
  ],
  [
    'event_log+delivery: whole invented delivery, delivered, counters moved',
    "INSERT INTO event_log (seq, id, type, entity_table, entity_key, subject, transaction_id, occurred_at, staging, body) SELECT 6, 'evt_copy', type, entity_table, entity_key, subject, transaction_id, occurred_at, staging, body FROM event_log WHERE seq = 1; UPDATE checkpoint SET next_event_seq = 7, next_delivery_id = 7; INSERT INTO delivery_log (id, webhook_id, event_seq, status, response_status, delivered_at) VALUES (6, 1, 6, 'delivered', 200, '2026-03-08'); INSERT INTO attempts (delivery_id, number, started_at, duration_ms, outcome, response_status, recorded_at, receiver) VALUES (6, 1, '2026-03-08', 5, 'delivered', 200, '2026-03-08', 1)",
    { kind: 'forged', delivery: 6 },
  ],
  [
    'delivery_log: invented open delivery of a real event, counters moved',
    "UPDATE checkpoint SET next_delivery_id = 7; INSERT INTO delivery_log (id, webhook_id, event_seq, status) VALUES (6, 9, 1, 'open'); INSERT INTO queue (delivery_id, webhook_id, event_seq, state, due_at) VALUES (6,9,1,'pending','2999-01-01')",
    { kind: 'unexplained', delivery: 6, fields: ['webhook_id'] },
  ],
  [
    'delivery_log: exhausted invented by the erasure of 60',
    "UPDATE checkpoint SET next_delivery_id = 7; INSERT INTO delivery_log (id, webhook_id, event_seq, status, failed_at, exhausted_at) SELECT 6, 9, event_seq, 'exhausted', failed_at, exhausted_at FROM delivery_log WHERE id = 5",
    { kind: 'unexplained', delivery: 6, fields: ['webhook_id'] },
  ],
  [
    'delivery_log: failed_at of the erased',
    "UPDATE delivery_log SET failed_at = '2020-01-01' WHERE id = 5",
    { kind: 'edited', delivery: 5, fields: ['failed_at'] },
  ],
  [
    'delivery_log: answer of another',
    'UPDATE delivery_log SET response_body = NULL WHERE id = 1',
    { kind: 'deleted', delivery: 1, fields: ['response_body'] },
  ],
  [
    'delivery_log: an answer is invented where there was none',
    "UPDATE delivery_log SET response_body = 'accepted' WHERE id = 2",
    { kind: 'edited', delivery: 2, fields: ['response_body'] },
  ],
  [
    'delivery_log: an answer of a delivery never tried',
    "UPDATE delivery_log SET response_body = 'accepted' WHERE id = 4",
    { kind: 'inserted', delivery: 4, fields: ['response_body'] },
  ],
  [
    'delivery_log: an answer of the erased',
    "UPDATE delivery_log SET response_body = 'accepted' WHERE id = 5",
    { kind: 'inserted', delivery: 5, fields: ['response_body'] },
  ],
  [
    'attempts: duplicate the delivered attempt for another delivery',
    'INSERT INTO attempts SELECT NULL, 4, number, started_at, duration_ms, outcome, response_status, reason, recorded_at, receiver, mark, explanation FROM attempts WHERE id = 1',
    { kind: 'forged', delivery: 4 },
  ],
  [
    'attempts: exact copy',
    'INSERT INTO attempts SELECT NULL, delivery_id, number, started_at, duration_ms, outcome, response_status, reason, recorded_at, receiver, mark, explanation FROM attempts WHERE id = 1',
    { kind: 'edited', delivery: 1, fields: ['number'] },
  ],
  [
    'attempts: copy with negative id',
    'INSERT INTO attempts SELECT -1, delivery_id, number, started_at, duration_ms, outcome, response_status, reason, recorded_at, receiver, mark, explanation FROM attempts WHERE id = 1',
    { kind: 'inserted', log: 'attempts', entryId: -1 },
  ],
  [
    'attempts: orphan',
    "INSERT INTO attempts (delivery_id, number, started_at, duration_ms, outcome, response_status, recorded_at) VALUES (404, 1, NOW(), 1, 'delivered', 200, NOW())",
    { kind: 'forged', delivery: 404 },
  ],
  [
    'attempts: a failed is delivered together with delivery_log',
    "UPDATE attempts SET outcome='delivered', response_status=200, reason=NULL WHERE id=2; UPDATE delivery_log SET status='delivered', response_status=200, delivered_at=failed_at, failed_at=NULL, exhausted_at=NULL WHERE id=2",
    { kind: 'edited', delivery: 2, fields: ['outcome', 'response_status', 'reason'] },
  ],
  [
    'receivers: two rows swapped by a new one',
    "INSERT INTO receivers (webhook_id, name, url, since) VALUES (1, 'x', 'https://evil.example/', NOW()); UPDATE attempts SET receiver = 2 WHERE id = 1",
    { kind: 'edited', delivery: 1, fields: ['receiver', 'receiver_name', 'receiver_url'] },
  ],
  [
    'receivers: deleted',
    'DELETE FROM receivers',
    { kind: 'edited', delivery: 1, fields: ['receiver_name', 'receiver_url'] },
  ],
  [
    'audit_log: role sql',
    "UPDATE audit_log SET role = 'sql' WHERE action = 'webhook.create'",
    { kind: 'edited', log: 'audit_log', fields: ['role'] },
  ],
  [
    'audit_log: negative id copy with no mark',
    "INSERT INTO audit_log (id, actor, role, action) VALUES (-5, 'ana', 'admin', 'patient.access')",
    { kind: 'inserted', log: 'audit_log' },
  ],
  [
    'audit_log: an act of reading is deleted with its tail',
    "DELETE FROM audit_log WHERE action = 'delivery.read'",
    { kind: 'deleted', log: 'audit_log' },
  ],
  [
    'audit_log: future id',
    "INSERT INTO audit_log (id, actor, role, action) VALUES (9000000, 'ana', 'admin', 'patient.access')",
    { kind: 'forged', log: 'audit_log' },
  ],
  [
    'audit_log: details numbers as text',
    `UPDATE audit_log SET details = '{"a":["ñ"],"b":"1.5"}' WHERE action = 'delivery.read'`,
    { kind: 'edited', log: 'audit_log', fields: ['details'] },
  ],
  [
    'audit_log: unique index dropped and act copied',
    "ALTER TABLE audit_log DROP INDEX audit_log_mark; INSERT INTO audit_log (at, actor, role, action, target, details, mark) SELECT at, actor, role, action, target, details, mark FROM audit_log WHERE action = 'delivery.read'",
    { kind: 'inserted', log: 'audit_log' },
    'DELETE FROM audit_log WHERE id > 100; ALTER TABLE audit_log ADD UNIQUE INDEX audit_log_mark (mark)',
  ],
  [
    'seals: all gone, key gone',
    'DELETE FROM seals; DELETE FROM seal_packs; DELETE FROM seal_state',
    { kind: 'truncated' },
  ],
  [
    'seal_packs: two packs swapped',
    'UPDATE seal_packs SET place = place + 100; UPDATE seal_packs SET place = CASE place WHEN 101 THEN 2 WHEN 102 THEN 1 ELSE place - 100 END',
    { kind: 'reordered' },
  ],
  ['checkpoint: row deleted', 'DELETE FROM checkpoint', { kind: 'edited' }],
  [
    'webhooks: a deleted webhook is shown as live',
    "UPDATE webhooks SET updated_at = updated_at, deleted_at = '2026-01-01', is_active = FALSE",
    { kind: 'unexplained', fields: ['is_active', 'deleted_at'] },
  ],
  [
    'replays: finished_at of a running one',
    "UPDATE replays SET finished_at = '2026-01-01'",
    { kind: 'unexplained', fields: ['finished_at'] },
  ],
  ['subject_keys: swapped', "UPDATE subject_keys SET subject = CONCAT('x', subject)", { kind: 'edited' }],
];

describe.each(flavours)('a store in which SQL hides or invents deliveries, on %s', (flavour) => {
  let test: FilledStore;

  beforeAll(async () => {
    test = await openFilledStore(flavour);
  });
  afterAll(() => test.close());
  beforeEach(() => test.restore());

  it.each(attacks)('is not taken for untouched: %s', async (_what, sql, found, undo) => {
    await test.schema.query(sql);
    const { ok, flaw } = await verifyLog(test.vault);
    if (undo !== undefined) await test.schema.query(undo);
    expect({ ok, ...flaw }).toMatchObject({ ok: false, ...found });
  });

  it.each([
    [
      'a trigger',
      'CREATE TRIGGER hide BEFORE INSERT ON attempts FOR EACH ROW SET NEW.response_status = 200',
      'DROP TRIGGER hide',
    ],
    [
      'a scheduled event',
      "CREATE EVENT hide ON SCHEDULE AT '2037-01-01' DO DELETE FROM attempts",
      'DROP EVENT hide',
    ],
    [
      'a view in the place of a table',
      'RENAME TABLE attempts TO attempts_before; CREATE VIEW attempts AS SELECT * FROM attempts_before',
      'DROP VIEW attempts; RENAME TABLE attempts_before TO attempts',
    ],
  ])('is not taken for untouched with %s', async (_what, sql, undo) => {
    await test.schema.query(sql);
    const { ok, flaw } = await verifyLog(test.vault);
    await test.schema.query(undo);
    expect({ ok, message: flaw?.message }).toEqual({
      ok: false,
      message: expect.stringMatching(/hide|attempts is a view/),
    });
  });

  const queries = new Map([...readViewQueries(), ...Object.entries(auditorViews)]);

  it.each([...queries])('names the view %s when it shows less than its tables', async (name, query) => {
    await prepareAuditor(test.store, { account: 'luz', withoutPayloads: false });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
    await test.schema.query(`CREATE OR REPLACE VIEW ${name} AS ${query} LIMIT 1`);
    const { ok, flaw } = await verifyLog(test.vault);
    await test.schema.query(`CREATE OR REPLACE VIEW ${name} AS ${query}`);
    expect({ ok, message: flaw?.message }).toEqual({
      ok: false,
      message: expect.stringContaining(`the view ${name} was edited`),
    });
  });

  it.each([
    [
      'a view of another schema',
      'events',
      (query: string) => query.replace('`event_log`', 'receivers.event_log'),
    ],
    [
      'another column',
      'webhook_deliveries',
      (query: string) => query.replace('d.`failed_at`', 'd.`created_at` AS `failed_at`'),
    ],
  ])('names a view that shows %s', async (_what, name, edit) => {
    const query = queries.get(name)!;
    await test.schema.query(
      'CREATE DATABASE IF NOT EXISTS receivers; CREATE OR REPLACE VIEW receivers.event_log AS SELECT * FROM event_log',
    );
    try {
      await test.schema.query(`CREATE OR REPLACE VIEW ${name} AS ${edit(query)}`);
      const { flaw } = await verifyLog(test.vault);
      expect(flaw?.message).toContain(`the view ${name} was edited`);
    } finally {
      await test.schema.query(`CREATE OR REPLACE VIEW ${name} AS ${query}; DROP DATABASE receivers`);
    }
  });

  it.each([
    [
      "ALTER TABLE delivery_log ALTER status SET DEFAULT 'delivered'",
      'delivery_log.status',
      "ALTER TABLE delivery_log ALTER status SET DEFAULT 'open'",
    ],
    [
      'ALTER TABLE attempts ALTER response_status SET DEFAULT 200',
      'attempts.response_status',
      'ALTER TABLE attempts ALTER response_status SET DEFAULT NULL',
    ],
    [
      'ALTER TABLE webhooks ALTER timeout_ms DROP DEFAULT',
      'webhooks.timeout_ms',
      'ALTER TABLE webhooks ALTER timeout_ms SET DEFAULT 15000',
    ],
    [
      'ALTER TABLE queue MODIFY waiting BOOLEAN GENERATED ALWAYS AS (FALSE) STORED',
      'queue.waiting',
      "ALTER TABLE queue MODIFY waiting BOOLEAN GENERATED ALWAYS AS (state = 'waiting') STORED",
    ],
  ])('names the column after %s', async (sql, column, undo) => {
    await test.schema.query(sql);
    const { flaw } = await verifyLog(test.vault);
    await test.schema.query(undo);
    expect(flaw?.message).toContain(`the default of the column ${column} was edited`);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
  });

  it('waits for an erasure that is under way', async () => {
    await test.schema.query("UPDATE event_log SET body = '{}' WHERE seq = 5");
    let looks = 0;
    const store: Store = {
      ...test.store,
      async rows(sql, values) {
        if (sql.includes('AS bodies') && (looks += 1) === 2)
          await test.schema.query('UPDATE event_log SET body = NULL WHERE seq = 5');
        return test.store.rows(sql, values);
      },
    };
    const { ok, flaw } = await verifyLog({ ...test.vault, store });
    expect({ ok, flaw, looks }).toEqual({ ok: true, flaw: null, looks: 2 });
  });

  it('finds an event that SQL added without a payload before it was sealed', async () => {
    await test.schema.query(
      `INSERT INTO event_log (seq, id, type, entity_table, entity_key, subject, transaction_id, occurred_at)
         SELECT next_event_seq, 'evt_added', 'patient.created', 'patients', '45', '45', 'tx-9', '2026-03-08' FROM checkpoint;
       UPDATE checkpoint SET next_event_seq = next_event_seq + 1`,
    );
    while (await sealOnce(test.vault));
    const { ok, flaw } = await verifyLog(test.vault);
    expect({ ok, ...flaw }).toMatchObject({ ok: false, log: 'event_log', fields: ['body'] });
  });

  it('is found with a head and without one when all seals were deleted', async () => {
    const head = (await readHead(test.store))!;
    await test.schema.query(
      "UPDATE seal_state SET progress = JSON_SET(progress, '$.seals', 0); DELETE FROM seals; DELETE FROM seal_packs",
    );
    expect(await verifyLog(test.vault)).toMatchObject({
      ok: false,
      flaw: { kind: 'truncated' },
      lastSeal: 0,
    });
    expect(await verifyLog(test.vault, { head })).toMatchObject({ ok: false, flaw: { kind: 'truncated' } });
  });

  /** A seal that is old enough to be dropped, in which SQL names rows that others seal. */
  it.each([
    [
      'numbers in a pack',
      "UPDATE seal_packs SET leaves = INSERT(leaves, 1, 1, X'06') WHERE seal = 1 AND log = 'attempts'",
    ],
    ['a pack more', 'INSERT INTO seal_packs SELECT 1, 99, log, leaves FROM seal_packs WHERE seal = 2'],
    ['a leaf of an act', "UPDATE audit_log SET actor = 'x' WHERE id = 1"],
  ])('drops nothing because of %s', async (_what, sql) => {
    await test.schema.query(sql);
    const [before] = await test.schema.query('SELECT COUNT(*) AS n FROM attempts');
    await expect(dropSeals(test.vault, { olderThanMs: 0 })).rejects.toMatchObject({ code: 'ERR_AUDIT' });
    expect((await test.schema.query('SELECT COUNT(*) AS n FROM attempts'))[0]).toEqual(before);
  });
});
