import type { Connection } from 'mysql2/promise';
import { monotonicMs } from '../lib/clock.ts';

/** An event that a step must cause, with the fields of its data that identify it. */
export interface ExpectedEvent {
  type: string;
  data: Readonly<Record<string, string | number>>;
}

/** One act at the clinic: the statements of one transaction, and the events that subscribers must receive. */
export interface DayStep {
  /** Clock time in the story, `HH:MM`. */
  time: string;
  label: string;
  /** Run in order by the application's user; the last statement commits. */
  statements: readonly string[];
  /** In the order of arrival; empty if nothing may be sent. */
  expects: readonly ExpectedEvent[];
}

/** Called before each step and after its commit; the next step waits for it. */
export interface DayObserver {
  onBegin(step: DayStep): void;
  /** `atMs`: time on the monotonic clock when the commit returned to the application. */
  onCommit(step: DayStep, atMs: number): void | Promise<void>;
}

/**
 * A day at the clinic of config/clinic/ontology_db.sql, freshly loaded: the ids of new rows follow from its rows.
 * Every event of the catalogue fires at least once, and some steps must fire no event.
 */
const clinicDay: readonly DayStep[] = [
  {
    time: '08:00',
    label: 'A new patient is registered',
    statements: [
      `CALL sp_create_patient('Lucía Inés', 'Ordóñez Núñez 🌷', '001-0000007-7', '1996-08-13', '809-555-0107',
                              'lucia@correo.example', 1)`,
    ],
    expects: [{ type: 'patient.created', data: { patient_id: 7 } }],
  },
  {
    time: '08:04',
    label: 'Her telephone and e-mail are corrected',
    statements: [`UPDATE patients SET phone = '809-555-0170', email = 'ordonez@correo.example' WHERE id = 7`],
    expects: [{ type: 'patient.updated', data: { patient_id: 7 } }],
  },
  {
    time: '08:05',
    label: 'The form is saved again, unchanged (nothing may be sent)',
    statements: [`UPDATE patients SET phone = '809-555-0170' WHERE id = 7`],
    expects: [],
  },
  {
    time: '08:10',
    label: 'She books an appointment',
    statements: [
      `CALL sp_create_appointment(7, 1, 1, '2026-03-07', '12:00:00', 45, 'Primera visita; viene en moto 🛵')`,
    ],
    expects: [{ type: 'appointment.scheduled', data: { appointment_id: 5, patient_id: 7 } }],
  },
  {
    time: '08:30',
    label: 'A walk-in patient gets one that is confirmed from the start',
    statements: [
      `INSERT INTO appointments (patient_id, doctor_id, branch_id, appointment_date, appointment_time, status)
       VALUES (6, 2, 2, '2026-03-07', '08:45:00', 'confirmed')`,
    ],
    expects: [
      { type: 'appointment.scheduled', data: { appointment_id: 6 } },
      { type: 'appointment.confirmed', data: { appointment_id: 6 } },
    ],
  },
  {
    time: '09:00',
    label: 'A reminder goes out by WhatsApp',
    statements: [`CALL sp_log_reminder(5, 'whatsapp')`],
    expects: [{ type: 'reminder.sent', data: { appointment_id: 5, method: 'whatsapp' } }],
  },
  {
    time: '09:12',
    label: 'She confirms',
    statements: ['CALL sp_confirm_appointment(5)'],
    expects: [{ type: 'appointment.confirmed', data: { appointment_id: 5, patient_id: 7 } }],
  },
  {
    time: '10:00',
    label: 'A patient is ill and cancels',
    statements: [`CALL sp_cancel_appointment(2, 'Se enfermó 🤒')`],
    expects: [{ type: 'appointment.cancelled', data: { appointment_id: 2 } }],
  },
  {
    time: '10:15',
    label: 'An appointment is deleted outright, which cancels it too',
    statements: ['DELETE FROM appointments WHERE id = 4'],
    expects: [{ type: 'appointment.cancelled', data: { appointment_id: 4 } }],
  },
  {
    time: '10:20',
    label: 'One is booked and deleted before it is saved (nothing may be sent)',
    statements: [
      'START TRANSACTION',
      `INSERT INTO appointments (id, patient_id, doctor_id, branch_id, appointment_date, appointment_time)
       VALUES (90, 1, 1, 1, '2026-03-08', '09:00:00')`,
      'DELETE FROM appointments WHERE id = 90',
      'COMMIT',
    ],
    expects: [],
  },
  {
    time: '11:45',
    label: 'A consent is signed',
    statements: ['CALL sp_sign_consent(1)'],
    expects: [{ type: 'consent.signed', data: { consent_id: 1 } }],
  },
  {
    time: '12:00',
    label: 'The doctor writes the medical record',
    statements: [
      `CALL sp_create_medical_record(7, 1, 'Dolor al masticar 😖', 'Caries oclusal en 3.6', 'Obturación con resina')`,
    ],
    expects: [{ type: 'medical_record.created', data: { record_id: 1, patient_id: 7 } }],
  },
  {
    time: '12:40',
    label: 'The appointment is completed, with two services',
    statements: [`CALL sp_complete_appointment(5, '[{"service_id": 1}, {"service_id": 4}]')`],
    expects: [{ type: 'appointment.completed', data: { appointment_id: 5, patient_id: 7 } }],
  },
  {
    time: '12:45',
    label: 'A budget is drawn up: born with 0.00, items, total, one transaction',
    statements: [
      `CALL sp_create_budget(7, 1, '[{"service_id": 2, "quantity": 2}, {"service_id": 1}]', 'Válido por 30 días 📄')`,
    ],
    expects: [{ type: 'budget.created', data: { budget_id: 2, total_amount: 6501, status: 'pending' } }],
  },
  {
    time: '12:50',
    label: 'She approves it',
    statements: ['CALL sp_approve_budget(2)'],
    expects: [{ type: 'budget.approved', data: { budget_id: 2, total_amount: 6501 } }],
  },
  {
    time: '12:55',
    label: 'She pays, through the stored procedure',
    statements: [`CALL sp_register_payment(7, 2, 500.00, 'credit_card', 'Inicial; “pagó con tarjeta” 💳')`],
    expects: [
      { type: 'payment.received', data: { payment_id: 2, patient_id: 7, budget_id: 2, amount: 500 } },
    ],
  },
  {
    time: '12:56',
    label: 'The terminal charges twice',
    statements: [`CALL sp_register_payment(7, 2, 500.00, 'credit_card', NULL)`],
    expects: [{ type: 'payment.received', data: { payment_id: 3, amount: 500 } }],
  },
  {
    time: '12:58',
    label: 'The second payment is refunded',
    statements: ['CALL sp_refund_payment(3)'],
    expects: [{ type: 'payment.refunded', data: { payment_id: 3, amount: 500 } }],
  },
  {
    time: '13:00',
    label: 'A payment is typed and taken back before it is saved (nothing may be sent)',
    statements: ['START TRANSACTION', `CALL sp_register_payment(1, 1, 9999.99, 'cash', NULL)`, 'ROLLBACK'],
    expects: [],
  },
  {
    time: '15:30',
    label: 'Gloves are used: the stock falls to its minimum',
    statements: ['CALL sp_use_inventory(1, 2)'],
    expects: [{ type: 'inventory.low_stock', data: { item_id: 1, current_stock: 10, min_stock: 10 } }],
  },
  {
    time: '15:40',
    label: 'More gloves are used: already low (nothing may be sent)',
    statements: ['CALL sp_use_inventory(1, 1)'],
    expects: [],
  },
  {
    time: '16:00',
    label: 'A new article arrives, too few of it',
    statements: [
      `INSERT INTO inventory (name, category, unit, stock, min_stock, price)
       VALUES ('Hilo de sutura 4-0', 'Cirugía', 'sobre', 2, 20, 145.00)`,
    ],
    expects: [{ type: 'inventory.low_stock', data: { item_id: 4, current_stock: 2 } }],
  },
  {
    time: '17:30',
    label: 'A patient is put on hold and gets a new telephone, in one statement: two events',
    statements: [`UPDATE patients SET status = 'on_hold', phone = '829-555-0199' WHERE id = 5`],
    expects: [
      { type: 'patient.updated', data: { patient_id: 5 } },
      {
        type: 'patient.status_changed',
        data: { patient_id: 5, old_status: 'active', new_status: 'on_hold' },
      },
    ],
  },
];

/** Plays `clinicDay` on a connection of the application's user, one step after the other, until the signal aborts. */
export async function playDay(
  connection: Connection,
  observer: DayObserver,
  signal?: AbortSignal,
): Promise<void> {
  // The signed-in user of the application: Belén at the front desk.
  await connection.query('SET @app_user_id = 4');
  for (const step of clinicDay) {
    if (signal?.aborted) return;
    observer.onBegin(step);
    for (const statement of step.statements) await connection.query(statement);
    await observer.onCommit(step, monotonicMs());
  }
}
