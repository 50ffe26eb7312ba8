import { describe, expect, test } from 'vitest';
import {
  compile,
  sourceHolding,
  sourceSchema,
  sourceTable,
  statementsOn,
  transact,
  type Tables,
} from './clinic.ts';

const schema = sourceSchema(
  sourceTable('existencias', ['id', 'producto_id?', 'cantidad decimal']),
  sourceTable('productos', [
    'id',
    'minimo decimal',
    'grupo_id?',
    'tipo enum insumo|equipo',
    'alta? datetime',
  ]),
  sourceTable('grupos', ['id', 'nombre text']),
);

const tables: Tables = {
  productos: [{ id: 7, minimo: '5.00', grupo_id: 3, tipo: 'insumo', alta: '2026-03-07 11:30:00' }],
  grupos: [{ id: 3, nombre: 'Anestesia' }],
};

const producto = (column: string) => `{ lookup: productos, by: { id: producto_id }, select: ${column} }`;

/** Data of the events of one row that falls from 9 to `cantidad`, and what was asked for them. */
async function fall(rule: string, cantidad: string, producto_id: number | null = 7) {
  const rules = compile(`events: { a.b: { table: existencias, ${rule} } }`, schema);
  const { resolve, asked } = sourceHolding(tables);
  const on = statementsOn(schema, 'existencias', rules);
  // The product changes as well, so that a rule that does not name the quantity sees an update.
  const row = on.update({ id: 1, producto_id: 8, cantidad: '9.00' }, { producto_id, cantidad });
  const events = await transact(rules, [row], { resolve });
  return { asked: asked.map(({ table }) => table), bodies: events.map(({ body }) => body), events };
}

describe('a column of a parent row', () => {
  const low = `with: { minimo: ${producto('minimo')} }, when: { cantidad: { falls_to: minimo } }, data: { id: id, minimo: minimo }`;

  test('is a limit', async () => {
    const { bodies } = await fall(low, '5.00');
    expect(bodies).toEqual([expect.stringContaining('"data":{"id":1,"minimo":5.00}}')]);
    expect((await fall(low, '5.01')).bodies).toEqual([]);
  });

  test('is compared by its own kind', async () => {
    const when = (is: string) =>
      `with: { tipo: ${producto('tipo')} }, when: { tipo: { is: ${is} } }, data: { id: id }`;
    expect((await fall(when('" INSUMO "'), '8.00')).bodies).toHaveLength(1);
    expect((await fall(when('equipo'), '8.00')).bodies).toHaveLength(0);
    await expect(fall(when('insumos'), '8.00')).rejects.toThrow(
      'has no label "insumos", did you mean "insumo"?',
    );
  });

  test('comes through several parents', async () => {
    const grupo = producto('{ lookup: grupos, by: { id: grupo_id }, select: nombre }');
    const { events } = await fall(
      `with: { grupo: ${grupo} }, when: { grupo: { is: anestesia } }, key: grupo, data: { g: grupo }`,
      '8.00',
    );
    expect(events[0]).toMatchObject({
      entity: { table: 'existencias', key: 'Anestesia' },
      data: { g: 'Anestesia' },
    });
  });

  test('is written like a column of the row', async () => {
    const { events } = await fall(
      `with: { alta: ${producto('alta')} }, data: { a: alta, d: { date_of: alta } }`,
      '8.00',
    );
    expect(events[0]?.data).toEqual({ a: '2026-03-07T11:30:00.000-04:00', d: '2026-03-07' });
  });

  test('can be looked up by', async () => {
    const rule = `with: { grupo_id: ${producto('grupo_id')} }, data: { g: { lookup: grupos, by: { id: grupo_id }, select: nombre } }`;
    expect((await fall(rule, '8.00')).events[0]?.data).toEqual({ g: 'Anestesia' });
  });

  test('is asked for only when the conditions on the row itself hold', async () => {
    const rule = `with: { tipo: ${producto('tipo')} }, when: { cantidad: { falls_to: 3 }, tipo: { is: insumo } }, data: { id: id }`;
    expect((await fall(rule, '4.00')).asked).toEqual([]);
    expect((await fall(rule, '3.00')).asked).toEqual(['productos']);
  });

  test('is NULL without a parent', async () => {
    const { asked, bodies } = await fall(
      `with: { tipo: ${producto('tipo')} }, data: { t: tipo }`,
      '8.00',
      null,
    );
    expect(bodies).toEqual([expect.stringContaining('"data":{"t":null}}')]);
    expect(asked).toEqual([]);
    expect((await fall(low, '1.00', 99)).bodies).toEqual([]);
  });

  test('does not hide the alternative rules after it', async () => {
    const rules = compile(
      `events:
        a.b:
          - { table: existencias, with: { tipo: ${producto('tipo')} }, when: { tipo: { is: equipo } }, data: { n: { value: 1 } } }
          - { table: existencias, data: { n: { value: 2 } } }`,
      schema,
    );
    const row = statementsOn(schema, 'existencias', rules).insert({
      id: 1,
      producto_id: 7,
      cantidad: '1.00',
    });
    const [event] = await transact(rules, [row], { resolve: sourceHolding(tables).resolve });
    expect(event?.data).toEqual({ n: 2 });
  });

  test('has its table watched, and is no column of the row', async () => {
    const rules = compile(`events: { a.b: { table: existencias, ${low} } }`, schema);
    expect([...rules.watch.get('existencias')!].toSorted()).toEqual(['cantidad', 'id', 'producto_id']);
    expect([...rules.watch.get('productos')!].toSorted()).toEqual(['id', 'minimo']);
    expect((await fall(low, '5.00')).events[0]?.column('minimo')).toBeUndefined();
  });
});

describe('what is no column of a parent row is refused', () => {
  test.each([
    ['with: { x: cantidad }, data: { id: id }', 'a.b.with.x: expected a look-up of one column'],
    [
      'with: { x: { rows: productos, by: { id: producto_id }, select: minimo } }, data: { id: id }',
      'expected a look-up of one column',
    ],
    [`with: { x: ${producto('{ a: minimo }')} }, data: { id: id }`, 'expected a look-up of one column'],
    [
      `with: { cantidad: ${producto('minimo')} }, data: { id: id }`,
      'table "existencias" has a column of this name',
    ],
    [
      `with: { minimo: ${producto('minmo')} }, data: { id: id }`,
      'table "productos" has no column "minmo", did you mean "minimo"?',
    ],
    [
      `with: { minimo: ${producto('minimo')} }, data: { m: minim }`,
      'table "existencias" has no column "minim", did you mean "minimo"?',
    ],
  ])('%s', (rule, message) => {
    expect(() => compile(`events: { a.b: { table: existencias, ${rule} } }`, schema)).toThrow(message);
  });
});
