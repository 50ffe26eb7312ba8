import { getTableColumns, getTableName } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { verifyLog } from '../../src/audit/verify.ts';
import { flavours } from '../support/server.ts';
import { verdicts, type Found } from './column-verdicts.ts';
import { openFilledStore, tables, type FilledStore } from './filled-store.ts';

/** Edits of whole rows, and of several columns so that they fit. */
const further: [what: string, sql: string, found: Found][] = [
  [
    'an attempt is deleted',
    'DELETE FROM attempts WHERE id = 2',
    { kind: 'deleted', log: 'attempts', entryId: 2 },
  ],
  [
    'a delivery is deleted that was never tried',
    'DELETE FROM delivery_log WHERE id = 4; DELETE FROM queue WHERE delivery_id = 4',
    { kind: 'deleted', log: 'delivery_log', entryId: 4 },
  ],
  ['an event is deleted', 'DELETE FROM event_log WHERE seq = 4', { kind: 'deleted' }],
  [
    'a delivery leaves the queue',
    'DELETE FROM queue WHERE delivery_id = 4',
    { kind: 'deleted', delivery: 4, fields: ['status'] },
  ],
  [
    'a delivery that never was is inserted',
    "INSERT INTO delivery_log (id, webhook_id, event_seq, status, delivered_at) VALUES (90, 2, 1, 'delivered', NOW())",
    { kind: 'inserted', delivery: 90 },
  ],
  [
    'a delivery that never was is inserted, and the counter moved with it',
    "INSERT INTO delivery_log (id, webhook_id, event_seq, status, delivered_at) VALUES (90, 2, 1, 'delivered', NOW()); UPDATE checkpoint SET next_delivery_id = 91",
    { kind: 'edited', delivery: 90, fields: ['status'] },
  ],
  [
    'a delivery is inserted where one might have been',
    "INSERT INTO delivery_log (id, webhook_id, event_seq, status) VALUES (0, 2, 1, 'open')",
    { kind: 'inserted', delivery: 0 },
  ],
  [
    'a success is made up, with its attempt',
    `INSERT INTO attempts (delivery_id, number, started_at, duration_ms, outcome, response_status, recorded_at)
       VALUES (2, 2, UTC_TIMESTAMP(3), 5, 'delivered', 200, '2026-03-08');
     UPDATE delivery_log SET status = 'delivered', retry_count = 1, response_status = 200, delivered_at = '2026-03-08', failed_at = NULL,
       exhausted_at = NULL WHERE id = 2`,
    { kind: 'forged', delivery: 2, fields: ['mark'] },
  ],
  [
    'an attempt is copied under another number',
    'INSERT INTO attempts SELECT NULL, delivery_id, 2, started_at, duration_ms, outcome, response_status, reason, recorded_at, receiver, mark, explanation FROM attempts WHERE id = 2',
    { kind: 'forged', delivery: 2 },
  ],
  [
    'an act is inserted',
    "INSERT INTO audit_log (actor, role, action) VALUES ('ana', 'admin', 'patient.access')",
    { kind: 'forged', log: 'audit_log' },
  ],
  [
    'an erasure is inserted, and a payload removed for it',
    `INSERT INTO audit_log (actor, role, action, target, details) VALUES ('ana', 'admin', 'patient.erase', '45', '{"last_event":9}');
     UPDATE event_log SET body = NULL WHERE subject = '45'`,
    { kind: 'deleted', log: 'event_log', entryId: 1, fields: ['body'] },
  ],
  [
    'payloads are removed as if retention had done it',
    'UPDATE installation SET payloads_pruned_to = 4; UPDATE event_log SET body = NULL; UPDATE delivery_log SET payload = NULL',
    { kind: 'deleted', log: 'event_log', entryId: 1, fields: ['body'] },
  ],
  [
    'a webhook is inserted',
    `INSERT INTO webhooks (name, url, events, secret) VALUES ('x', 'https://x.example', '["*"]', 'whsec_x')`,
    { kind: 'unexplained' },
  ],
  ['a webhook is deleted', 'DELETE FROM webhooks', { kind: 'deleted' }],
  [
    'a delivery that was never tried is put off',
    "UPDATE queue SET due_at = '2999-01-01' WHERE delivery_id = 4",
    { kind: 'edited', delivery: 4, fields: ['due_at'] },
  ],
  [
    'a retry is put off for longer than any schedule',
    'UPDATE queue SET due_at = due_at + INTERVAL 40 DAY WHERE delivery_id = 3',
    { kind: 'edited', delivery: 3, fields: ['due_at'] },
  ],
  [
    'a delivery is claimed for ever',
    "UPDATE queue SET state = 'sending', attempt = attempt + 1, due_at = '2999-01-01' WHERE delivery_id = 4",
    { kind: 'edited', delivery: 4, fields: ['due_at'] },
  ],
  [
    'a replay is inserted',
    "INSERT INTO replays (webhook_id, since, until, requested_by, reason, next_seq, last_seq, total) VALUES (1, NOW(), NOW(), 'ana', 'x', 1, 1, 1)",
    { kind: 'unexplained' },
  ],
  ['a replay is deleted', 'DELETE FROM replays', { kind: 'deleted' }],
  [
    'everything is deleted',
    'DELETE FROM attempts; DELETE FROM audit_log; DELETE FROM seals; DELETE FROM seal_packs',
    { kind: 'truncated' },
  ],
  ['the last seal is deleted', 'DELETE FROM seals ORDER BY number DESC LIMIT 1', { kind: 'truncated' }],
  [
    'a pack is deleted',
    "DELETE FROM seal_packs WHERE log = 'delivery_log' ORDER BY seal LIMIT 1",
    { kind: 'deleted' },
  ],
  [
    'the beginning of the chain is cut off',
    'UPDATE seal_state SET anchor_number = 1, anchor_hash = (SELECT hash FROM seals WHERE number = 1); DELETE FROM seals WHERE number = 1',
    { kind: 'forged' },
  ],
  ["a patient's keys are deleted", "DELETE FROM subject_keys WHERE subject = '45'", { kind: 'edited' }],
  [
    'two attempts change places',
    'UPDATE attempts SET id = 100 WHERE id = 1; UPDATE attempts SET id = 1 WHERE id = 2; UPDATE attempts SET id = 2 WHERE id = 100',
    { kind: 'edited', log: 'attempts', entryId: 1 },
  ],
];

const edits = Object.entries(verdicts).flatMap(([table, columns]) =>
  Object.entries(columns).flatMap(([column, [sql, found]]): [string, string, Found][] =>
    found === undefined ? [] : [[`${table}.${column} is edited`, sql, found]],
  ),
);

describe('the verdicts', () => {
  it('name every column of every table', () => {
    const columns = Object.fromEntries(
      tables.map((table) => [
        getTableName(table),
        Object.values(getTableColumns(table))
          .map(({ name }) => name)
          .toSorted(),
      ]),
    );
    expect(
      Object.fromEntries(
        Object.entries(verdicts).map(([table, named]) => [table, Object.keys(named).toSorted()]),
      ),
    ).toEqual(columns);
  });
});

describe.each(flavours)('a sealed store that was tampered with on %s', (flavour) => {
  let test: FilledStore;

  beforeAll(async () => {
    test = await openFilledStore(flavour);
  });
  afterAll(() => test.close());
  beforeEach(() => test.restore());

  it('is untouched before', async () => {
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, flaw: null, deliveries: 5, unsealed: 0 });
  });

  it.each([...edits, ...further])('finds that %s', async (_what, sql, found) => {
    await test.schema.query(sql);
    const { ok, flaw } = await verifyLog(test.vault);
    expect({ ok, ...flaw }).toMatchObject({ ok: false, ...found });
    expect(flaw!.message).not.toMatch(/undefined|null|\[object/);
  });
});
