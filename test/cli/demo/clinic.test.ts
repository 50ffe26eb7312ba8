import type { Connection, RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loadClinic } from '../../../src/demo/clinic.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../../support/server.ts';

describe.each(flavours)('the clinic on %s', (flavour) => {
  let schema: TestSchema;
  let connection: Connection;
  beforeAll(async () => {
    schema = await createSchema(sharedServer(flavour));
    connection = await schema.connect();
    await loadClinic(connection);
  });
  afterAll(() => schema.drop());

  /** The first row of what a procedure returns. */
  async function call(sql: string, values: unknown[] = []): Promise<RowDataPacket> {
    const [sets] = await connection.query<RowDataPacket[][]>(sql, values);
    return sets[0]![0]!;
  }

  test('has the columns that OdontologyApp is known to have', async () => {
    const columns = await schema.query(
      `SELECT table_name AS name, GROUP_CONCAT(column_name ORDER BY ordinal_position) AS columns
       FROM information_schema.columns WHERE table_schema = DATABASE() GROUP BY table_name`,
    );
    const byTable = Object.fromEntries(columns.map((row) => [String(row['name']), String(row['columns'])]));
    expect(byTable).toMatchObject({
      branches: 'id,name,address,icon,status,created_at',
      users: 'id,name,username,email,password,role,initials,branch_id,status,created_at',
      doctors: 'id,user_id,specialty,license_number,status',
      doctor_branches: 'doctor_id,branch_id',
      patients:
        'id,medrecno,first_name,last_name,cedula,birth_date,phone,email,sex,blood_group,allergies,branch_id,status,uuid,created_at',
      appointments:
        'id,patient_id,doctor_id,branch_id,appointment_date,appointment_time,duration_minutes,status,notes,uuid,created_at',
      services: 'id,name,description,price,created_at',
      medical_records:
        'id,patient_id,doctor_id,record_date,motif,diagnosis,treatment,future_plan,next_visit,observations',
      budgets: 'id,patient_id,doctor_id,total_amount,status,notes,created_at',
      budget_items: 'id,budget_id,service_id,quantity,unit_price,subtotal',
      payments: 'id,patient_id,budget_id,amount,payment_method,status,notes,processed_by,created_at',
      consents: 'id,patient_id,procedure_name,content,status,signed_at,created_at',
      inventory: 'id,name,description,category,unit,stock,min_stock,price,updated_at',
      audit_logs: 'id,user_id,action,entity,entity_id,details,created_at',
      appointment_services: 'appointment_id,service_id,quantity',
    });
    expect(byTable).toHaveProperty('notifications');
  });

  test('keeps accents, quotes and emoji', async () => {
    expect(
      await schema.query('SELECT first_name, last_name FROM patients WHERE id IN (3, 4) ORDER BY id'),
    ).toEqual([
      { first_name: 'Íñigo', last_name: `Echevarría "Chiqui" O'Neill` },
      { first_name: 'Zoé 🌸', last_name: 'Peña y Álvarez' },
    ]);
    expect(await schema.query('SELECT name, address, icon FROM branches WHERE id = 1')).toEqual([
      { name: 'Sucursal Piantini', address: 'Av. Núñez de Cáceres 14; 2.º piso', icon: '🦷' },
    ]);
  });

  test('a payment is registered by its procedure, which returns its id', async () => {
    await connection.query('SET @app_user_id = 4');
    const { payment_id } = await call('CALL sp_register_payment(?, ?, ?, ?, ?)', [
      2,
      null,
      '750.50',
      'cash',
      'Abonó 😀',
    ]);
    expect(await schema.query('SELECT * FROM payments WHERE id = ?', [payment_id])).toMatchObject([
      {
        patient_id: 2,
        budget_id: null,
        amount: '750.50',
        status: 'completed',
        notes: 'Abonó 😀',
        processed_by: 4,
      },
    ]);
  });

  test('a budget gets its items and its total in one transaction', async () => {
    const items = JSON.stringify([{ service_id: 3, quantity: 2 }, { service_id: 1 }]);
    const { budget_id } = await call('CALL sp_create_budget(1, 1, ?, NULL)', [items]);
    expect(await schema.query('SELECT total_amount FROM budgets WHERE id = ?', [budget_id])).toEqual([
      { total_amount: '9100.00' },
    ]);
    expect(
      await schema.query(
        'SELECT service_id, quantity, subtotal FROM budget_items WHERE budget_id = ? ORDER BY id',
        [budget_id],
      ),
    ).toEqual([
      { service_id: 3, quantity: 2, subtotal: '7600.00' },
      { service_id: 1, quantity: 1, subtotal: '1500.00' },
    ]);
  });

  test('a budget that cannot be finished leaves nothing behind', async () => {
    const count = 'SELECT COUNT(*) AS n FROM budgets';
    const before = await schema.query(count);
    // No service of this number: the total stays NULL, which the column refuses.
    await expect(call('CALL sp_create_budget(1, 1, ?, NULL)', ['[{"service_id": 99}]'])).rejects.toThrow(
      /null/i,
    );
    expect(await schema.query(count)).toEqual(before);
  });

  test('an appointment goes from the first call to the chair', async () => {
    const { appointment_id: id } = await call(
      "CALL sp_create_appointment(5, 2, 2, '2026-03-09', '16:15:00', NULL, 'Viene con su mamá 👩‍👧')",
    );
    const row = () =>
      schema.query('SELECT status, duration_minutes, notes FROM appointments WHERE id = ?', [id]);
    expect(await row()).toEqual([
      { status: 'scheduled', duration_minutes: 30, notes: 'Viene con su mamá 👩‍👧' },
    ]);
    expect(await call('CALL sp_confirm_appointment(?)', [id])).toEqual({ affected: 1 });
    await call('CALL sp_log_reminder(?, ?)', [id, 'whatsapp']);
    // The type shows that MariaDB, too, keeps the number a number.
    expect(
      await schema.query(
        `SELECT action, JSON_TYPE(JSON_EXTRACT(details, '$.appointment_id')) AS type,
                JSON_VALUE(details, '$.appointment_id') AS id, JSON_VALUE(details, '$.method') AS method
         FROM audit_logs WHERE entity_id = ?`,
        [id],
      ),
    ).toEqual([{ action: 'reminder_sent', type: 'INTEGER', id: String(id), method: 'whatsapp' }]);
    await call('CALL sp_complete_appointment(?, ?)', [
      id,
      '[{"service_id": 2}, {"service_id": 4, "quantity": 3}]',
    ]);
    expect(await row()).toMatchObject([{ status: 'completed' }]);
    expect(
      await schema.query('SELECT service_id, quantity FROM appointment_services WHERE appointment_id = ?', [
        id,
      ]),
    ).toEqual([
      { service_id: 2, quantity: 1 },
      { service_id: 4, quantity: 3 },
    ]);
    expect(await call("CALL sp_cancel_appointment(?, 'tarde')", [id])).toEqual({ affected: 0 });
    expect(await call("CALL sp_cancel_appointment(2, 'Se enfermó 🤒')")).toEqual({ affected: 1 });
    expect(await schema.query('SELECT status, notes FROM appointments WHERE id = 2')).toEqual([
      { status: 'cancelled', notes: 'Prefiere por la mañana ☀️ · Se enfermó 🤒' },
    ]);
  });

  test('a patient who leaves takes everything along', async () => {
    const { patient_id: id } = await call(
      "CALL sp_create_patient('Ñoño', 'Ávila', NULL, '1990-05-17', NULL, NULL, 2)",
    );
    await call('CALL sp_register_payment(?, NULL, 10, "cash", NULL)', [id]);
    await schema.query('DELETE FROM patients WHERE id = ?', [id]);
    expect(await schema.query('SELECT COUNT(*) AS n FROM payments WHERE patient_id = ?', [id])).toEqual([
      { n: 0 },
    ]);
  });
});
