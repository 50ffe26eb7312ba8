import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { builtInRulesFile } from '../../src/event/rule/rule-file.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';
import { expectStory, openClinic, typesIn, type LiveClinic, type Step } from './live-clinic.ts';

/** A day at OdontologyApp, through its procedures where it has one. */
const story: Step[] = [
  [
    "CALL sp_create_patient('Lucía', 'Núñez 🌷', '001-0000045-5', '1990-02-28', '809-555-0145', 'lucia@correo.example', 1)",
    'patient.created {"patient_id":7,"medrecno":1007,"first_name":"Lucía","last_name":"Núñez 🌷","phone":"809-555-0145","email":"lucia@correo.example","branch_id":1,"status":"active","timestamp":T}',
  ],
  [
    "UPDATE patients SET phone = NULL, status = 'on_hold', sex = 'otro' WHERE id = 7",
    'patient.updated {"patient_id":7,"updated_fields":{"phone":{"old":"809-555-0145","new":null},"sex":{"old":null,"new":"otro"}},"timestamp":T}',
    'patient.status_changed {"patient_id":7,"old_status":"active","new_status":"on_hold","timestamp":T}',
  ],
  ['UPDATE patients SET uuid = UUID() WHERE id = 7'],
  [
    "CALL sp_create_appointment(7, 1, 1, '2026-03-09', '10:30:00', 45, NULL)",
    'appointment.scheduled {"appointment_id":5,"patient_id":7,"doctor_id":1,"branch_id":1,"appointment_date":"2026-03-09","appointment_time":"10:30:00","duration_minutes":45,"created_by":null,"timestamp":T}',
  ],
  [
    "INSERT INTO audit_logs (action, entity, entity_id, details, created_at) VALUES ('reminder_sent', 'appointment', 5, JSON_OBJECT('appointment_id', 5, 'method', 'whatsapp'), '2026-03-07 15:30:00')",
    'reminder.sent {"appointment_id":5,"method":"whatsapp","sent_time":"2026-03-07T15:30:00.000Z","timestamp":T}',
  ],
  [
    'CALL sp_confirm_appointment(5)',
    'appointment.confirmed {"appointment_id":5,"patient_id":7,"confirmation_time":T,"confirmed_by":null,"timestamp":T}',
  ],
  [
    `CALL sp_complete_appointment(5, '[{"service_id": 2, "quantity": 1}, {"service_id": 1, "quantity": 2}]')`,
    'appointment.completed {"appointment_id":5,"patient_id":7,"completion_time":T,"completed_by":null,"services_rendered":[{"service_id":1,"name":"Limpieza","quantity":2},{"service_id":2,"name":"Extracción","quantity":1}],"timestamp":T}',
  ],
  [
    "INSERT INTO appointments (id, patient_id, doctor_id, branch_id, appointment_date, appointment_time, status) VALUES (20, 7, 1, 1, '2026-03-10', '09:00:00', 'confirmed')",
    'appointment.scheduled {"appointment_id":20,"patient_id":7,"doctor_id":1,"branch_id":1,"appointment_date":"2026-03-10","appointment_time":"09:00:00","duration_minutes":30,"created_by":null,"timestamp":T}',
    'appointment.confirmed {"appointment_id":20,"patient_id":7,"confirmation_time":T,"confirmed_by":null,"timestamp":T}',
  ],
  [
    "CALL sp_cancel_appointment(20, 'Viaje')",
    'appointment.cancelled {"appointment_id":20,"patient_id":7,"cancellation_time":T,"cancelled_by":null,"cancellation_reason":null,"timestamp":T}',
  ],
  ["UPDATE appointments SET status = 'scheduled' WHERE id = 20"],
  [
    "UPDATE appointments SET status = 'cancelled' WHERE id = 20",
    'appointment.cancelled {"appointment_id":20,"patient_id":7,"cancellation_time":T,"cancelled_by":null,"cancellation_reason":null,"timestamp":T}',
  ],
  ["UPDATE appointments SET status = 'waiting' WHERE id = 20"],
  [
    'DELETE FROM appointments WHERE id = 20',
    'appointment.cancelled {"appointment_id":20,"patient_id":7,"cancellation_time":T,"cancelled_by":null,"cancellation_reason":null,"timestamp":T}',
  ],
  // One that is over is not cancelled by being removed.
  ['DELETE FROM appointments WHERE id = 5'],
  // What is undone within its transaction never was; what is done in several steps was done once.
  [
    "BEGIN; INSERT INTO appointments (id, patient_id, doctor_id, branch_id, appointment_date, appointment_time) VALUES (21, 7, 1, 1, '2026-03-11', '09:00:00'); DELETE FROM appointments WHERE id = 21; COMMIT",
  ],
  [
    "BEGIN; UPDATE patients SET phone = '809-555-0199' WHERE id = 7; UPDATE patients SET phone = NULL, email = 'nueva@correo.example' WHERE id = 7; COMMIT",
    'patient.updated {"patient_id":7,"updated_fields":{"email":{"old":"lucia@correo.example","new":"nueva@correo.example"}},"timestamp":T}',
  ],
  ["BEGIN; UPDATE patients SET phone = '809-555-0199' WHERE id = 7; ROLLBACK"],
  [
    `CALL sp_create_budget(7, 1, '[{"service_id": 2, "quantity": 1}, {"service_id": 1, "quantity": 2}]', NULL)`,
    'budget.created {"budget_id":2,"patient_id":7,"total_amount":5500.50,"status":"pending","items":[{"service_id":2,"quantity":1,"unit_price":2500.50,"subtotal":2500.50},{"service_id":1,"quantity":2,"unit_price":1500.00,"subtotal":3000.00}],"timestamp":T}',
  ],
  [
    'CALL sp_approve_budget(2)',
    'budget.approved {"budget_id":2,"patient_id":7,"total_amount":5500.50,"approval_time":T,"timestamp":T}',
  ],
  [
    "SET @app_user_id = 4; CALL sp_register_payment(7, 2, 500.00, 'cash', 'Primera «cuota»')",
    'payment.received {"payment_id":2,"patient_id":7,"budget_id":2,"amount":500.00,"payment_method":"cash","notes":"Primera «cuota»","processed_by":4,"timestamp":T}',
  ],
  [
    'CALL sp_refund_payment(2)',
    'payment.refunded {"payment_id":2,"patient_id":7,"budget_id":2,"amount":500.00,"refund_time":T,"timestamp":T}',
  ],
  [
    `CALL sp_create_medical_record(7, 1, 'Dolor', 'Caries "profunda"', 'Obturación')`,
    'medical_record.created {"record_id":1,"patient_id":7,"doctor_id":1,"diagnosis":"Caries \\"profunda\\"","timestamp":T}',
  ],
  [
    "UPDATE consents SET status = 'signed', signed_at = '2026-03-07 11:30:00' WHERE id = 1",
    'consent.signed {"consent_id":1,"patient_id":2,"procedure_name":"Extracción de cordal","signed_at":"2026-03-07T11:30:00.000-04:00","timestamp":T}',
  ],
  [
    'CALL sp_use_inventory(1, 2)',
    'inventory.low_stock {"item_id":1,"name":"Guantes de nitrilo","current_stock":10,"min_stock":10,"timestamp":T}',
  ],
  ['CALL sp_use_inventory(1, 3)'],
  ['UPDATE inventory SET stock = 11 WHERE id = 1'],
  [
    'UPDATE inventory SET stock = 9 WHERE id = 1',
    'inventory.low_stock {"item_id":1,"name":"Guantes de nitrilo","current_stock":9,"min_stock":10,"timestamp":T}',
  ],
  [
    'BEGIN; UPDATE inventory SET stock = 20 WHERE id = 1; UPDATE inventory SET stock = 5 WHERE id = 1; COMMIT',
  ],
  [
    "INSERT INTO inventory (id, name, stock, min_stock) VALUES (40, 'Hilo', 2, 5)",
    'inventory.low_stock {"item_id":40,"name":"Hilo","current_stock":2,"min_stock":5,"timestamp":T}',
  ],
  [
    'UPDATE inventory SET min_stock = 80 WHERE id = 2',
    'inventory.low_stock {"item_id":2,"name":"Anestesia (lidocaína 2 %)","current_stock":80,"min_stock":80,"timestamp":T}',
  ],
  ["UPDATE users SET password = 'secreto' WHERE id = 1"],
];

describe.each(servers)('the built-in catalogue on %s', (variant) => {
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

  test('fits the clinic but for two columns', () => {
    expect(
      clinic.rules.warnings.map((warning) => /(\w+): table "appointments" has none/.exec(warning)?.[1]),
    ).toEqual(['created_by', 'cancellation_reason']);
  });

  test('makes exactly these events of a day', async () => {
    const events = await expectStory(clinic, story);
    expect(events.map(({ body }) => body).join('\n')).not.toContain('secreto');
    expect(typesIn(story).toSorted()).toEqual(clinic.rules.types.map(({ type }) => type).toSorted());
  });

  test('makes 10,000 events of one UPDATE of 10,000 rows', async () => {
    // Not in the log: they are here only to be updated.
    await schema.query(
      "SET sql_log_bin = 0; INSERT INTO appointments (patient_id, doctor_id, branch_id, appointment_date, appointment_time) WITH digits (d) AS (SELECT 0 UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9) SELECT 1, 1, 1, '2027-01-01', '08:00:00' FROM digits a, digits b, digits c, digits e; SET sql_log_bin = 1",
    );
    const events = await clinic.play(
      "UPDATE appointments SET status = 'confirmed' WHERE appointment_date = '2027-01-01'",
    );
    expect(events).toHaveLength(10_000);
    expect(new Set(events.map(({ id }) => id)).size).toBe(10_000);
    expect(new Set(events.map(({ event }) => event))).toEqual(new Set(['appointment.confirmed']));
  });
});
