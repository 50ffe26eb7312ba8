import { describe, expect, test } from 'vitest';
import type { Cell, RowEvent } from '../../src/binlog/types.ts';
import { compile, sourceSchema, sourceTable, statementsOn, transact, type Cells } from './clinic.ts';

const schema = sourceSchema(
  sourceTable('citas', [
    'id',
    'estado enum programada|confirmada|cancelada',
    'texto? text',
    'codigo?',
    'importe? decimal',
    'borrado? datetime',
    'marcas? set a|b|c',
    'minimo?',
    'otro? text',
    'activo? bit',
    'datos? json',
    'clave? binary',
    'vuelta?',
  ]),
);

/** Whether a rule with this `when` fires, with `on` for all three operations. */
async function fires(when: string, row: (on: ReturnType<typeof statementsOn>) => RowEvent): Promise<boolean> {
  const rules = compile(
    `events: { a.b: { table: citas, on: [insert, update, delete], when: ${when}, data: { id: id, vuelta: vuelta } } }`,
    schema,
  );
  return (await transact(rules, [row(statementsOn(schema, 'citas', rules))])).length > 0;
}

const inserted = (cells: Cells) => (on: ReturnType<typeof statementsOn>) => on.insert({ id: 1, ...cells });
const deleted = (cells: Cells) => (on: ReturnType<typeof statementsOn>) => on.remove({ id: 1, ...cells });
/** A second column changes as well, so that the update is one even where the first keeps its value. */
const updated = (before: Cells, after: Cells) => (on: ReturnType<typeof statementsOn>) =>
  on.update({ id: 1, vuelta: 1, ...before }, { vuelta: 2, ...after });

describe('a condition on a value', () => {
  const X = 'confirmada';
  const other = 'programada';
  /** For each verb: INSERT X, INSERT other, X → X, X → other, other → X, other → other, DELETE X, DELETE other. */
  const table: [string, string][] = [
    ['becomes: confirmada', 'Y...Y...'],
    ['leaves: confirmada', '...Y..Y.'],
    ['is: confirmada', 'Y.Y.Y.Y.'],
    ['was: confirmada', '..YY..Y.'],
    ['changes: true', '...YY...'],
    ['changes: false', 'YYY..YYY'],
    ['is: { not: confirmada }', '.Y.Y.Y.Y'],
    ['becomes: { not: confirmada }', '.Y.Y....'],
    ['was: { not: [confirmada, null] }', '....YY.Y'],
    ['{ was: programada, becomes: confirmada }', '....Y...'],
    ['is: not null', 'YYYYYYYY'],
    ['becomes: null', '........'],
  ];
  test.each(table)('%s', async (condition, expected) => {
    const when = `{ estado: ${condition.startsWith('{') ? condition : `{ ${condition} }`} }`;
    const rows = [
      inserted({ estado: X }),
      inserted({ estado: other }),
      updated({ estado: X }, { estado: X }),
      updated({ estado: X }, { estado: other }),
      updated({ estado: other }, { estado: X }),
      updated({ estado: other }, { estado: other }),
      deleted({ estado: X }),
      deleted({ estado: other }),
    ];
    const fired = await Promise.all(rows.map((row) => fires(when, row)));
    expect(fired.map((yes) => (yes ? 'Y' : '.')).join('')).toBe(expected);
  });
});

describe('values', () => {
  const cases: [string, string, Cell, boolean][] = [
    ['texto', 'confirmada', ' CONFIRMADA\t', true],
    ['texto', 'confirmada', 'confirmada.', false],
    ['texto', '[a, b]', 'B', true],
    ['texto', '[a, b]', null, false],
    ['texto', '[a, null]', null, true],
    ['texto', 'null', '', false],
    ['texto', '""', '  ', true],
    ['texto', 'not null', '', true],
    ['texto', 'not null', null, false],
    ['texto', '1', '1', true],
    ['texto', 'true', 'TRUE', true],
    ['texto', 'ÁÉÑ', 'áéñ', true],
    ['texto', '"n\u0303"', 'Ñ', true],
    ['codigo', '1', 1, true],
    ['codigo', '"1"', 1, true],
    ['codigo', 'true', 1, true],
    ['codigo', 'false', 0, true],
    ['codigo', '[0, 2]', 1, false],
    ['codigo', '18446744073709551615', '18446744073709551615', true],
    ['codigo', '"18446744073709551615"', '18446744073709551615', true],
    ['importe', '500', '500.00', true],
    ['importe', '500.5', '500.50', true],
    ['importe', '-0.5', '-0.50', true],
    ['importe', '0', '-0.00', true],
    ['importe', '500', '500.01', false],
    ['importe', '500', '-500.00', false],
    ['importe', '-500', '500.00', false],
    ['importe', '500.5', '500.70', false],
    ['importe', '5', '50.00', false],
    ['activo', '1', 1, true],
    ['activo', 'true', 1, true],
    ['borrado', 'null', '0000-00-00 00:00:00', true],
    ['borrado', 'not null', '0000-00-00 00:00:00', false],
    ['borrado', 'not null', '2026-03-07 15:30:00', true],
    ['marcas', 'b', 'a,b', true],
    ['marcas', 'c', 'a,b', false],
    ['marcas', '[c, a]', 'a,b', true],
    ['marcas', '""', '', true],
    ['marcas', '{ not: b }', 'a,b', false],
    ['clave', 'abc', new TextEncoder().encode('ABC'), true],
  ];
  test.each(cases)('%s is %s when it is %j: %s', async (column, values, cell, expected) => {
    expect(await fires(`{ ${column}: { is: ${values} } }`, inserted({ [column]: cell }))).toBe(expected);
  });

  test('the answer for a value is the same the second time', async () => {
    const rules = compile(
      'events: { a.b: { table: citas, when: { texto: { is: si } }, data: { id: id } } }',
      schema,
    );
    const on = statementsOn(schema, 'citas', rules);
    const rows = ['SI', 'no', 'SI', 'no', 'si'].map((texto, id) => on.insert({ id, texto }));
    expect((await transact(rules, rows)).map(({ data }) => data['id'])).toEqual([0, 2, 4]);
  });

  test('free text does not fill the memory, and stays right', async () => {
    const rules = compile(
      'events: { a.b: { table: citas, when: { texto: { is: t999 } }, data: { id: id } } }',
      schema,
    );
    const on = statementsOn(schema, 'citas', rules);
    const rows = Array.from({ length: 2_000 }, (_, id) => on.insert({ id, texto: `T${id}` }));
    expect((await transact(rules, rows)).map(({ data }) => data['id'])).toEqual([999]);
  });

  test('another column', async () => {
    const when = '{ texto: { becomes: { column: otro } } }';
    expect(await fires(when, inserted({ texto: 'A', otro: ' a ' }))).toBe(true);
    expect(await fires(when, inserted({ texto: 'A', otro: 'b' }))).toBe(false);
    expect(await fires(when, updated({ texto: 'a', otro: 'b' }, { otro: 'a' }))).toBe(true);
    expect(await fires(when, updated({ texto: 'a', otro: 'a' }, { otro: 'A' }))).toBe(false);
    expect(await fires('{ texto: { is: [x, { column: otro }] } }', inserted({ texto: 'x', otro: 'y' }))).toBe(
      true,
    );
    expect(await fires('{ texto: { is: { column: otro } } }', inserted({ texto: null, otro: null }))).toBe(
      true,
    );
  });
});

describe('a limit', () => {
  /** Cells before (null: an INSERT) and after, of `importe` and `minimo`. */
  const cases: [string, Cells | null, Cells | null, boolean][] = [
    ['falls_to: 10', null, { importe: '10.00' }, true],
    ['falls_to: 10', null, { importe: '10.01' }, false],
    ['falls_to: 10', { importe: '10.01' }, { importe: '10.00' }, true],
    ['falls_to: 10', { importe: '10.00' }, { importe: '9.00' }, false],
    ['falls_to: 10', { importe: '9.00' }, { importe: '11.00' }, false],
    ['falls_to: 10', { importe: null }, { importe: '9.00' }, true],
    ['falls_to: 10', { importe: '11.00' }, { importe: null }, false],
    ['falls_to: "10"', { importe: '11.00' }, { importe: '9.00' }, true],
    ['falls_to: minimo', { importe: '6.00', minimo: 5 }, { importe: '5.00' }, true],
    ['falls_to: { column: minimo }', { importe: '6.00', minimo: 5 }, { importe: '5.00' }, true],
    ['falls_to: minimo', { importe: '6.00', minimo: 5 }, { minimo: 6 }, true],
    ['falls_to: minimo', { importe: '6.00', minimo: null }, { minimo: 6 }, true],
    ['falls_to: minimo', { importe: '6.00', minimo: 5 }, { minimo: null, importe: '1.00' }, false],
    ['falls_to: 10', { importe: '11.00' }, null, false],
    ['rises_to: 10', null, { importe: '10.00' }, true],
    ['rises_to: 10', { importe: '9.99' }, { importe: '10.00' }, true],
    ['rises_to: 10', { importe: '10.00' }, { importe: '11.00' }, false],
    ['rises_to: 0.01', null, { importe: '-5.00' }, false],
    ['falls_to: -0.01', null, { importe: '-5.00' }, true],
    ['falls_to: 9007199254740992', null, { importe: '9007199254740991.99' }, true],
    ['falls_to: 9007199254740992', null, { importe: '9007199254740992.01' }, false],
    ['rises_to: 12345678901234567.5', null, { importe: '99999999999999999999.99' }, true],
  ];
  test.each(cases)('%s: %j → %j is %s', async (limit, before, after, expected) => {
    const row = !before ? inserted(after!) : !after ? deleted(before) : updated(before, after);
    expect(await fires(`{ importe: { ${limit} } }`, row)).toBe(expected);
  });

  test('digits beyond a double decide between two columns', async () => {
    const big = (importe: string, texto: string) =>
      fires('{ importe: { falls_to: texto } }', inserted({ importe, texto }));
    expect(await big('9007199254740993.01', '9007199254740993.02')).toBe(true);
    expect(await big('9007199254740993.02', '9007199254740993.01')).toBe(false);
    expect(await big('-9007199254740993.02', '-9007199254740993.01')).toBe(true);
    expect(await big('5', 'cinco')).toBe(false);
  });
});

describe('several conditions', () => {
  test('all of them must hold', async () => {
    const when = '{ estado: { becomes: confirmada }, codigo: { is: 1 } }';
    expect(await fires(when, inserted({ estado: 'confirmada', codigo: 1 }))).toBe(true);
    expect(await fires(when, inserted({ estado: 'confirmada', codigo: 2 }))).toBe(false);
    expect(await fires(when, inserted({ estado: 'cancelada', codigo: 1 }))).toBe(false);
  });

  test('without conditions every change fires', async () => {
    expect(await fires('{}', inserted({}))).toBe(true);
    expect(await fires('{}', deleted({}))).toBe(true);
  });
});

describe('on', () => {
  const count = async (on: string) => {
    const rules = compile(`events: { a.b: { table: citas, ${on} data: { id: id, texto: texto } } }`, schema);
    const statements = statementsOn(schema, 'citas', rules);
    const rows = [
      statements.insert({ id: 1 }),
      statements.update({ id: 2 }, { texto: 'x' }),
      statements.remove({ id: 3 }),
    ];
    return (await transact(rules, rows)).map(({ data }) => data['id']);
  };
  test.each([
    ['', [1, 2]],
    ['on: insert,', [1]],
    ['on: update,', [2]],
    ['on: delete,', [3]],
    ['on: [insert, delete],', [1, 3]],
  ])('%j', async (on, expected) => {
    expect(await count(on)).toEqual(expected);
  });
});

describe('columns', () => {
  const rule =
    'events: { a.b: { table: citas, on: [insert, update, delete], columns: [texto, codigo], data: { id: id, otro: otro } } }';
  test('at least one of them must change', async () => {
    const rules = compile(rule, schema);
    const on = statementsOn(schema, 'citas', rules);
    const fired = async (row: RowEvent) => (await transact(rules, [row])).length;
    expect(await fired(on.update({ id: 1, texto: 'a' }, { texto: 'b' }))).toBe(1);
    expect(await fired(on.update({ id: 1, codigo: 1 }, { codigo: null }))).toBe(1);
    expect(await fired(on.update({ id: 1, texto: 'a' }, { otro: 'b' }))).toBe(0);
    expect(await fired(on.insert({ id: 1, texto: 'a' }))).toBe(0);
    expect(await fired(on.remove({ id: 1, texto: 'a' }))).toBe(0);
  });
});

test('of alternative rules the first that holds fires, and only that one', async () => {
  const rules = compile(
    `events:
      a.b:
        - { table: citas, when: { codigo: { is: 1 } }, data: { n: { value: first } } }
        - { table: citas, when: { texto: { is: x } }, data: { n: { value: second } } }
        - { table: citas, on: delete, data: { n: { value: third } } }`,
    schema,
  );
  const on = statementsOn(schema, 'citas', rules);
  const rows = [
    on.insert({ id: 1, codigo: 1, texto: 'x' }),
    on.insert({ id: 2, codigo: 2, texto: 'x' }),
    on.insert({ id: 3 }),
    on.remove({ id: 4, codigo: 1 }),
  ];
  expect((await transact(rules, rows)).map(({ data }) => data['n'])).toEqual(['first', 'second', 'third']);
});
