import { describe, expect, test } from 'vitest';
import { CaptureFault } from '../../src/binlog/halt.ts';
import type { Row } from '../../src/binlog/types.ts';
import type { Change } from '../../src/change/types.ts';
import { compile, compileBuiltIn, layoutOf, ontology, statementsOn, transact, type Cells } from './clinic.ts';

const rules = compileBuiltIn();
const appointments = statementsOn(ontology, 'appointments', rules);
const inventory = statementsOn(ontology, 'inventory', rules);
const patients = statementsOn(ontology, 'patients', rules);
const payments = statementsOn(ontology, 'payments', rules);

/** The row as the source has it by now. */
function rereading(
  table: string,
  cells: Cells | null,
): { reread(change: Change): Promise<Row | null>; asked: string[] } {
  const asked: string[] = [];
  const { columns } = layoutOf(ontology.get(table)!, rules);
  return {
    asked,
    reread: (change) => {
      asked.push(change.key);
      return Promise.resolve(cells && columns.map(({ name }) => cells[name] ?? null));
    },
  };
}

describe('a row image that lacks cells', () => {
  test('continues when the rules need only what is there', async () => {
    const { reread, asked } = rereading('appointments', null);
    const row = appointments.partial(
      'update',
      { id: 12, status: 'scheduled', patient_id: 45 },
      { status: 'confirmed' },
    );
    const [event] = await transact(rules, [row], { reread });
    expect(event?.data).toMatchObject({ appointment_id: 12, patient_id: 45 });
    expect(event?.readLate).toEqual([]);
    expect(asked).toEqual([]);
  });

  test('is completed from the source for the payload, and the event says which columns were read late', async () => {
    const { reread, asked } = rereading('appointments', { id: 12, patient_id: 45, status: 'completed' });
    const row = appointments.partial('update', { id: 12, status: 'scheduled' }, { status: 'confirmed' });
    const [event] = await transact(rules, [row], { reread });
    expect(event?.type).toBe('appointment.confirmed');
    expect(event?.data).toMatchObject({ appointment_id: 12, patient_id: 45 });
    expect(event?.readLate).toContain('patient_id');
    expect(event?.readLate).not.toContain('status');
    expect(asked).toEqual(['12']);
  });

  test('an absent cell is never null', async () => {
    const row = payments.partial('insert', null, {
      id: 5,
      patient_id: 45,
      amount: '1.00',
      payment_method: 'cash',
      status: 'completed',
    });
    const { reread } = rereading('payments', { notes: 'late', processed_by: 4, budget_id: 7 });
    const [event] = await transact(rules, [row], { reread });
    expect(event?.data).toMatchObject({ notes: 'late', processed_by: 4, budget_id: 7, patient_id: 45 });
    expect(event?.readLate?.toSorted()).toEqual(['budget_id', 'notes', 'processed_by']);
  });

  test('is read again once, however many rules need it', async () => {
    const both = compile(
      'events: { a.b: { table: payments, data: { n: notes } }, a.c: { table: payments, data: { n: notes } } }',
      ontology,
    );
    const layout = layoutOf(ontology.get('payments')!, both);
    const asked: string[] = [];
    const reread = (change: Change) => {
      asked.push(change.key);
      return Promise.resolve(layout.columns.map(() => 'late'));
    };
    const row = statementsOn(ontology, 'payments', both).partial('insert', null, { id: 5 });
    expect(await transact(both, [row], { reread })).toHaveLength(2);
    expect(asked).toEqual(['5']);
  });

  test('a limit that was not logged is read late', async () => {
    const row = inventory.partial('update', { id: 5, stock: 12 }, { stock: 9 });
    const full = { id: 5, name: 'Guantes', stock: 7, min_stock: 10 };
    const [event] = await transact(rules, [row], rereading('inventory', full));
    expect(event?.data).toMatchObject({ current_stock: 9, min_stock: 10, name: 'Guantes' });
    expect(await transact(rules, [row], rereading('inventory', { ...full, min_stock: 5 }))).toEqual([]);
  });

  test('another column that was not logged is read late', async () => {
    const rules = compile(
      'events: { a.b: { table: payments, on: update, when: { notes: { becomes: { column: processed_by } } }, data: { id: id } } }',
      ontology,
    );
    const on = statementsOn(ontology, 'payments', rules);
    const row = on.partial('update', { id: 5 }, { processed_by: 4 });
    await expect(transact(rules, [row])).rejects.toMatchObject({ reason: 'absent-columns' });
  });

  test('what is in neither image has not changed', async () => {
    const { reread, asked } = rereading('appointments', null);
    const row = appointments.partial('update', { id: 12 }, { appointment_date: '2026-04-01' });
    expect(await transact(rules, [row], { reread })).toEqual([]);
    expect(asked).toEqual([]);
  });
});

describe('a tripwire', () => {
  const confirmed = appointments.partial('update', { id: 12 }, { status: 'confirmed' });
  const cases: [string, Parameters<typeof transact>[1], ReturnType<typeof rereading> | undefined][] = [
    [
      'an old value that is no longer known',
      [confirmed],
      rereading('appointments', { id: 12, status: 'confirmed' }),
    ],
    [
      'a row that is gone',
      [appointments.partial('update', { id: 12, status: 'waiting' }, { status: 'confirmed' })],
      rereading('appointments', null),
    ],
    ['no source to ask', [confirmed], undefined],
    [
      'a deleted row',
      [appointments.partial('delete', { id: 12 }, null)],
      rereading('appointments', { id: 12, status: 'waiting' }),
    ],
    [
      'changes whose old value is unknown',
      [patients.partial('update', { id: 45 }, { phone: null })],
      rereading('patients', { id: 45 }),
    ],
  ];
  test.each(cases)('%s', async (_name, rows, context) => {
    const mapped = transact(rules, rows, context ?? {});
    await expect(mapped).rejects.toBeInstanceOf(CaptureFault);
    await expect(mapped).rejects.toMatchObject({
      reason: 'absent-columns',
      message: expect.stringMatching(/^a rule needs values of \w+ that the log left out/),
      remedy: expect.stringContaining("SET GLOBAL binlog_row_image = 'FULL'"),
    });
  });

  test('names columns, never values', async () => {
    const row = patients.partial('update', { id: 45 }, { phone: '809-555-0101', first_name: 'Zoraida' });
    const error = await transact(rules, [row]).catch(String);
    expect(error).toContain('medrecno');
    expect(error).not.toMatch(/809|Zoraida|45/);
  });

  test('does not go off where the value that is there decides', async () => {
    expect(
      await transact(rules, [appointments.partial('update', { id: 12 }, { status: 'waiting' })]),
    ).toEqual([]);
  });
});
