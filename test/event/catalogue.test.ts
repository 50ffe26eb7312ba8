import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import type { RowEvent } from '../../src/binlog/types.ts';
import { eventSchemas } from '../../src/event/rule/payload-schema.ts';
import { builtInRulesFile, readRules } from '../../src/event/rule/rule-file.ts';
import {
  altered,
  commitTime,
  compileBuiltIn,
  ontology,
  sourceHolding,
  statementsOn,
  transact,
  without,
  type Cells,
  type Tables,
} from './clinic.ts';

const rules = compileBuiltIn();

test('names all that it reads of a schema that has everything, before it has seen the schema', () => {
  for (const [table, columns] of rules.watch) {
    const key = ontology.get(table)!.key.map((name) => name.toLowerCase());
    expect([...(rules.named.get(table) ?? []), ...key]).toEqual(expect.arrayContaining([...columns]));
  }
});
const on = (table: string) => statementsOn(ontology, table, rules);
const patients = on('patients');
const appointments = on('appointments');
const appointmentServices = on('appointment_services');
const budgets = on('budgets');
const budgetItems = on('budget_items');
const payments = on('payments');
const consents = on('consents');
const inventory = on('inventory');
const auditLogs = on('audit_logs');

const patient: Cells = {
  id: 45,
  medrecno: 1001,
  first_name: 'José Ángel',
  last_name: 'Ñáñez',
  cedula: '001-0000001-1',
  birth_date: '1984-02-29',
  phone: '809-555-0101',
  email: 'jose@correo.example',
  sex: 'masculino',
  blood_group: 'O+',
  allergies: null,
  branch_id: 1,
  status: 'active',
  uuid: null,
  created_at: '2026-03-07 15:30:00',
};
const appointment: Cells = {
  id: 12,
  patient_id: 45,
  doctor_id: 3,
  branch_id: 1,
  appointment_date: '2026-03-09',
  appointment_time: '10:30:00',
  duration_minutes: 30,
  status: 'scheduled',
  notes: null,
  uuid: null,
  created_at: '2026-03-07 15:30:00',
};
const payment: Cells = {
  id: 123,
  patient_id: 45,
  budget_id: null,
  amount: '500.00',
  payment_method: 'cash',
  status: 'completed',
  notes: 'Primera «cuota» 🦷',
  processed_by: 4,
  created_at: '2026-03-07 15:30:00',
};
const budget: Cells = {
  id: 7,
  patient_id: 45,
  doctor_id: 3,
  total_amount: '0.00',
  status: 'pending',
  notes: null,
  created_at: '2026-03-07 15:30:00',
};
const items: Cells[] = [
  { id: 1, budget_id: 7, service_id: 2, quantity: 1, unit_price: '2500.50', subtotal: '2500.50' },
  { id: 2, budget_id: 7, service_id: 1, quantity: 2, unit_price: '1500.00', subtotal: '3000.00' },
];
const item: Cells = {
  id: 5,
  name: 'Guantes de nitrilo',
  stock: 12,
  min_stock: 10,
  price: '650.00',
  updated_at: '2026-03-07 15:30:00',
};
const consent: Cells = {
  id: 9,
  patient_id: 45,
  procedure_name: 'Extracción de cordal',
  content: 'Entiendo los riesgos.',
  status: 'pending',
  signed_at: null,
  created_at: '2026-03-07 15:30:00',
};
const reminder: Cells = {
  id: 77,
  user_id: 4,
  action: 'reminder_sent',
  entity: 'appointment',
  entity_id: 12,
  details: '{"appointment_id": 12, "method": "whatsapp"}',
  created_at: '2026-03-07 15:30:00',
};

/** What the source answers while these events are made. */
const tables: Tables = {
  services: [
    { id: 1, name: 'Limpieza' },
    { id: 2, name: 'Extracción' },
  ],
};

const ajv = new Ajv({ strict: true, allowUnionTypes: true });
const validators = new Map(
  [...eventSchemas(readRules(builtInRulesFile), ontology)].map(([type, schema]) => [
    type,
    ajv.compile(schema),
  ]),
);

/** The bodies of one transaction, each checked against the JSON schema of its event. */
async function bodiesOf(rows: RowEvent[], source: Tables = tables): Promise<string[]> {
  const events = await transact(rules, rows, { resolve: sourceHolding(source).resolve });
  for (const { type, body } of events) {
    const validate = validators.get(type)!;
    expect(validate(JSON.parse(body)), JSON.stringify(validate.errors)).toBe(true);
  }
  return events.map(({ body }) => body);
}

async function typesOf(...rows: RowEvent[]): Promise<string[]> {
  return (await transact(rules, rows, { resolve: sourceHolding(tables).resolve })).map(({ type }) => type);
}

const body = (event: string, data: string): string =>
  `{"event":"${event}","timestamp":"${commitTime}","data":{${data},"timestamp":"${commitTime}"}}`;

describe('every event of the catalogue, byte for byte', () => {
  const cases: [string, RowEvent[], string[]][] = [
    [
      'patient.created',
      [patients.insert(patient)],
      [
        body(
          'patient.created',
          '"patient_id":45,"medrecno":1001,"first_name":"José Ángel","last_name":"Ñáñez","phone":"809-555-0101","email":"jose@correo.example","branch_id":1,"status":"active"',
        ),
      ],
    ],
    [
      'patient.updated',
      [patients.update(patient, { phone: '809-555-0199', birth_date: null, branch_id: 2 })],
      [
        body(
          'patient.updated',
          '"patient_id":45,"updated_fields":{"birth_date":{"old":"1984-02-29","new":null},"phone":{"old":"809-555-0101","new":"809-555-0199"},"branch_id":{"old":1,"new":2}}',
        ),
      ],
    ],
    [
      'patient.status_changed',
      [patients.update(patient, { status: 'on_hold' })],
      [body('patient.status_changed', '"patient_id":45,"old_status":"active","new_status":"on_hold"')],
    ],
    [
      'appointment.scheduled',
      [appointments.insert(appointment)],
      [
        body(
          'appointment.scheduled',
          '"appointment_id":12,"patient_id":45,"doctor_id":3,"branch_id":1,"appointment_date":"2026-03-09","appointment_time":"10:30:00","duration_minutes":30,"created_by":null',
        ),
      ],
    ],
    [
      'appointment.confirmed',
      [appointments.update(appointment, { status: 'confirmed' })],
      [
        body(
          'appointment.confirmed',
          `"appointment_id":12,"patient_id":45,"confirmation_time":"${commitTime}","confirmed_by":null`,
        ),
      ],
    ],
    [
      'appointment.completed, with services of its own transaction',
      [
        appointmentServices.insert({ appointment_id: 12, service_id: 2, quantity: 1 }),
        appointments.update(appointment, { status: 'completed' }),
      ],
      [
        body(
          'appointment.completed',
          `"appointment_id":12,"patient_id":45,"completion_time":"${commitTime}","completed_by":null,"services_rendered":[{"service_id":2,"name":"Extracción","quantity":1}]`,
        ),
      ],
    ],
    [
      'appointment.cancelled',
      [appointments.update(appointment, { status: 'cancelled' })],
      [
        body(
          'appointment.cancelled',
          `"appointment_id":12,"patient_id":45,"cancellation_time":"${commitTime}","cancelled_by":null,"cancellation_reason":null`,
        ),
      ],
    ],
    [
      'appointment.cancelled by deletion',
      [appointments.remove({ ...appointment, status: 'waiting' })],
      [
        body(
          'appointment.cancelled',
          `"appointment_id":12,"patient_id":45,"cancellation_time":"${commitTime}","cancelled_by":null,"cancellation_reason":null`,
        ),
      ],
    ],
    [
      'payment.received',
      [payments.insert(payment)],
      [
        body(
          'payment.received',
          '"payment_id":123,"patient_id":45,"budget_id":null,"amount":500.00,"payment_method":"cash","notes":"Primera «cuota» 🦷","processed_by":4',
        ),
      ],
    ],
    [
      'payment.refunded',
      [payments.update({ ...payment, budget_id: 7 }, { status: 'refunded' })],
      [
        body(
          'payment.refunded',
          `"payment_id":123,"patient_id":45,"budget_id":7,"amount":500.00,"refund_time":"${commitTime}"`,
        ),
      ],
    ],
    [
      'budget.created: inserted at zero, with items, completed in the same transaction',
      [
        budgets.insert(budget),
        ...items.map((each) => budgetItems.insert(each)),
        budgets.update(budget, { total_amount: '5500.50' }),
      ],
      [
        body(
          'budget.created',
          '"budget_id":7,"patient_id":45,"total_amount":5500.50,"status":"pending","items":[{"service_id":2,"quantity":1,"unit_price":2500.50,"subtotal":2500.50},{"service_id":1,"quantity":2,"unit_price":1500.00,"subtotal":3000.00}]',
        ),
      ],
    ],
    [
      'budget.approved',
      [budgets.update({ ...budget, total_amount: '5500.50' }, { status: 'approved' })],
      [
        body(
          'budget.approved',
          `"budget_id":7,"patient_id":45,"total_amount":5500.50,"approval_time":"${commitTime}"`,
        ),
      ],
    ],
    [
      'medical_record.created',
      [
        on('medical_records').insert({
          id: 31,
          patient_id: 45,
          doctor_id: 3,
          diagnosis: 'Caries "profunda"',
        }),
      ],
      [
        body(
          'medical_record.created',
          '"record_id":31,"patient_id":45,"doctor_id":3,"diagnosis":"Caries \\"profunda\\""',
        ),
      ],
    ],
    [
      'consent.signed',
      [consents.update(consent, { status: 'signed', signed_at: '2026-03-07 11:30:00' })],
      [
        body(
          'consent.signed',
          '"consent_id":9,"patient_id":45,"procedure_name":"Extracción de cordal","signed_at":"2026-03-07T11:30:00.000-04:00"',
        ),
      ],
    ],
    [
      'reminder.sent',
      [auditLogs.insert(reminder)],
      [
        body(
          'reminder.sent',
          '"appointment_id":12,"method":"whatsapp","sent_time":"2026-03-07T15:30:00.000Z"',
        ),
      ],
    ],
    [
      'inventory.low_stock',
      [inventory.update(item, { stock: 10 })],
      [
        body(
          'inventory.low_stock',
          '"item_id":5,"name":"Guantes de nitrilo","current_stock":10,"min_stock":10',
        ),
      ],
    ],
  ];
  test.each(cases)('%s', async (_name, rows, expected) => {
    expect(await bodiesOf(rows)).toEqual(expected);
  });

  test('has a case for each type, and each ends with timestamp', () => {
    const tested = new Set(
      cases.flatMap(([, , bodies]) => bodies.map((text) => JSON.parse(text).event as string)),
    );
    expect([...tested].toSorted()).toEqual(rules.types.map(({ type }) => type).toSorted());
    expect(rules.types.map(({ fields }) => fields.at(-1))).toEqual(rules.types.map(() => 'timestamp'));
  });
});

describe('the semantics', () => {
  const confirmed = { ...appointment, status: 'confirmed' };
  const cancelled = { ...appointment, status: 'cancelled' };
  const cases: [string, RowEvent[], string[]][] = [
    ['a patient without news', [patients.update(patient, {})], []],
    ['an unwatched column of a patient', [patients.update(patient, { uuid: 'x' })], []],
    ['a patient who is deleted', [patients.remove(patient)], []],
    [
      'a patient born inactive has no status change',
      [patients.insert({ ...patient, status: 'inactive' })],
      ['patient.created'],
    ],
    [
      'status and phone changed by one UPDATE: both, in the order of the catalogue',
      [patients.update(patient, { status: 'inactive', phone: null })],
      ['patient.updated', 'patient.status_changed'],
    ],
    [
      'a status alone is not an update',
      [patients.update(patient, { status: 'inactive' })],
      ['patient.status_changed'],
    ],
    [
      'a patient made and erased in one transaction',
      [patients.insert(patient), patients.remove(patient)],
      [],
    ],
    [
      'a patient made and corrected in one transaction',
      [patients.insert(patient), patients.update(patient, { phone: null, status: 'on_hold' })],
      ['patient.created'],
    ],
    [
      'an appointment born confirmed',
      [appointments.insert(confirmed)],
      ['appointment.scheduled', 'appointment.confirmed'],
    ],
    [
      'an appointment born without a status',
      [appointments.insert({ ...appointment, status: null })],
      ['appointment.scheduled'],
    ],
    ['confirmed again', [appointments.update(confirmed, { notes: 'x' })], []],
    [
      'confirmed and moved by one UPDATE',
      [appointments.update(appointment, { status: 'confirmed', appointment_date: '2026-04-01' })],
      ['appointment.confirmed'],
    ],
    [
      'confirmed and taken back in one transaction',
      [
        appointments.update(appointment, { status: 'confirmed' }),
        appointments.update(confirmed, { status: 'scheduled' }),
      ],
      [],
    ],
    [
      'an appointment moved to another day',
      [appointments.update(appointment, { appointment_date: '2026-04-01' })],
      [],
    ],
    [
      'a cancelled one that is scheduled again',
      [appointments.update(cancelled, { status: 'scheduled' })],
      [],
    ],
    [
      'and cancelled again',
      [appointments.update(appointment, { status: 'cancelled' })],
      ['appointment.cancelled'],
    ],
    ['a scheduled one that is deleted', [appointments.remove(appointment)], ['appointment.cancelled']],
    ['a confirmed one that is deleted', [appointments.remove(confirmed)], ['appointment.cancelled']],
    ['a cancelled one that is deleted', [appointments.remove(cancelled)], []],
    ['a completed one that is deleted', [appointments.remove({ ...appointment, status: 'completed' })], []],
    [
      'cancelled and deleted in one transaction is cancelled once',
      [appointments.update(appointment, { status: 'cancelled' }), appointments.remove(cancelled)],
      ['appointment.cancelled'],
    ],
    ['a payment born refunded', [payments.insert({ ...payment, status: 'refunded' })], ['payment.refunded']],
    ['a payment without a status', [payments.insert({ ...payment, status: null })], ['payment.received']],
    ['a corrected payment', [payments.update(payment, { amount: '400.00' })], []],
    [
      'a payment that is paid again after a refund',
      [payments.update({ ...payment, status: 'refunded' }, { status: 'completed' })],
      [],
    ],
    [
      'a budget that is approved at birth',
      [budgets.insert({ ...budget, status: 'approved' })],
      ['budget.created', 'budget.approved'],
    ],
    [
      'a consent that is revoked',
      [consents.update({ ...consent, status: 'signed' }, { status: 'revoked' })],
      [],
    ],
    ['another entry of the audit log', [auditLogs.insert({ ...reminder, action: 'login' })], []],
    [
      'an entry of the audit log that is edited',
      [auditLogs.update({ ...reminder, action: 'x' }, { action: 'reminder_sent' })],
      [],
    ],
    ['stock that falls, above the minimum', [inventory.update(item, { stock: 11 })], []],
    ['stock that falls to the minimum', [inventory.update(item, { stock: 10 })], ['inventory.low_stock']],
    ['stock that falls below the minimum', [inventory.update(item, { stock: 0 })], ['inventory.low_stock']],
    ['low stock that falls further', [inventory.update({ ...item, stock: 9 }, { stock: 8 })], []],
    ['low stock that rises, and is still low', [inventory.update({ ...item, stock: 5 }, { stock: 10 })], []],
    ['low stock that is filled up', [inventory.update({ ...item, stock: 5 }, { stock: 50 })], []],
    ['an item born low', [inventory.insert({ ...item, stock: 10 })], ['inventory.low_stock']],
    ['an item born full', [inventory.insert(item)], []],
    [
      'a minimum raised above the stock',
      [inventory.update(item, { min_stock: 12 })],
      ['inventory.low_stock'],
    ],
    ['a minimum raised, still below the stock', [inventory.update(item, { min_stock: 11 })], []],
    ['a minimum lowered together with the stock', [inventory.update(item, { stock: 8, min_stock: 7 })], []],
    ['low stock that is renamed', [inventory.update({ ...item, stock: 5 }, { name: 'Guantes' })], []],
    ['an item that is deleted', [inventory.remove({ ...item, stock: 5 })], []],
  ];
  test.each(cases)('%s', async (_name, rows, expected) => {
    expect(await typesOf(...rows)).toEqual(expected);
  });

  test('stock that oscillates around its minimum fires each time it falls to it', async () => {
    const stocks = [12, 9, 11, 10, 10, 11, 8];
    const fired: number[] = [];
    for (const [index, stock] of stocks.entries()) {
      if (index === 0) continue;
      const rows = [inventory.update({ ...item, stock: stocks[index - 1] }, { stock })];
      if ((await typesOf(...rows)).length > 0) fired.push(stock);
    }
    expect(fired).toEqual([9, 10, 8]);
  });

  test('a row that leaves and enters again fires again', async () => {
    expect(await typesOf(appointments.update(appointment, { status: 'confirmed' }))).toHaveLength(1);
    expect(await typesOf(appointments.update(confirmed, { status: 'waiting' }))).toHaveLength(0);
    expect(
      await typesOf(appointments.update({ ...appointment, status: 'waiting' }, { status: 'confirmed' })),
    ).toHaveLength(1);
  });

  test('one UPDATE of 10,000 rows is 10,000 events in the order of the rows', async () => {
    const rows = Array.from({ length: 10_000 }, (_, i) =>
      appointments.update({ ...appointment, id: i + 1 }, { status: 'confirmed' }),
    );
    const events = await transact(rules, rows);
    expect(events.map(({ data }) => data['appointment_id'])).toEqual(rows.map((_, i) => i + 1));
    expect(new Set(events.map(({ id }) => id)).size).toBe(10_000);
  });

  test.each(['confirmed', ' Confirmed ', 'CONFIRMADA', 'confirmado'])('%j is confirmed', async (status) => {
    expect(await typesOf(appointments.update(appointment, { status }))).toEqual(['appointment.confirmed']);
  });

  test('another spelling of the same status does not fire again', async () => {
    expect(await typesOf(appointments.update(confirmed, { status: 'CONFIRMADA' }))).toEqual([]);
  });

  test('a reminder without details still says which appointment', async () => {
    const [text] = await bodiesOf([auditLogs.insert({ ...reminder, details: null })]);
    expect(JSON.parse(text!).data).toMatchObject({ appointment_id: 12, method: null });
  });

  test('every event names the patient whose data it carries', async () => {
    const source = { ...tables, appointments: [{ ...appointment, id: 12, patient_id: 45 }] };
    const subjectsOf = async (...rows: RowEvent[]): Promise<(string | null)[]> =>
      (await transact(rules, rows, { resolve: sourceHolding(source).resolve })).map(({ subject }) => subject);
    expect(await subjectsOf(patients.insert({ ...patient, id: 45 }))).toEqual(['45']);
    expect(await subjectsOf(appointments.insert({ ...appointment, patient_id: 45 }))).toEqual(['45']);
    expect(await subjectsOf(auditLogs.insert(reminder))).toEqual(['45']);
    expect(await subjectsOf(auditLogs.insert({ ...reminder, entity_id: null }))).toEqual([null]);
    expect(await subjectsOf(inventory.update(item, { stock: 2 }))).toEqual([null]);
  });

  test('the budget of a clinic that writes items in a later transaction has the items that exist by then', async () => {
    const [text] = await bodiesOf([budgets.insert(budget)], { budget_items: items });
    expect(JSON.parse(text!).data.items).toHaveLength(2);
    const [none] = await bodiesOf([budgets.insert(budget)], {});
    expect(JSON.parse(none!).data.items).toEqual([]);
  });

  test('an appointment completed later has the services of earlier transactions, and those of its own as it left them', async () => {
    const held: Tables = {
      ...tables,
      appointment_services: [
        { appointment_id: 12, service_id: 1, quantity: 1 },
        { appointment_id: 12, service_id: 2, quantity: 9 },
        { appointment_id: 12, service_id: 3, quantity: 1 },
      ],
    };
    const [text] = await bodiesOf(
      [
        appointmentServices.update({ appointment_id: 12, service_id: 2, quantity: 9 }, { quantity: 2 }),
        appointmentServices.remove({ appointment_id: 12, service_id: 3, quantity: 1 }),
        appointments.update(appointment, { status: 'completed' }),
      ],
      held,
    );
    expect(JSON.parse(text!).data.services_rendered).toEqual([
      { service_id: 1, name: 'Limpieza', quantity: 1 },
      { service_id: 2, name: 'Extracción', quantity: 2 },
    ]);
  });
});

describe('another clinic', () => {
  test('the clinic of this project lacks two columns, which is reported once', () => {
    expect(rules.warnings).toEqual([
      expect.stringMatching(
        /events\.yaml:\d+:\d+ .*created_by: table "appointments" has none of created_by.*: null/,
      ),
      expect.stringMatching(
        /events\.yaml:\d+:\d+ .*cancellation_reason: table "appointments" has none of .*: null/,
      ),
    ]);
  });

  test('a column that is not there is null', async () => {
    const schema = altered(ontology, 'payments', without('processed_by', 'notes', 'status'));
    const other = compileBuiltIn(schema);
    expect(other.warnings.filter((warning) => warning.includes('"payments"'))).toHaveLength(4);
    const [event] = await transact(other, [statementsOn(schema, 'payments', other).insert(payment)]);
    expect(event?.data).toMatchObject({ payment_id: 123, notes: null, processed_by: null });
  });

  test('a rule without its status column never fires', async () => {
    const schema = altered(ontology, 'appointments', without('status'));
    const other = compileBuiltIn(schema);
    const statements = statementsOn(schema, 'appointments', other);
    const types = await transact(other, [
      statements.insert(appointment),
      statements.remove({ ...appointment, id: 13 }),
    ]);
    expect(types.map(({ type }) => type)).toEqual(['appointment.scheduled']);
  });

  test('a rule without its table is off', () => {
    const other = compileBuiltIn(altered(ontology, 'consents'));
    expect(other.warnings).toContainEqual(
      expect.stringContaining('there is no table "consents": consent.signed is off'),
    );
    expect(other.watch.has('consents')).toBe(false);
  });

  test('child rows without their table are null, not an empty list', async () => {
    const schema = altered(ontology, 'budget_items');
    const other = compileBuiltIn(schema);
    const [event] = await transact(other, [statementsOn(schema, 'budgets', other).insert(budget)]);
    expect(event?.data['items']).toBeNull();
  });

  test('statuses of which the catalogue knows no spelling are reported', () => {
    const schema = altered(ontology, 'consents', (table) => ({
      ...table,
      columns: table.columns.map((column) => (column.labels ? { ...column, labels: ['a', 'b'] } : column)),
    }));
    expect(compileBuiltIn(schema).warnings).toContainEqual(
      expect.stringMatching(/"status" has no label "signed": the condition never holds/),
    );
  });

  test('an empty schema switches everything off', async () => {
    const other = compileBuiltIn(new Map());
    expect(other.watch.size).toBe(0);
    expect(other.types).toHaveLength(15);
    expect(
      await other.map([], {
        lineage: '',
        transactionId: '',
        committedAtMs: 0,
        resolve: () => Promise.resolve([]),
      }),
    ).toEqual([]);
  });
});

test('only what the rules name is read', () => {
  expect(rules.watch.has('users')).toBe(false);
  expect([...rules.watch.get('consents')!].toSorted()).toEqual([
    'id',
    'patient_id',
    'procedure_name',
    'signed_at',
    'status',
  ]);
  expect([...rules.watch.get('inventory')!].toSorted()).toEqual(['id', 'min_stock', 'name', 'stock']);
  expect([...rules.watch.get('services')!].toSorted()).toEqual(['id', 'name']);
});
