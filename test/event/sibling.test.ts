import { describe, expect, test } from 'vitest';
import { CaptureFault } from '../../src/binlog/halt.ts';
import type { RowEvent } from '../../src/binlog/types.ts';
import { netChanges } from '../../src/change/net-changes.ts';
import type { MapContext, Rules } from '../../src/event/types.ts';
import {
  compile,
  compileBuiltIn,
  layoutOf,
  lineage,
  ontology,
  sourceHolding,
  sourceSchema,
  sourceTable,
  statementsOn,
  transact,
  type Cells,
} from './clinic.ts';

const schema = sourceSchema(
  sourceTable('citas', ['id', 'estado text', 'codigo? decimal']),
  sourceTable('bitacora', [
    'id',
    'entidad? text',
    'entidad_id? text',
    'usuario_id?',
    'nota? text',
    'clave? text',
  ]),
  sourceTable('usuarios', ['id', 'nombre text']),
);

const who = (select = 'usuario_id', by = '{ entidad: { value: [cita, citas] }, entidad_id: id }'): string =>
  `{ sibling: bitacora, by: ${by}, select: ${select} }`;

const rule = (source: string, more = ''): string =>
  `events: { cita.confirmada: { table: citas, on: update, when: { estado: { changes: true } }, ${more} data: { id: id, quien: ${source} } } }`;

const open = { id: 7, estado: 'abierta', codigo: '7.50' };

function parts(rules: Rules) {
  const [citas, bitacora] = [statementsOn(schema, 'citas', rules), statementsOn(schema, 'bitacora', rules)];
  const confirm = citas.update(open, { estado: 'confirmada' });
  const log = (cells: Cells): RowEvent =>
    bitacora.insert({ id: 1, entidad: 'cita', entidad_id: '7', usuario_id: 4, ...cells });
  return { citas, bitacora, confirm, log };
}

async function quien(rules: Rules, rows: readonly RowEvent[], context: Partial<MapContext> = {}) {
  const events = await transact(rules, rows, context);
  expect(events).toHaveLength(1);
  return events[0]!.data['quien'];
}

describe('a row that the same transaction wrote', () => {
  const rules = compile(rule(who()), schema);
  const { citas, bitacora, confirm, log } = parts(rules);

  test('has only the columns read that the rule names, and the key', () => {
    expect(rules.watch.get('bitacora')).toEqual(new Set(['id', 'entidad', 'entidad_id', 'usuario_id']));
    expect(rules.named.get('bitacora')).toEqual(new Set(['entidad', 'entidad_id', 'usuario_id']));
  });

  test('is never asked of the source', async () => {
    const { resolve, asked } = sourceHolding({
      bitacora: [{ id: 1, entidad: 'cita', entidad_id: '7', usuario_id: 4 }],
    });
    expect(await quien(rules, [confirm], { resolve })).toBeNull();
    expect(asked).toEqual([]);
  });

  test.each<[string, Cells, unknown]>([
    ['a number in a column of text, by value', { entidad_id: '007.0' }, 4],
    ['a literal trimmed and without regard to case', { entidad: ' CITAS' }, 4],
    ['another number', { entidad_id: '77' }, null],
    ['NULL in place of the key', { entidad_id: null }, null],
    ['NULL in place of the literal', { entidad: null }, null],
  ])('matches: %s', async (_name, cells, expected) => {
    expect(await quien(rules, [confirm, log(cells)])).toBe(expected);
    expect(await quien(rules, [log(cells), confirm])).toBe(expected);
  });

  test('is a row as the transaction left it, and not one that it deleted', async () => {
    const logged = { id: 1, entidad: 'cita', entidad_id: '7', usuario_id: 4 };
    expect(await quien(rules, [confirm, bitacora.remove(logged)])).toBeNull();
    expect(await quien(rules, [bitacora.update(logged, { usuario_id: 9 }), confirm])).toBe(9);
  });

  test('texts are compared exactly: keys that differ in case are two', async () => {
    const byText = compile(rule(who('usuario_id', '{ clave: estado }')), schema);
    const own = parts(byText);
    const rows = (clave: string) => [
      own.citas.update(open, { estado: 'Ab' }),
      own.bitacora.insert({ id: 1, clave, usuario_id: 4 }),
    ];
    expect(await quien(byText, rows('Ab'))).toBe(4);
    expect(await quien(byText, rows('ab'))).toBeNull();
  });

  test('several disagree only in the columns that select names', async () => {
    expect(await quien(rules, [log({}), confirm, log({ id: 2, nota: 'x' })])).toBe(4);
    expect(await quien(rules, [log({}), confirm, log({ id: 2, usuario_id: 5 })])).toBeNull();
    expect(await quien(rules, [log({}), confirm, log({ id: 2, usuario_id: null })])).toBeNull();
    const two = compile(rule(who('{ u: usuario_id, n: nota }')), schema);
    const own = parts(two);
    expect(await quien(two, [own.log({ nota: 'x' }), own.confirm])).toEqual({ u: 4, n: 'x' });
    expect(await quien(two, [own.log({ nota: 'x' }), own.confirm, own.log({ id: 2 })])).toBeNull();
  });

  test('may be followed by a look-up, and be in lists, in translate and the subject', async () => {
    const { resolve } = sourceHolding({ usuarios: [{ id: 4, nombre: 'Belén' }] });
    const lookup = '{ lookup: usuarios, by: { id: usuario_id }, select: nombre }';
    for (const source of [
      who(lookup),
      `[codigo_ausente, ${who(lookup)}]`,
      `{ translate: ${who()}, words: { 4: Belén } }`,
    ]) {
      const yaml = `missing: warn\n${rule(source, `subject: ${who()},`)}`;
      const each = compile(yaml, schema);
      const own = parts(each);
      const [event] = await transact(each, [own.confirm, own.log({})], { resolve });
      expect([event!.data['quien'], event!.subject]).toEqual(['Belén', '4']);
    }
  });

  test('alone makes no event', async () => {
    expect(await transact(rules, [log({})])).toEqual([]);
    expect(await transact(rules, [citas.update(open, {}), log({})])).toEqual([]);
  });
});

describe('a row of the transaction whose image lacks cells', () => {
  const rules = compile(rule(who()), schema);
  const { bitacora, confirm, log } = parts(rules);
  const partial = bitacora.partial('update', { id: 1 }, { usuario_id: 9 });
  const columns = layoutOf(schema.get('bitacora')!, rules).columns;
  const holding = (cells: Cells | null): Pick<MapContext, 'reread'> => ({
    reread: () => Promise.resolve(cells && columns.map(({ name }) => cells[name] ?? null)),
  });

  test('is read again by its key', async () => {
    const cells = { id: 1, entidad: 'cita', entidad_id: '7', usuario_id: 4 };
    expect(await quien(rules, [confirm, partial], holding(cells))).toBe(9);
    expect(await quien(rules, [confirm, partial], holding({ ...cells, entidad: 'pago' }))).toBeNull();
  });

  test('stops the mapping where it cannot be read any more and may be the one', async () => {
    const map = quien(rules, [confirm, partial], holding(null));
    await expect(map).rejects.toThrow(CaptureFault);
    await expect(map).rejects.toThrow('a rule needs values of bitacora');
    const unknownUser = bitacora.partial('insert', null, { id: 2, entidad: 'cita', entidad_id: '7' });
    await expect(quien(rules, [confirm, unknownUser])).rejects.toThrow(CaptureFault);
  });

  test('is passed over where what is known rules it out', async () => {
    const ofPayment = bitacora.partial('insert', null, { id: 2, entidad: 'pago' });
    const ofAnother = bitacora.partial('insert', null, { id: 3, entidad: 'cita', entidad_id: '8' });
    expect(await quien(rules, [confirm, ofPayment, ofAnother, log({})])).toBe(4);
  });

  test('of a transaction that no rule with it fires in stops nothing', async () => {
    expect(await transact(rules, [partial], holding(null))).toEqual([]);
  });
});

describe('a transaction that is mapped in parts', () => {
  test('has the rows of all its parts', async () => {
    const rules = compile(rule(who()), schema);
    const { citas, confirm, log } = parts(rules);
    const other = citas.update({ ...open, id: 8 }, { estado: 'confirmada' });
    const changes = netChanges([confirm, log({}), other, log({ id: 2, entidad_id: '8', usuario_id: 5 })]);
    const siblings = rules.gatherSiblings({});
    await siblings.add(changes.slice(2));
    await siblings.add(changes.slice(0, 2));
    const context: MapContext = {
      lineage,
      transactionId: `${lineage}:23`,
      committedAtMs: 0,
      resolve: sourceHolding({}).resolve,
      isPart: true,
      siblings,
    };
    const events = await Promise.all(changes.map(async (change) => rules.map([change], context)));
    expect(events.flat().map(({ data }) => data['quien'])).toEqual([4, 5]);
  });

  test('remembers 200,000 rows apart, and which of them disagree', async () => {
    const rules = compile(rule(who()), schema);
    const { citas, log } = parts(rules);
    const siblings = rules.gatherSiblings({});
    for (let id = 1; id <= 200_000; id += 1) {
      const rows = [log({ id, entidad_id: String(id), usuario_id: id % 10 })];
      if (id % 1_000 === 0) rows.push(log({ id: -id, entidad_id: String(id), usuario_id: 11 }));
      await siblings.add(netChanges(rows));
    }
    for (const [id, user] of [
      [7, 7],
      [199_999, 9],
      [200_000, null],
      [1_000, null],
    ]) {
      const row = citas.update({ ...open, id: id! }, { estado: 'confirmada' });
      expect(await quien(rules, [row], { isPart: true, siblings })).toBe(user);
    }
  });
});

describe('a rules file that asks for a sibling', () => {
  test.each([
    [who().replace('bitacora', 'bitácora'), 'there is no table "bitácora", did you mean "bitacora"?'],
    [who('usuaro_id'), 'table "bitacora" has no column "usuaro_id", did you mean "usuario_id"?'],
    [who('old.usuario_id'), 'a row that was looked up has no old values'],
    [who().replace('bitacora', 'citas'), 'a sibling is a row of another table'],
    [who('usuario_id', '{ entidad: { value: [] } }'), 'the list is empty'],
    [who('usuario_id', '{ entidad: { value: [true] } }'), 'by text or by a number only'],
    ['{ sibling: bitacora, select: usuario_id }', 'by'],
    ['{ siblings: bitacora, by: { entidad_id: id }, select: usuario_id }', 'sibling'],
    [
      `{ lookup: bitacora, by: { entidad_id: id }, select: { sibling: usuarios, by: { id: usuario_id }, select: nombre } }`,
      'a row that was looked up has no siblings',
    ],
  ])('is refused: %s', (source, message) => {
    expect(() => compile(rule(source), schema)).toThrow(message);
  });

  test('is refused in with', () => {
    expect(() => compile(rule('q', `with: { q: ${who()} },`), schema)).toThrow(
      'expected a look-up of one column',
    );
  });

  test('and a view are refused', () => {
    const view = { ...schema.get('bitacora')!, isView: true };
    expect(() => compile(rule(who()), new Map([...schema, ['bitacora', view]]))).toThrow(
      'is a view, whose rows no transaction writes',
    );
  });
});

describe('the built-in catalogue', () => {
  const withColumns = (...names: string[]) =>
    new Map([
      ...ontology,
      [
        'appointments',
        {
          ...ontology.get('appointments')!,
          columns: [
            ...ontology.get('appointments')!.columns,
            ...sourceTable(
              'x',
              names.map((name) => `${name}?`),
            ).columns,
          ],
        },
      ],
    ]);
  const appointment = { id: 12, patient_id: 45, status: 'scheduled', updated_by: 3 };
  const logged = { id: 1, entity: 'appointment', entity_id: 12, user_id: 4 };

  test('takes who did it from the row, then from the audit log', async () => {
    const rules = compileBuiltIn(withColumns('updated_by', 'cancelled_by'));
    const appointments = statementsOn(withColumns('updated_by', 'cancelled_by'), 'appointments', rules);
    const audit = statementsOn(ontology, 'audit_logs', rules).insert(logged);
    const data = async (rows: RowEvent[]) => (await transact(rules, rows))[0]!.data;
    const to = (status: string, more: Cells = {}) => appointments.update(appointment, { status, ...more });
    expect(await data([to('confirmed'), audit])).toMatchObject({ confirmed_by: 3 });
    expect(await data([to('confirmed', { updated_by: null }), audit])).toMatchObject({ confirmed_by: 4 });
    expect(await data([to('cancelled', { cancelled_by: 8 }), audit])).toMatchObject({ cancelled_by: 8 });
    // Who updated a row last need not be who deleted it.
    expect(await data([appointments.remove(appointment)])).toMatchObject({ cancelled_by: null });
    expect(await data([appointments.remove(appointment), audit])).toMatchObject({ cancelled_by: 4 });
  });

  test('says in one line each that no table has it', async () => {
    const without = new Map(ontology);
    without.delete('audit_logs');
    const rules = compileBuiltIn(without);
    const warnings = rules.warnings.filter((warning) => /\.(confirm|complet|cancell)ed_by: /.test(warning));
    expect(warnings.map((warning) => warning.replace(/^.* events\./, ''))).toEqual([
      'appointment.confirmed.data.confirmed_by: table "appointments" has none of confirmed_by, updated_by; there is no table "audit_logs": null in the payload',
      'appointment.completed.data.completed_by: table "appointments" has none of completed_by, updated_by; there is no table "audit_logs": null in the payload',
      'appointment.cancelled[0].data.cancelled_by: table "appointments" has none of cancelled_by, updated_by; there is no table "audit_logs": null in the payload',
      'appointment.cancelled[1].data.cancelled_by: table "appointments" has none of cancelled_by; there is no table "audit_logs": null in the payload',
    ]);
    const appointments = statementsOn(without, 'appointments', rules);
    const [event] = await transact(rules, [appointments.update(appointment, { status: 'confirmed' })]);
    expect(event!.data).toMatchObject({ appointment_id: 12, confirmed_by: null });
  });
});
