import { describe, expect, test } from 'vitest';
import {
  committedAtMs,
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
  type Tables,
} from './clinic.ts';

const schema = sourceSchema(
  sourceTable('pagos', [
    'id',
    'monto decimal',
    'metodo',
    'fecha datetime',
    'creado timestamp',
    'dia? date',
    'hora? time',
    'datos? json',
    'nota? text',
    'cita_id?',
    'grande',
    'a.b? text',
    'old? text',
    'llave? binary',
  ]),
  sourceTable('citas', ['id', 'paciente_id?', 'estado text']),
  sourceTable('pacientes', ['id', 'nombre text', 'telefono? text']),
  sourceTable('lineas', ['pago_id', 'numero', 'precio decimal', 'servicio_id?'], ['pago_id', 'numero']),
  sourceTable('servicios', ['id', 'nombre text']),
  sourceTable('notas', ['pago_id', 'texto text'], []),
);

const row: Cells = {
  id: 1,
  monto: '500.00',
  metodo: 2,
  fecha: '2026-03-07 11:30:00',
  creado: '2026-03-07 02:30:00',
  dia: '2026-03-07',
  hora: '11:30:00',
  datos: '{"a": {"b": [10, {"c": 12345678901234567890}]}, "n": null, "t": true, "p": 1.50}',
  nota: 'x',
  cita_id: 12,
  grande: '9007199254740993',
  'a.b': 'dotted',
  old: 'column',
  llave: Uint8Array.of(1),
};

const tables: Tables = {
  citas: [
    { id: 12, paciente_id: 45, estado: 'confirmada' },
    { id: 13, paciente_id: null, estado: 'x' },
  ],
  pacientes: [{ id: 45, nombre: 'José', telefono: null }],
  servicios: [{ id: 7, nombre: 'Limpieza' }],
  lineas: [
    { pago_id: 1, numero: 1, precio: '1.00', servicio_id: 7 },
    { pago_id: 1, numero: 2, precio: '2.00', servicio_id: null },
  ],
  notas: [{ pago_id: 1, texto: 'n' }],
};

/** The JSON text of one field, of an inserted row unless a change is given. */
async function valueOf(
  source: string,
  { before, after = row }: { before?: Cells; after?: Cells | null } = {},
): Promise<string> {
  const rules = compile(
    `events: { a.b: { table: pagos, on: [insert, update, delete], data: { v: ${source} } } }`,
    schema,
  );
  const on = statementsOn(schema, 'pagos', rules);
  const change = !before ? on.insert(after!) : after ? on.update(before, after) : on.remove(before);
  const [event] = await transact(rules, [change], { resolve: sourceHolding(tables).resolve });
  expect(event?.body).toMatch(
    /^\{"event":"a\.b","timestamp":"2026-03-07T15:30:00\.000Z","data":\{"v":.*\}\}$/s,
  );
  expect(JSON.stringify(event?.data)).toBe(event?.body.slice(event.body.indexOf('{"v"'), -1));
  return event!.body.slice(event!.body.indexOf('{"v":') + 5, -2);
}

describe('a source', () => {
  const cases: [string, string][] = [
    ['id', '1'],
    ['ID', '1'],
    ['monto', '500.00'],
    ['grande', '"9007199254740993"'],
    ['a.b', '"dotted"'],
    ['old', '"column"'],
    ['old.id', 'null'],
    ['$commit_time', '"2026-03-07T15:30:00.000Z"'],
    ['datos', '{"a":{"b":[10,{"c":12345678901234567890}]},"n":null,"t":true,"p":1.50}'],
    ['datos.a.b', '[10,{"c":12345678901234567890}]'],
    ['datos.a.b.0', '10'],
    ['datos.a.b.1.c', '12345678901234567890'],
    ['datos.p', '1.50'],
    ['datos.t', 'true'],
    ['datos.n', 'null'],
    ['datos.n.x', 'null'],
    ['datos.a.b.7', 'null'],
    ['datos.p.rawJSON', 'null'],
    ['datos.toString', 'null'],
    ['datos.a.b.length', '2'],
    ['nota.x', 'null'],
    ['old.datos.t', 'null'],
    ['[old.nota, nota]', '"x"'],
    ['[datos.n, datos.x, monto]', '500.00'],
    ['[old.nota, old.id]', 'null'],
    ['{ value: 1 }', '1'],
    ['{ value: texto }', '"texto"'],
    ['{ value: null }', 'null'],
    ['{ value: { a: [1, "2"] } }', '{"a":[1,"2"]}'],
    ['{ translate: metodo, words: { 1: efectivo, 2: tarjeta } }', '"tarjeta"'],
    ['{ translate: metodo, words: { 1: efectivo } }', '2'],
    ['{ translate: nota, words: { X: true } }', 'true'],
    ['{ translate: monto, words: { "500.00": exacto } }', '"exacto"'],
    ['{ translate: old.nota, words: { null: nuevo } }', '"nuevo"'],
    ['{ date_of: fecha }', '"2026-03-07"'],
    ['{ time_of: fecha }', '"11:30:00"'],
    ['{ date_of: creado }', '"2026-03-06"'],
    ['{ time_of: creado }', '"22:30:00"'],
    ['{ date_of: dia }', '"2026-03-07"'],
    ['{ time_of: hora }', '"11:30:00"'],
    ['{ minus: monto }', '-500.00'],
    ['{ minus: grande }', '"-9007199254740993"'],
    ['{ rows: lineas, by: { pago_id: id }, select: { minus: precio } }', '[-1.00,-2.00]'],
    ['{ lookup: citas, by: { id: cita_id }, select: paciente_id }', '45'],
    ['{ lookup: citas, by: { id: cita_id, estado: { value: confirmada } }, select: paciente_id }', '45'],
    ['{ lookup: citas, by: { id: cita_id, estado: { value: otra } }, select: paciente_id }', 'null'],
    ['{ lookup: citas, by: { id: { value: 99 } }, select: paciente_id }', 'null'],
    ['{ lookup: citas, by: { id: old.cita_id }, select: paciente_id }', 'null'],
    ['{ lookup: citas, by: { id: { value: 13 } }, select: paciente_id }', 'null'],
    [
      '{ lookup: citas, by: { id: cita_id }, select: { lookup: pacientes, by: { id: paciente_id }, select: { n: nombre, t: telefono } } }',
      '{"n":"José","t":null}',
    ],
    [
      '{ lookup: citas, by: { id: { value: 13 } }, select: { lookup: pacientes, by: { id: paciente_id }, select: nombre } }',
      'null',
    ],
    ['{ lookup: citas, by: { id: cita_id }, select: { value: hay } }', '"hay"'],
    ['{ lookup: citas, by: { id: cita_id }, select: [paciente_id, estado] }', '45'],
    [
      '{ translate: { lookup: citas, by: { id: cita_id }, select: estado }, words: { confirmada: si } }',
      '"si"',
    ],
    ['[old.nota, { lookup: citas, by: { id: cita_id }, select: estado }, nota]', '"confirmada"'],
    ['{ rows: lineas, by: { pago_id: id }, select: precio }', '[1.00,2.00]'],
    [
      '{ rows: lineas, by: { pago_id: id }, select: { n: numero, s: { lookup: servicios, by: { id: servicio_id }, select: nombre } } }',
      '[{"n":1,"s":"Limpieza"},{"n":2,"s":null}]',
    ],
    ['{ rows: lineas, by: { pago_id: { value: 99 } }, select: precio }', '[]'],
    ['{ rows: lineas, by: { pago_id: old.id }, select: precio }', '[]'],
    ['{ rows: notas, by: { pago_id: id }, select: texto }', '["n"]'],
    [
      '{ lookup: citas, by: { id: cita_id }, select: { t: $commit_time } }',
      '{"t":"2026-03-07T15:30:00.000Z"}',
    ],
  ];
  test.each(cases)('%s is %s', async (source, expected) => {
    expect(await valueOf(source)).toBe(expected);
  });

  test.each([
    ['-12.50', '12.50'],
    ['0.00', '0.00'],
    [null, 'null'],
  ])('with the other sign: of %s it is %s', async (monto, expected) => {
    expect(await valueOf('{ minus: monto }', { after: { ...row, monto } })).toBe(expected);
  });

  test('of an update is the new value, with old. the former one', async () => {
    const change = { before: row, after: { ...row, monto: '400.00' } };
    expect(await valueOf('monto', change)).toBe('400.00');
    expect(await valueOf('old.monto', change)).toBe('500.00');
    expect(await valueOf('[old.datos.t, monto]', change)).toBe('true');
  });

  test('of a deleted row is the last value', async () => {
    expect(await valueOf('monto', { before: row, after: null })).toBe('500.00');
    expect(await valueOf('old.monto', { before: row, after: null })).toBe('500.00');
  });

  test.each([
    ['{ date_of: fecha }', { fecha: '0000-00-00 00:00:00' }],
    ['{ date_of: dia }', { dia: null }],
    ['datos.a', { datos: 'no json' }],
    ['datos.a', { datos: null }],
    ['{ translate: nota, words: { x: y } }', { nota: null }],
  ])('%s of %j is null', async (source, cells) => {
    expect(await valueOf(source, { after: { ...row, ...cells } })).toBe('null');
  });
});

describe('$changed', () => {
  const changed = async (rule: string, before: Cells | undefined, after: Cells | null) => {
    const rules = compile(`events: { a.b: { table: pagos, on: [insert, update, delete], ${rule} } }`, schema);
    const on = statementsOn(schema, 'pagos', rules);
    const change = !before ? on.insert(after!) : after ? on.update(before, after) : on.remove(before);
    const [event] = await transact(rules, [change]);
    return event && JSON.stringify(event.data['c']);
  };

  test('tells the listed columns that changed, in the order of the list', async () => {
    const rule = 'columns: [nota, monto, dia], data: { id: id, c: $changed, m: metodo }';
    expect(await changed(rule, row, { ...row, dia: null, monto: '1.00', metodo: 9 })).toBe(
      '{"monto":{"old":500.00,"new":1.00},"dia":{"old":"2026-03-07","new":null}}',
    );
  });

  test('without a list has the columns that the rule names', async () => {
    const rule = 'when: { monto: { changes: true } }, data: { id: id, nota: nota, c: $changed }';
    expect(await changed(rule, row, { ...row, monto: '1.00', nota: 'y', metodo: 9 })).toBe(
      '{"monto":{"old":500.00,"new":1.00},"nota":{"old":"x","new":"y"}}',
    );
  });

  test('leaves out a column that neither image has, and reads late one that a single image has', async () => {
    const rules = compile(
      'events: { a.b: { table: pagos, on: update, columns: [nota, monto], data: { c: $changed } } }',
      schema,
    );
    const on = statementsOn(schema, 'pagos', rules);
    const [event] = await transact(rules, [
      on.partial('update', { id: 1, monto: '1.00' }, { monto: '2.00' }),
    ]);
    expect(JSON.stringify(event?.data['c'])).toBe('{"monto":{"old":1.00,"new":2.00}}');
    const sparse = transact(rules, [on.partial('update', { id: 1, monto: '1.00' }, { nota: 'y' })]);
    await expect(sparse).rejects.toMatchObject({ reason: 'absent-columns' });
  });

  test('of a new row has its values, of a deleted one the values that it had', async () => {
    const rule = 'data: { nota: nota, dia: dia, c: $changed }';
    expect(await changed(rule, undefined, { ...row, dia: null })).toBe('{"nota":{"old":null,"new":"x"}}');
    expect(await changed(rule, { ...row, dia: null }, null)).toBe('{"nota":{"old":"x","new":null}}');
  });
});

describe('look-ups', () => {
  const rules = compile(
    `events:
      pago.hecho:
        table: pagos
        on: [insert, update, delete]
        data:
          paciente: { lookup: citas, by: { id: cita_id }, select: paciente_id }
          lineas: { rows: lineas, by: { pago_id: id }, select: { numero: numero, precio: precio } }`,
    schema,
  );
  const pagos = statementsOn(schema, 'pagos', rules);
  const citas = statementsOn(schema, 'citas', rules);
  const lineas = statementsOn(schema, 'lineas', rules);
  const pago = { id: 1, cita_id: 12 };
  const cita = { id: 12, paciente_id: 45 };
  const linea = (numero: number, precio: string) => ({ pago_id: 1, numero, precio });

  async function run(rows: Parameters<typeof transact>[1], held: Tables = {}, isPart = false) {
    const { resolve, asked } = sourceHolding(held);
    const events = await transact(rules, rows, { resolve, isPart });
    return {
      asked: asked.map(({ table }) => table),
      data: events.filter(({ type }) => type === 'pago.hecho').map(({ data }) => data),
    };
  }

  test('take the rows of the same transaction, and ask nothing', async () => {
    const rows = [
      pagos.insert(pago),
      lineas.insert(linea(2, '2.00')),
      lineas.insert(linea(1, '1.00')),
      citas.insert(cita),
    ];
    const { asked, data } = await run(rows);
    expect(asked).toEqual([]);
    expect(JSON.stringify(data)).toBe(
      '[{"paciente":45,"lineas":[{"numero":1,"precio":1.00},{"numero":2,"precio":2.00}]}]',
    );
  });

  test('come in the order of their numbers, not of their digits', async () => {
    const rows = [pagos.insert(pago), lineas.insert(linea(10, '1.00')), lineas.insert(linea(9, '2.00'))];
    const { data } = await run(rows);
    expect(JSON.stringify(data[0]?.['lineas'])).toBe(
      '[{"numero":9,"precio":2.00},{"numero":10,"precio":1.00}]',
    );
  });

  test('see a parent as the transaction left it', async () => {
    const rows = [
      pagos.insert(pago),
      lineas.insert(linea(1, '1.00')),
      citas.update(cita, { paciente_id: 46 }),
    ];
    const { asked, data } = await run(rows, { citas: [{ id: 12, paciente_id: 99 }] });
    expect(asked).toEqual([]);
    expect(data[0]).toMatchObject({ paciente: 46 });
  });

  test('ask the source for the rest, with only the columns that they need', async () => {
    const { resolve, asked } = sourceHolding({ citas: [cita], lineas: [linea(1, '1.00')] });
    await transact(rules, [pagos.insert(pago)], { resolve });
    expect(asked).toEqual([
      { table: 'citas', by: { id: 12 }, select: ['id', 'paciente_id'], many: false },
      { table: 'lineas', by: { pago_id: 1 }, select: ['pago_id', 'numero', 'precio'], many: true },
    ]);
  });

  test('a parent that is gone gives null', async () => {
    expect((await run([pagos.insert(pago)])).data).toEqual([{ paciente: null, lineas: [] }]);
    const deleted = await run([pagos.update({ id: 1, cita_id: 11 }, { cita_id: 12 }), citas.remove(cita)]);
    expect(deleted.data[0]).toMatchObject({ paciente: null });
  });

  test('a reference that is NULL is not asked for', async () => {
    const { asked, data } = await run([pagos.insert({ id: 1, cita_id: null })]);
    expect(asked).toEqual(['lineas']);
    expect(data[0]).toMatchObject({ paciente: null });
  });

  test('rows deleted together see each other as they were', async () => {
    const { asked, data } = await run([
      lineas.remove(linea(1, '1.00')),
      pagos.remove(pago),
      citas.remove(cita),
    ]);
    expect(asked).toEqual([]);
    expect(JSON.stringify(data)).toBe('[{"paciente":45,"lineas":[{"numero":1,"precio":1.00}]}]');
  });

  test("an updated parent's children are those of the source, with the transaction's own laid over them", async () => {
    const held = { lineas: [linea(1, '9.00'), linea(2, '9.00'), linea(4, '4.00')], citas: [cita] };
    const rows = [
      lineas.update(linea(1, '9.00'), { precio: '1.00' }),
      lineas.remove(linea(2, '9.00')),
      lineas.insert(linea(3, '3.00')),
      pagos.update({ ...pago, cita_id: 11 }, { cita_id: 12 }),
    ];
    expect(JSON.stringify((await run(rows, held)).data[0]?.['lineas'])).toBe(
      '[{"numero":1,"precio":1.00},{"numero":3,"precio":3.00},{"numero":4,"precio":4.00}]',
    );
  });

  test('in a part of a transaction the source completes what the part shows', async () => {
    const rows = [pagos.insert(pago), lineas.insert(linea(1, '1.00'))];
    const { asked, data } = await run(
      rows,
      { lineas: [linea(1, '1.00'), linea(2, '2.00')], citas: [cita] },
      true,
    );
    expect(asked.toSorted()).toEqual(['citas', 'lineas']);
    expect(data[0]?.['lineas']).toHaveLength(2);
  });

  test('events keep the order of their changes, however late the answers come', async () => {
    const waiting: (() => void)[] = [];
    const resolve = () => new Promise<[]>((done) => waiting.push(() => done([])));
    const mapped = transact(
      rules,
      [1, 2, 3].map((id) => pagos.insert({ id, cita_id: id })),
      { resolve },
    );
    while (waiting.length > 0) {
      waiting.pop()!();
      await Promise.resolve();
    }
    expect((await mapped).map(({ entity }) => entity.key)).toEqual(['1', '2', '3']);
  });

  test('many questions are asked at once, and a bounded number of them', async () => {
    let open = 0;
    let most = 0;
    const resolve = async () => {
      most = Math.max(most, (open += 1));
      await Promise.resolve();
      open -= 1;
      return [];
    };
    const rows = Array.from({ length: 2_000 }, (_, id) => pagos.insert({ id, cita_id: id }));
    expect(await transact(rules, rows, { resolve })).toHaveLength(2_000);
    expect(most).toBeGreaterThan(100);
    expect(most).toBeLessThanOrEqual(600);
  });

  test('a question that fails fails the transaction', async () => {
    const resolve = () => Promise.reject(new Error('gone'));
    await expect(
      transact(rules, [pagos.insert(pago), pagos.insert({ id: 2, cita_id: 1 })], { resolve }),
    ).rejects.toThrow('gone');
  });
});

describe('the entity', () => {
  test.each([
    ['', '7'],
    ['key: cita_id,', '12'],
    ['key: nota,', 'x'],
  ])('%j', async (key, expected) => {
    const rules = compile(`events: { a.b: { table: pagos, ${key} data: { id: id } } }`, schema);
    const on = statementsOn(schema, 'pagos', rules);
    const [event] = await transact(rules, [on.insert({ ...row, id: 7 })]);
    expect(event?.entity).toEqual({ table: 'pagos', key: expected });
  });

  test('without a value is the empty one', async () => {
    const rules = compile('events: { a.b: { table: pagos, key: cita_id, data: { id: id } } }', schema);
    const [event] = await transact(rules, [
      statementsOn(schema, 'pagos', rules).insert({ id: 7, cita_id: null }),
    ]);
    expect(event?.entity.key).toBe('');
  });
});

describe('an event', () => {
  const rules = compileBuiltIn();
  const payments = statementsOn(ontology, 'payments', rules);
  const payment = { id: 5, patient_id: 45, amount: '500.00', payment_method: 'cash', status: 'completed' };
  const idOf = async (context: Parameters<typeof transact>[2], cells: Cells = payment, at = 0) => {
    const rows = [
      ...Array.from({ length: at }, (_, i) => payments.remove({ id: 1_000 + i })),
      payments.insert(cells),
    ];
    return (await transact(rules, rows, context))[0]!.id;
  };

  test('has an id of evt_ and 32 hex characters that never changes', async () => {
    expect(await idOf({})).toMatch(/^evt_[0-9a-f]{32}$/);
    expect(await idOf({})).toBe(await idOf({ committedAtMs: 0 }));
  });

  test('has another id in another history, transaction, place or row, and of another type', async () => {
    const ids = [
      await idOf({}),
      await idOf({ lineage: 'x' }),
      await idOf({ transactionId: 'binlog.000001:4' }),
      await idOf({}, payment, 1),
      await idOf({}, { ...payment, id: 6 }),
      await idOf({}, { ...payment, status: 'refunded' }),
      // Parts that would be the same text without their lengths.
      await idOf({ lineage: `${lineage}${lineage}:2`, transactionId: '3' }),
    ];
    expect(new Set(ids).size).toBe(ids.length);
  });

  test('tells the columns of its row, for filters', async () => {
    const filtered = compileBuiltIn();
    const [event] = await transact(filtered, [payments.insert({ ...payment, notes: null })]);
    expect(event?.column('Patient_ID')).toBe(45);
    expect(event?.column('notes')).toBeNull();
    expect(event?.column('content')).toBeUndefined();
    expect(JSON.stringify(event?.column('amount'))).toBe('500.00');
    expect(event).toMatchObject({ type: 'payment.received', occurredAtMs: committedAtMs, readLate: [] });
  });

  test('is made of a row logged before a column was added: null', async () => {
    const layout = layoutOf(ontology.get('payments')!, rules);
    const old = {
      ...layout,
      columns: layout.columns.slice(0, 2),
      indexOf: new Map([
        ['id', 0],
        ['patient_id', 1],
      ]),
    };
    const [event] = await transact(rules, [{ table: old, op: 'insert', before: null, after: [5, 45] }]);
    expect(event?.data).toMatchObject({ payment_id: 5, patient_id: 45, amount: null, notes: null });
  });

  test('is not made of a table that no rule watches', async () => {
    const users = { ...layoutOf(ontology.get('payments')!, rules), name: 'users' };
    expect(await transact(rules, [{ table: users, op: 'insert', before: null, after: [1] }])).toEqual([]);
  });
});
