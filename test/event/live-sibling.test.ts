import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { builtInRulesFile } from '../../src/event/rule/rule-file.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';
import { openClinic, type LiveClinic } from './live-clinic.ts';

const confirm = "UPDATE appointments SET status = 'confirmed' WHERE id = 1";
const audit = (user: number | null, entity = 'appointments', id = 1): string =>
  `INSERT INTO audit_logs (user_id, action, entity, entity_id) VALUES (${user}, 'update', '${entity}', ${id})`;

/** Transactions that confirm appointment 1, and the user that `confirmed_by` then has. */
const cases: [name: string, statements: string[], user: number | null][] = [
  ['the audit row before the appointment', [audit(4), confirm], 4],
  ['the audit row after the appointment', [confirm, audit(3)], 3],
  ['other spellings of the entity', [confirm, audit(3, ' Cita ')], 3],
  ['no audit row', [confirm], null],
  ['an audit row of a former transaction alone', [audit(4), 'COMMIT', 'BEGIN', confirm], null],
  [
    'another appointment and another entity',
    [audit(4, 'patients'), audit(2, 'appointments', 2), confirm],
    null,
  ],
  ['two rows of one user', [audit(2), confirm, audit(2)], 2],
  ['two users', [audit(2), confirm, audit(4)], null],
  ['a user and NULL', [audit(2), confirm, audit(null)], null],
  ['NULL', [audit(null), confirm], null],
  ['a row that is undone to a savepoint', ['SAVEPOINT s', audit(4), 'ROLLBACK TO s', audit(2), confirm], 2],
  ['a row that is inserted and deleted', [audit(4), 'DELETE FROM audit_logs', confirm, audit(2)], 2],
  ['a row that gets its user later', [audit(null), confirm, 'UPDATE audit_logs SET user_id = 3'], 3],
];

describe.each(servers)('who did it, on %s', (variant) => {
  let schema: TestSchema;
  let clinic: LiveClinic;

  beforeAll(async () => {
    schema = await createSchema(sharedServer(variant));
    await loadClinic(await schema.connect());
    clinic = await openClinic(variant, schema, builtInRulesFile);
  });

  afterAll(async () => {
    await clinic.close();
    await schema.drop();
  });

  /** The data of the event of one type that a transaction fires; appointment 1 is not confirmed before. */
  async function dataOf(type: string, statements: readonly string[]): Promise<Record<string, unknown>> {
    await schema.query("UPDATE appointments SET status = 'scheduled' WHERE id = 1; DELETE FROM audit_logs");
    const received = await clinic.play(['BEGIN', ...statements, 'COMMIT'].join('; '));
    const bodies = received.filter(({ event }) => event === type).map(({ body }) => body);
    expect(bodies).toHaveLength(1);
    return (JSON.parse(bodies[0]!) as { data: Record<string, unknown> }).data;
  }

  test.each(cases)('%s', async (_name, statements, user) => {
    const data = await dataOf('appointment.confirmed', statements);
    expect(data).toMatchObject({ appointment_id: 1, confirmed_by: user });
  });

  test('of each event that names a person', async () => {
    const complete = "UPDATE appointments SET status = 'completed' WHERE id = 1";
    expect(await dataOf('appointment.completed', [complete, audit(2)])).toMatchObject({ completed_by: 2 });
    const cancel = "UPDATE appointments SET status = 'cancelled' WHERE id = 1";
    expect(await dataOf('appointment.cancelled', [audit(3), cancel])).toMatchObject({ cancelled_by: 3 });
    await schema.query(
      `INSERT INTO appointments (id, patient_id, doctor_id, branch_id, appointment_date, appointment_time)
       VALUES (90, 1, 1, 1, '2026-03-11', '09:00:00')`,
    );
    const remove = 'DELETE FROM appointments WHERE id = 90';
    const removed = await dataOf('appointment.cancelled', [remove, audit(4, 'appointment', 90)]);
    expect(removed).toMatchObject({ appointment_id: 90, cancelled_by: 4 });
  });

  test('a row of the audit log alone makes no event', async () => {
    expect(await clinic.play(audit(4))).toEqual([]);
  });

  test('with row images that lack columns', async () => {
    const data = await dataOf('appointment.confirmed', [
      audit(null),
      'COMMIT',
      'BEGIN',
      confirm,
      // The row of the audit log then has its key and its user alone.
      "SET SESSION binlog_row_image = 'MINIMAL'",
      'UPDATE audit_logs SET user_id = 3',
      "SET SESSION binlog_row_image = 'FULL'",
    ]);
    expect(data).toMatchObject({ appointment_id: 1, confirmed_by: 3 });
  });

  test('in a transaction that does not fit into memory, whichever row comes first', async () => {
    const digits = '(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4)';
    // 125 rows of 80,000 bytes in a column that is watched: more than the 8 MiB that are held in memory.
    const bulk = `INSERT INTO patients (first_name, last_name, cedula, allergies)
      SELECT 'a', 'b', CONCAT('bulk-', a.d, b.d, c.d), REPEAT('x', 60000) FROM ${digits} a, ${digits} b, ${digits} c`;
    const more = "UPDATE patients SET allergies = REPEAT('y', 60000) WHERE cedula LIKE 'bulk-%'";
    const second = "UPDATE appointments SET status = 'confirmed' WHERE id = 2";
    await schema.query("UPDATE appointments SET status = 'scheduled' WHERE id IN (1, 2, 3)");
    const received = await clinic.play(
      [
        'BEGIN',
        audit(4),
        bulk,
        confirm,
        second,
        more,
        "UPDATE appointments SET status = 'confirmed' WHERE id = 3",
        audit(2, 'appointments', 2),
        audit(3, 'appointments', 3),
        audit(2, 'appointments', 3),
        'COMMIT',
      ].join('; '),
    );
    const confirmed = received
      .filter(({ event }) => event === 'appointment.confirmed')
      .map(({ body }) => JSON.parse(body) as { data: Record<string, unknown> });
    expect(confirmed.map(({ data }) => [data['appointment_id'], data['confirmed_by']])).toEqual([
      [1, 4],
      [2, 2],
      [3, null],
    ]);
    expect(received).toHaveLength(128);
  });
});
