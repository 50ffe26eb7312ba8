import { createConnection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { playDay, type DayStep } from '../../../src/demo/clinic-day.ts';
import { loadClinic } from '../../../src/demo/clinic.ts';
import { createSchema, createUser, flavours, sharedServer, type TestSchema } from '../../support/server.ts';

const designed = [
  'patient.created',
  'patient.updated',
  'patient.status_changed',
  'appointment.scheduled',
  'appointment.confirmed',
  'appointment.completed',
  'appointment.cancelled',
  'payment.received',
  'payment.refunded',
  'budget.created',
  'budget.approved',
  'medical_record.created',
  'consent.signed',
  'reminder.sent',
  'inventory.low_stock',
];

describe.each(flavours)('the day on %s', (flavour) => {
  let schema: TestSchema;
  const seen: { step: DayStep; atMs: number }[] = [];

  beforeAll(async () => {
    const server = sharedServer(flavour);
    schema = await createSchema(server);
    await loadClinic(await schema.connect());
    const user = await createUser(server, [`SELECT, INSERT, UPDATE, DELETE, EXECUTE ON ${schema.name}.*`]);
    const connection = await createConnection({ uri: schema.url(user), charset: 'utf8mb4' });
    await playDay(connection, {
      onBegin: () => undefined,
      onCommit: (step, atMs) => void seen.push({ step, atMs }),
    });
    await connection.end();
    await user.drop();
  });
  afterAll(() => schema.drop());

  test('is reported step by step, each with the moment of its commit', () => {
    const moments = seen.map(({ atMs }) => atMs);
    expect(moments).toEqual(moments.toSorted((a, b) => a - b));
    const times = seen.map(({ step }) => step.time);
    expect(times).toEqual(times.toSorted());
  });

  test('expects every event that OdontologyApp has, and no other', () => {
    const expected = seen.flatMap(({ step }) => step.expects.map(({ type }) => type));
    expect([...new Set(expected)].toSorted()).toEqual(designed.toSorted());
  });

  // The rows that the steps' expectations name by number.
  test.each([
    [
      'SELECT first_name, phone FROM patients WHERE id = 7',
      { first_name: 'Lucía Inés', phone: '809-555-0170' },
    ],
    ['SELECT patient_id, status FROM appointments WHERE id = 5', { patient_id: 7, status: 'completed' }],
    ['SELECT patient_id, status FROM appointments WHERE id = 6', { patient_id: 6, status: 'confirmed' }],
    ['SELECT status FROM appointments WHERE id = 2', { status: 'cancelled' }],
    ['SELECT COUNT(*) AS n FROM appointments WHERE id IN (4, 90)', { n: 0 }],
    ['SELECT action, entity_id FROM audit_logs WHERE id = 1', { action: 'reminder_sent', entity_id: 5 }],
    [
      'SELECT status, signed_at IS NOT NULL AS dated FROM consents WHERE id = 1',
      { status: 'signed', dated: 1 },
    ],
    [
      'SELECT patient_id, diagnosis FROM medical_records WHERE id = 1',
      { patient_id: 7, diagnosis: 'Caries oclusal en 3.6' },
    ],
    [
      'SELECT total_amount, status FROM budgets WHERE id = 2',
      { total_amount: '6501.00', status: 'approved' },
    ],
    ['SELECT COUNT(*) AS n FROM budget_items WHERE budget_id = 2', { n: 2 }],
    [
      'SELECT amount, status, processed_by FROM payments WHERE id = 2',
      { amount: '500.00', status: 'completed', processed_by: 4 },
    ],
    ['SELECT status FROM payments WHERE id = 3', { status: 'refunded' }],
    ['SELECT COUNT(*) AS n FROM payments', { n: 3 }],
    ['SELECT stock, min_stock FROM inventory WHERE id = 1', { stock: 9, min_stock: 10 }],
    ['SELECT name, stock FROM inventory WHERE id = 4', { name: 'Hilo de sutura 4-0', stock: 2 }],
    ['SELECT status, phone FROM patients WHERE id = 5', { status: 'on_hold', phone: '829-555-0199' }],
  ])('%s', async (sql, row) => {
    expect(await schema.query(sql)).toEqual([row]);
  });

  test('stops between two steps when asked to', async () => {
    const other = await createSchema(sharedServer(flavour));
    try {
      const connection = await other.connect();
      await loadClinic(connection);
      const stop = new AbortController();
      const labels: string[] = [];
      const onCommit = ({ label }: DayStep) => {
        labels.push(label);
        if (labels.length === 2) stop.abort();
      };
      await playDay(connection, { onBegin: () => undefined, onCommit }, stop.signal);
      expect(labels).toEqual(seen.slice(0, 2).map(({ step }) => step.label));
    } finally {
      await other.drop();
    }
  });
});
