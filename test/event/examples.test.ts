import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { expectStory, openClinic, typesIn, type LiveClinic, type Step } from './live-clinic.ts';

const folder = join(import.meta.dirname, '../../config/examples');

const aurora: Step[] = [
  [
    "INSERT INTO pacientes (id, expediente, nombres, apellidos, teléfono, correo, sucursal_id) VALUES (45, 'A-0045', 'José Ángel', 'Ñáñez', '809-555-0245', NULL, 2)",
    'patient.created {"patient_id":45,"medrecno":"A-0045","first_name":"José Ángel","last_name":"Ñáñez","phone":"809-555-0245","email":null,"branch_id":2,"status":"active","timestamp":T}',
  ],
  [
    "UPDATE pacientes SET teléfono = NULL, nacimiento = '1984-02-29', situación = 'en espera' WHERE id = 45",
    'patient.updated {"patient_id":45,"updated_fields":{"teléfono":{"old":"809-555-0245","new":null},"nacimiento":{"old":null,"new":"1984-02-29"}},"timestamp":T}',
    'patient.status_changed {"patient_id":45,"old_status":"active","new_status":"on_hold","timestamp":T}',
  ],
  [
    "INSERT INTO citas (id, paciente_id, doctor_id, sucursal_id, inicia_en, creada_por) VALUES (12, 45, 3, 2, '2026-03-09 10:30:00', 1)",
    'appointment.scheduled {"appointment_id":12,"patient_id":45,"doctor_id":3,"branch_id":2,"appointment_date":"2026-03-09","appointment_time":"10:30:00","duration_minutes":30,"created_by":1,"timestamp":T}',
  ],
  [
    "UPDATE citas SET recordatorio_enviado = 1, canal_recordatorio = 'whatsapp', estado = 'confirmada' WHERE id = 12",
    'appointment.confirmed {"appointment_id":12,"patient_id":45,"confirmation_time":T,"timestamp":T}',
    'reminder.sent {"appointment_id":12,"method":"whatsapp","sent_time":T,"timestamp":T}',
  ],
  ['UPDATE citas SET recordatorio_enviado = 1, minutos = 45 WHERE id = 12'],
  ['INSERT INTO citas_tratamientos VALUES (12, 1, 1)'],
  [
    "BEGIN; INSERT INTO citas_tratamientos VALUES (12, 2, 2); UPDATE citas SET estado = 'atendida' WHERE id = 12; COMMIT",
    'appointment.completed {"appointment_id":12,"patient_id":45,"completion_time":T,"services_rendered":[{"service_id":1,"name":"Limpieza","quantity":1},{"service_id":2,"name":"Extracción de cordal","quantity":2}],"timestamp":T}',
  ],
  ['UPDATE citas SET eliminada_en = NOW() WHERE id = 12'],
  [
    "INSERT INTO citas (id, paciente_id, doctor_id, sucursal_id, inicia_en, estado) VALUES (13, 45, 3, 2, '2026-03-10 09:00:00', 'confirmada')",
    'appointment.scheduled {"appointment_id":13,"patient_id":45,"doctor_id":3,"branch_id":2,"appointment_date":"2026-03-10","appointment_time":"09:00:00","duration_minutes":30,"created_by":null,"timestamp":T}',
    'appointment.confirmed {"appointment_id":13,"patient_id":45,"confirmation_time":T,"timestamp":T}',
  ],
  [
    "UPDATE citas SET estado = 'no asistió', motivo_cancelación = 'No contestó' WHERE id = 13",
    'appointment.cancelled {"appointment_id":13,"patient_id":45,"cancellation_time":T,"cancellation_reason":"No contestó","timestamp":T}',
  ],
  ["UPDATE citas SET estado = 'programada' WHERE id = 13"],
  [
    'UPDATE citas SET eliminada_en = NOW(), motivo_cancelación = NULL WHERE id = 13',
    'appointment.cancelled {"appointment_id":13,"patient_id":45,"cancellation_time":T,"cancellation_reason":null,"timestamp":T}',
  ],
  [
    'BEGIN; INSERT INTO presupuestos (id, paciente_id) VALUES (7, 45); INSERT INTO presupuestos_detalles VALUES (1, 7, 2, 1, 4200.50), (2, 7, 1, 2, 1500.00);' +
      " UPDATE presupuestos SET importe = 7200.50, estado = 'enviado' WHERE id = 7; COMMIT",
    'budget.created {"budget_id":7,"patient_id":45,"total_amount":7200.50,"status":"enviado","items":[{"service_id":2,"quantity":1,"unit_price":4200.50},{"service_id":1,"quantity":2,"unit_price":1500.00}],"timestamp":T}',
  ],
  [
    "UPDATE presupuestos SET estado = 'aceptado' WHERE id = 7",
    'budget.approved {"budget_id":7,"patient_id":45,"total_amount":7200.50,"approval_time":T,"timestamp":T}',
  ],
  [
    "INSERT INTO cobros (id, paciente_id, presupuesto_id, importe, forma, comentario, cajero_id) VALUES (3, 45, 7, 3600.25, 'tarjeta', 'Primera cuota 💳', 1)",
    'payment.received {"payment_id":3,"patient_id":45,"budget_id":7,"amount":3600.25,"payment_method":"credit_card","notes":"Primera cuota 💳","processed_by":1,"timestamp":T}',
  ],
  [
    'UPDATE cobros SET devuelto = 1 WHERE id = 3',
    'payment.refunded {"payment_id":3,"patient_id":45,"budget_id":7,"amount":3600.25,"refund_time":T,"timestamp":T}',
  ],
  [
    "INSERT INTO historias (id, paciente_id, doctor_id, diagnóstico) VALUES (5, 45, 3, 'Caries')",
    'medical_record.created {"record_id":5,"patient_id":45,"doctor_id":3,"diagnosis":"Caries","timestamp":T}',
  ],
  ["INSERT INTO consentimientos (id, paciente_id, procedimiento) VALUES (9, 45, 'Extracción')"],
  [
    "UPDATE consentimientos SET firmado_en = '2026-03-07 11:30:00' WHERE id = 9",
    'consent.signed {"consent_id":9,"patient_id":45,"procedure_name":"Extracción","signed_at":"2026-03-07T11:30:00.000-04:00","timestamp":T}',
  ],
  [
    'UPDATE inventario SET existencia = 10 WHERE id = 1',
    'inventory.low_stock {"item_id":1,"name":"Anestesia 💉","current_stock":10,"min_stock":10,"timestamp":T}',
  ],
  [
    'UPDATE pacientes SET eliminado_en = NOW() WHERE id = 45',
    'patient.status_changed {"patient_id":45,"old_status":"on_hold","new_status":"inactive","timestamp":T}',
  ],
  ["UPDATE usuarios SET contraseña = 'secreto' WHERE id = 1"],
];

const norte: Step[] = [
  [
    "INSERT INTO personas (cod_persona, tipo, nombre, apellido, sede) VALUES (44, 'E', 'Rafael', 'Núñez', 'STI')",
  ],
  [
    "INSERT INTO personas (cod_persona, tipo, nombre, apellido, movil, num_historia, sede) VALUES (45, 'P', 'Íñigo', 'Peña', NULL, 5045, 'STI')",
    'patient.created {"patient_id":45,"medrecno":5045,"first_name":"Íñigo","last_name":"Peña","phone":null,"email":null,"branch_id":"STI","status":"active","timestamp":T}',
  ],
  [
    "UPDATE personas SET movil = '829-555-0345', estatus = 2, clave = 'secreto' WHERE cod_persona = 45",
    'patient.updated {"patient_id":45,"updated_fields":{"movil":{"old":null,"new":"829-555-0345"}},"timestamp":T}',
    'patient.status_changed {"patient_id":45,"old_status":"active","new_status":"on_hold","timestamp":T}',
  ],
  [
    "INSERT INTO agenda (cod_cita, cod_paciente, cod_doctor, sede, fecha, hora, usuario) VALUES (12, 45, 1, 'STI', '2026-03-09', '10:30:00', 44)",
    'appointment.scheduled {"appointment_id":12,"patient_id":45,"doctor_id":1,"branch_id":"STI","appointment_date":"2026-03-09","appointment_time":"10:30:00","end_time":null,"created_by":44,"timestamp":T}',
  ],
  [
    'UPDATE agenda SET estatus = 2 WHERE cod_cita = 12',
    'appointment.confirmed {"appointment_id":12,"patient_id":45,"confirmation_time":T,"timestamp":T}',
  ],
  ["INSERT INTO mensajes (cod_mensaje, asunto, medio, cod_cita) VALUES (1, 'RECORDATORIO', 'sms', 12)"],
  [
    "UPDATE mensajes SET estatus = 1, enviado = '2026-03-07 15:30:00' WHERE cod_mensaje = 1",
    'reminder.sent {"appointment_id":12,"method":"sms","sent_time":"2026-03-07T15:30:00.000Z","timestamp":T}',
  ],
  [
    "BEGIN; UPDATE agenda SET estatus = 4 WHERE cod_cita = 12; INSERT INTO agenda_proc VALUES (12, 1, 'D7140', 38), (12, 2, 'D1110', NULL); COMMIT",
    'appointment.completed {"appointment_id":12,"patient_id":45,"completion_time":T,"services_rendered":[{"service_id":"D7140","name":"Extracción","tooth":38},{"service_id":"D1110","name":"Limpieza","tooth":null}],"timestamp":T}',
  ],
  ['DELETE FROM agenda WHERE cod_cita = 12'],
  [
    "INSERT INTO agenda (cod_cita, cod_paciente, cod_doctor, sede, fecha, hora) VALUES (13, 45, 1, 'STI', '2026-03-10', '09:00:00')",
    'appointment.scheduled {"appointment_id":13,"patient_id":45,"doctor_id":1,"branch_id":"STI","appointment_date":"2026-03-10","appointment_time":"09:00:00","end_time":null,"created_by":null,"timestamp":T}',
  ],
  [
    'DELETE FROM agenda WHERE cod_cita = 13',
    'appointment.cancelled {"appointment_id":13,"patient_id":45,"cancellation_time":T,"cancellation_reason":null,"timestamp":T}',
  ],
  [
    "BEGIN; INSERT INTO planes (cod_plan, cod_paciente) VALUES (7, 45); INSERT INTO planes_lineas VALUES (7, 1, 'D7140', 2500.50); UPDATE planes SET total = 2500.50 WHERE cod_plan = 7; COMMIT",
    'budget.created {"budget_id":7,"patient_id":45,"total_amount":2500.50,"status":"pending","items":[{"service_id":"D7140","unit_price":2500.50}],"timestamp":T}',
  ],
  [
    "UPDATE planes SET aprobado = b'1' WHERE cod_plan = 7",
    'budget.approved {"budget_id":7,"patient_id":45,"total_amount":2500.50,"approval_time":T,"timestamp":T}',
  ],
  [
    'BEGIN; INSERT INTO pagos (cod_pago, cod_paciente, cod_plan) VALUES (3, 45, 7); INSERT INTO detalle_pagos (cod_pago, renglon, monto, medio, usuario) VALUES (3, 1, 1000.00, 1, 44); COMMIT',
    'payment.received {"payment_id":3,"line":1,"patient_id":45,"budget_id":7,"amount":1000.00,"payment_method":"cash","notes":null,"processed_by":44,"timestamp":T}',
  ],
  [
    "INSERT INTO detalle_pagos (cod_pago, renglon, monto, medio, referencia) VALUES (3, 2, 500.50, 9, 'Bono navideño')",
    'payment.received {"payment_id":3,"line":2,"patient_id":45,"budget_id":7,"amount":500.50,"payment_method":9,"notes":"Bono navideño","processed_by":null,"timestamp":T}',
  ],
  ['UPDATE pagos SET saldo = 1500.50 WHERE cod_pago = 3'],
  [
    "INSERT INTO detalle_pagos (cod_pago, renglon, monto, medio, fecha) VALUES (3, 3, -500.50, 3, '2026-03-07 15:30:00')",
    'payment.refunded {"payment_id":3,"line":3,"patient_id":45,"budget_id":7,"amount":-500.50,"refund_time":"2026-03-07T15:30:00.000Z","timestamp":T}',
  ],
  [
    "INSERT INTO documentos (cod_doc, tipo, cod_paciente, cod_doctor, texto) VALUES (5, 'H', 45, 1, 'Caries')",
    'medical_record.created {"record_id":5,"patient_id":45,"doctor_id":1,"diagnosis":"Caries","timestamp":T}',
  ],
  ["INSERT INTO documentos (cod_doc, tipo, cod_paciente, titulo) VALUES (6, 'C', 45, 'Extracción')"],
  [
    "UPDATE documentos SET firmado = b'1' WHERE cod_doc = 6",
    'consent.signed {"consent_id":6,"patient_id":45,"procedure_name":"Extracción","signed_at":T,"timestamp":T}',
  ],
  ["UPDATE documentos SET firmado = b'1' WHERE cod_doc = 5"],
  [
    'BEGIN; UPDATE existencias SET cantidad = cantidad - 2.5 WHERE cod_articulo = 1; UPDATE existencias SET cantidad = 0 WHERE cod_articulo = 2; COMMIT',
    'inventory.low_stock {"item_id":1,"branch_id":"STI","name":"Algodón","current_stock":2.000,"min_stock":2.000,"timestamp":T}',
  ],
];

describe.each(flavours)('%s', (flavour) => {
  describe.each([
    ['clinica-aurora', aurora],
    ['dental-del-norte', norte],
  ])('%s', (name, story) => {
    let schema: TestSchema;
    let clinic: LiveClinic;

    beforeAll(async () => {
      const sql = readFileSync(join(folder, name, 'schema.sql'), 'utf8');
      schema = await createSchema(sharedServer(flavour), sql);
      clinic = await openClinic(flavour, schema, join(folder, name, 'events.yaml'));
    });

    afterAll(async () => {
      await clinic.close();
      await schema.drop();
    });

    test('its statements become exactly these events', async () => {
      const events = await expectStory(clinic, story);
      expect(events.map(({ body }) => body).join('\n')).not.toContain('secreto');
    });

    test('every event of the catalogue has a rule that fits, and is in the story', () => {
      const types = clinic.rules.types.map(({ type }) => type);
      expect(types).toHaveLength(15);
      expect(clinic.rules.warnings).toEqual([]);
      expect(typesIn(story).toSorted()).toEqual(types.toSorted());
    });

    test('no password leaves the reader', () => {
      const columns = [...clinic.rules.watch.values()].flatMap((watched) => [...watched]);
      expect(columns).not.toContain('contraseña');
      expect(columns).not.toContain('clave');
      expect(clinic.rules.watch.has('usuarios')).toBe(false);
    });
  });
});
