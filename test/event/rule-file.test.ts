import { describe, expect, test } from 'vitest';
import { compileRules } from '../../src/event/mapping/compile.ts';
import { builtInRulesFile, readRules } from '../../src/event/rule/rule-file.ts';
import { describeRules } from '../../src/event/rule/describe.ts';
import { compile, rulesFrom, sourceSchema, sourceTable, timeZone } from './clinic.ts';

const schema = sourceSchema(
  sourceTable('Citas', [
    'id',
    'estado enum programada|confirmada',
    'paciente_id',
    'nota? text',
    'datos? json',
    'hora time',
    'firma? binary',
  ]),
  sourceTable('pacientes', ['id', 'nombre text']),
);

/** `line:column key: message` of every problem. */
function problemsOf(yaml: string): string[] {
  try {
    compile(yaml, schema);
    return [];
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_RULES', exitCode: 2 });
    return (error as Error).message.split('\n').map((line) => line.replace(/^.*rules\.yaml:/, ''));
  }
}

/** A file with one rule of the event a.b on the table citas; `lines` begin in column 5 of line 4. */
const rule = (...lines: string[]): string =>
  ['events:', '  a.b:', '    table: citas', ...lines.map((line) => `    ${line}`)].join('\n');
const data = 'data: { id: id }';

describe('a mistake is reported with its line, and the nearest right word', () => {
  const cases: [string, string, string[]][] = [
    [
      'an unknown key of the file',
      `evnts: {}\nevents: { a.b: { table: citas, ${data} } }`,
      ['1:1 evnts: there is no key "evnts" here, did you mean "events"?'],
    ],
    ['no events', 'missing: warn', ['1:1 events: is missing']],
    ['an empty file', '', ['1:1 expected a map']],
    ['no event', 'events: {}', ['1:1 events: names no event']],
    ['bad syntax', 'events: [', [expect.stringMatching(/^\d+:\d+ /) as string]],
    [
      'missing',
      `missing: wran\nevents: { a.b: { table: citas, ${data} } }`,
      ['1:1 missing: expected one of error, warn, did you mean "warn"?'],
    ],
    [
      'an event without a noun',
      `events: { confirmada: { table: citas, ${data} } }`,
      ['1:11 events.confirmada: an event type is written noun.verb, as in appointment.confirmed'],
    ],
    [
      'an event with a space',
      `events: { "a.b c": { table: citas, ${data} } }`,
      ['1:11 events.a.b c: an event type is written noun.verb, as in appointment.confirmed'],
    ],
    [
      'an event of ours',
      `events: { audit.sealed: { table: citas, ${data} } }`,
      ['1:11 events.audit.sealed: this event type is our own'],
    ],
    [
      'a key of a rule',
      rule('wen: {}', data),
      ['4:5 events.a.b.wen: there is no key "wen" here, did you mean "when"?'],
    ],
    ['no table', `events: { a.b: { ${data} } }`, ['1:11 events.a.b.table: is missing']],
    ['no data', rule(), ['2:3 events.a.b.data: is missing']],
    [
      'an operation',
      rule('on: inserted', data),
      ['4:5 events.a.b.on: expected one of insert, update, delete, did you mean "insert"?'],
    ],
    [
      'one of several operations',
      rule('on: [insert, remove]', data),
      ['4:18 events.a.b.on[1]: expected one of insert, update, delete'],
    ],
    [
      'a condition',
      rule('when: { estado: { becoms: confirmada } }', data),
      ['4:23 events.a.b.when.estado.becoms: there is no key "becoms" here, did you mean "becomes"?'],
    ],
    [
      'no condition',
      rule('when: { estado: {} }', data),
      [
        '4:13 events.a.b.when.estado: needs a condition: becomes, leaves, changes, is, was, falls_to or rises_to',
      ],
    ],
    [
      'a value in the place of a condition',
      rule('when: { estado: confirmada }', data),
      ['4:13 events.a.b.when.estado: expected a map'],
    ],
    [
      'an empty list',
      rule('when: { estado: { is: [] } }', data),
      ['4:23 events.a.b.when.estado.is: the list is empty'],
    ],
    [
      'changes with a value',
      rule('when: { estado: { changes: 1 } }', data),
      ['4:23 events.a.b.when.estado.changes: expected true or false'],
    ],
    [
      'a field name',
      rule('data: { 1a: id }'),
      [
        '4:13 events.a.b.data.1a: a field name is made of letters, digits, "_", "." and "-", and does not begin with a digit',
      ],
    ],
    [
      'a source',
      rule('data: { id: 5 }'),
      [
        expect.stringMatching(
          /^4:13 events\.a\.b\.data\.id: expected a column, old\.<column>, \$commit_time/,
        ) as string,
      ],
    ],
    [
      'a look-up',
      rule('data: { n: { lokup: pacientes, by: { id: paciente_id }, select: nombre } }'),
      ['4:18 events.a.b.data.n.lokup: there is no key "lokup" here, did you mean "lookup"?'],
    ],
    [
      'by nothing',
      rule('data: { n: { lookup: pacientes, by: {}, select: nombre } }'),
      ['4:37 events.a.b.data.n.by: needs at least one column'],
    ],

    [
      'a table',
      `events: { a.b: { table: cita, ${data} } }`,
      ['1:18 events.a.b.table: there is no table "cita", did you mean "Citas"?'],
    ],
    [
      'a table without a near one',
      `events: { a.b: { table: xxxxxxxx, ${data} } }`,
      ['1:18 events.a.b.table: there is no table "xxxxxxxx" (there are Citas, pacientes)'],
    ],
    [
      'a column of a condition',
      rule('when: { estdo: { is: x } }', data),
      ['4:13 events.a.b.when.estdo: table "Citas" has no column "estdo", did you mean "estado"?'],
    ],
    [
      'a column of data',
      rule('data: { p: pacient_id }'),
      ['4:13 events.a.b.data.p: table "Citas" has no column "pacient_id", did you mean "paciente_id"?'],
    ],
    [
      'a former column',
      rule('data: { p: old.estdo }'),
      ['4:13 events.a.b.data.p: table "Citas" has no column "estdo", did you mean "estado"?'],
    ],
    [
      'one of several sources',
      rule('data: { p: [nota, notaa] }'),
      ['4:23 events.a.b.data.p[1]: table "Citas" has no column "notaa", did you mean "nota"?'],
    ],
    [
      'the key',
      rule('key: paciente_i', data),
      ['4:5 events.a.b.key: table "Citas" has no column "paciente_i", did you mean "paciente_id"?'],
    ],
    [
      'a listed column',
      rule('columns: [nota, noat]', data),
      ['4:21 events.a.b.columns[1]: table "Citas" has no column "noat", did you mean "nota"?'],
    ],
    [
      'another column',
      rule('when: { nota: { is: { column: estad } } }', data),
      ['4:27 events.a.b.when.nota.is.column: table "Citas" has no column "estad", did you mean "estado"?'],
    ],
    [
      'a limit',
      rule('when: { id: { falls_to: pacienteid } }', data),
      [
        '4:19 events.a.b.when.id.falls_to: table "Citas" has no column "pacienteid", did you mean "paciente_id"?',
      ],
    ],
    [
      'a variable',
      rule('data: { t: $commit_tiem }'),
      ['4:13 events.a.b.data.t: there is no $commit_tiem, did you mean "$commit_time"?'],
    ],
    [
      'a label',
      rule('when: { estado: { becomes: confirmda } }', data),
      ['4:23 events.a.b.when.estado.becomes: "estado" has no label "confirmda", did you mean "confirmada"?'],
    ],
    [
      'a label in a list',
      rule('when: { estado: { becomes: [programada, hecha] } }', data),
      [
        '4:45 events.a.b.when.estado.becomes[1]: "estado" has no label "hecha" (there are programada, confirmada)',
      ],
    ],
    [
      'a label that is not wanted',
      rule('when: { estado: { is: { not: hecha } } }', data),
      [expect.stringContaining('"estado" has no label "hecha"') as string],
    ],
    [
      'text for a number',
      rule('when: { paciente_id: { is: uno } }', data),
      ['4:28 events.a.b.when.paciente_id.is: "paciente_id" is a number, it is never "uno"'],
    ],
    [
      'a limit of what is no number',
      rule('when: { estado: { falls_to: 3 } }', data),
      ['4:23 events.a.b.when.estado.falls_to: "estado" is no column of numbers'],
    ],
    [
      'a path in what is no JSON',
      rule('data: { a: paciente_id.x }'),
      ['4:13 events.a.b.data.a: "paciente_id" holds no JSON, it has no "x"'],
    ],
    [
      'the table of a look-up',
      rule('data: { n: { lookup: paciente, by: { id: paciente_id }, select: nombre } }'),
      ['4:18 events.a.b.data.n.lookup: there is no table "paciente", did you mean "pacientes"?'],
    ],
    [
      'a column to look up by',
      rule('data: { n: { lookup: pacientes, by: { idd: paciente_id }, select: nombre } }'),
      ['4:43 events.a.b.data.n.by.idd: table "pacientes" has no column "idd", did you mean "id"?'],
    ],
    [
      'a column that refers',
      rule('data: { n: { lookup: pacientes, by: { id: pacienteid }, select: nombre } }'),
      ['4:43 events.a.b.data.n.by.id: table "Citas" has no column "pacienteid", did you mean "paciente_id"?'],
    ],
    [
      'a selected column',
      rule('data: { n: { lookup: pacientes, by: { id: paciente_id }, select: { a: nombr } } }'),
      ['4:72 events.a.b.data.n.select.a: table "pacientes" has no column "nombr", did you mean "nombre"?'],
    ],
    [
      'old values of a row looked up',
      rule('data: { n: { lookup: pacientes, by: { id: paciente_id }, select: old.nombre } }'),
      ['4:62 events.a.b.data.n.select: a row that was looked up has no old values'],
    ],
    [
      '$changed of a row looked up',
      rule('data: { n: { lookup: pacientes, by: { id: paciente_id }, select: $changed } }'),
      ['4:62 events.a.b.data.n.select: a row that was looked up has no $changed'],
    ],
    [
      'a look-up by bytes',
      rule('data: { n: { lookup: pacientes, by: { id: firma }, select: nombre } }'),
      [expect.stringContaining('"firma" is binary') as string],
    ],
    [
      'a look-up by a variable',
      rule('data: { n: { lookup: pacientes, by: { id: $commit_time }, select: nombre } }'),
      [expect.stringContaining('a row can be looked up by a column or by { value: … } only') as string],
    ],
    [
      'a look-up by a list',
      rule('data: { n: { lookup: pacientes, by: { id: { value: [1] } }, select: nombre } }'),
      [expect.stringContaining('a row can be looked up by text or by a number only') as string],
    ],
    [
      'the date of a time',
      rule('data: { d: { date_of: hora } }'),
      ['4:18 events.a.b.data.d.date_of: "hora" has no date'],
    ],
  ];
  test.each(cases)('%s', (_name, yaml, expected) => {
    expect(problemsOf(yaml)).toEqual(expected);
  });

  test.each(['password', 'user_passwd', 'CONTRASEÑA', 'contrasena', 'password_hash', 'userPassword'])(
    'a password is never read, whatever the rule wants of it: %s',
    (name) => {
      const users = sourceSchema(
        sourceTable('usuarios', ['id', `${name} text`, 'password_changed_at datetime']),
      );
      const compiling = (yaml: string) => () => compile(yaml, users);
      const told = `"${name}" holds passwords, which are never read`;
      const head = 'missing: warn\nevents: { user.changed: { table: usuarios,';
      expect(compiling(`${head} data: { p: ${name} } } }`)).toThrow(told);
      expect(compiling(`${head} when: { ${name}: { changes: true } }, data: { id: id } } }`)).toThrow(told);
      expect(compiling(`${head} key: ${name}, data: { id: id } } }`)).toThrow(told);
      const find = `{ lookup: usuarios, by: { id: id }, select: ${name} }`;
      expect(compiling(`${head} data: { p: ${find} } } }`)).toThrow(told);
      const file = rulesFrom(`${head} data: { at: password_changed_at } } }`);
      const { watch } = compileRules(file, { schema: users, timeZone, filterNames: [name] });
      expect([...watch.get('usuarios')!].toSorted()).toEqual(['id', 'password_changed_at']);
    },
  );

  test('a view has no changes, and can be looked up', () => {
    const view = { ...sourceTable('v_citas', ['id', 'estado text']), isView: true };
    const withView = sourceSchema(view, sourceTable('citas', ['id']));
    expect(() => compile('events: { a.b: { table: v_citas, data: { id: id } } }', withView)).toThrow(
      'rules.yaml:1:18 events.a.b.table: "v_citas" is a view, whose changes are not in the log',
    );
    const find = '{ lookup: v_citas, by: { id: id }, select: estado }';
    expect(compile(`events: { a.b: { table: citas, data: { e: ${find} } } }`, withView).warnings).toEqual([]);
  });

  test('all mistakes are reported at once, in the order of the file', () => {
    const yaml = `events:
  a.b:
    table: citas
    when: { estdo: { is: x } }
    data: { a: idd, b: nombre }
  a.c:
    table: cits
    data: { a: x }`;
    expect(problemsOf(yaml).map((line) => line.split(' ')[0])).toEqual(['4:13', '5:13', '5:21', '7:5']);
  });

  test('mistakes of form are reported before the schema is asked', () => {
    expect(problemsOf(`events: { a.b: { table: nada, wen: {}, ${data} } }`)).toHaveLength(1);
  });

  test('a file that is not there', () => {
    expect(() => readRules('/nowhere/rules.yaml')).toThrow(
      expect.objectContaining({ code: 'ERR_RULES', message: 'there is no file /nowhere/rules.yaml' }),
    );
  });
});

describe('with missing: warn', () => {
  const warningsOf = (yaml: string) =>
    compile(`missing: warn\n${yaml}`, schema).warnings.map((line) => line.replace(/^.*rules\.yaml:/, ''));

  test.each([
    [
      `events: { a.b: { table: cita, ${data} } }`,
      '2:18 events.a.b.table: there is no table "cita": a.b is off',
    ],
    [
      rule('data: { a: noota }'),
      '5:13 events.a.b.data.a: table "Citas" has no column "noota": null in the payload',
    ],
    [
      rule('when: { estdo: { is: x } }', data),
      '5:13 events.a.b.when.estdo: table "Citas" has no column "estdo": it counts as NULL, so a.b may never fire',
    ],
    [
      rule('key: nada', data),
      '5:5 events.a.b.key: table "Citas" has no column "nada": the primary key is used',
    ],
    [
      rule('columns: [nada]', data),
      '5:15 events.a.b.columns[0]: table "Citas" has no column "nada": its changes are not reported',
    ],
    [
      rule('when: { estado: { is: hecha } }', data),
      '5:23 events.a.b.when.estado.is: "estado" has no label "hecha": the condition never holds',
    ],
    [
      rule('data: { a: [x, y] }'),
      '5:13 events.a.b.data.a: table "Citas" has none of x, y: null in the payload',
    ],
    [
      rule('data: { a: { lookup: nada, by: { id: id }, select: x } }'),
      '5:18 events.a.b.data.a.lookup: there is no table "nada": null in the payload',
    ],
  ])('%s', (yaml, expected) => {
    expect(warningsOf(yaml)).toEqual([expected]);
  });

  test.each([
    [rule('when: { estado: { is: [hecha, confirmada] } }', data)],
    [rule('when: { estado: { is: { not: hecha } } }', data)],
    [rule('data: { a: [x, nota] }')],
  ])('one of a list is enough: %s', (yaml) => {
    expect(warningsOf(yaml)).toEqual([]);
  });

  test('a mistake of form stays a mistake', () => {
    expect(problemsOf(`missing: warn\n${rule('wen: {}', data)}`)).toHaveLength(1);
    expect(problemsOf(`missing: warn\n${rule('data: { t: $now }')}`)).toHaveLength(1);
  });
});

describe('the catalogue in words', () => {
  test('describes every form of a rule', () => {
    const file = rulesFrom(`events:
      a.b:
        - { table: x, on: [insert, delete], when: { e: { becomes: [1, null], was: { not: [a, b] } } }, data: { id: id, n: n } }
        - { table: y, when: { s: { falls_to: m, rises_to: 3, changes: false, is: { column: z } } }, columns: [c, d], data: { n: n, o: o } }
      a.c: { table: x, on: delete, data: {} }`);
    expect(describeRules(file)).toEqual([
      {
        type: 'a.b',
        table: 'x, y',
        rule:
          'insert or delete of x where e becomes 1 or null and e was anything but a, b; or ' +
          'insert or update of y where s is z and s does not change and s falls to m or below and s rises to 3 or above and one of c, d changes',
        fields: ['id', 'n', 'o'],
      },
      { type: 'a.c', table: 'x', rule: 'delete of x', fields: [] },
    ]);
  });

  test('the built-in one has the fifteen events in their order', () => {
    expect(describeRules(readRules(builtInRulesFile)).map(({ type }) => type)).toEqual([
      'patient.created',
      'patient.updated',
      'patient.status_changed',
      'appointment.scheduled',
      'appointment.confirmed',
      'appointment.completed',
      'appointment.cancelled',
      'payment.received',
      'payment.refunded',
      'budget.created',
      'budget.approved',
      'medical_record.created',
      'consent.signed',
      'reminder.sent',
      'inventory.low_stock',
    ]);
  });
});
