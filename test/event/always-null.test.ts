import { expect, test } from 'vitest';
import { compile, sourceSchema, sourceTable } from './clinic.ts';

const schema = sourceSchema(
  sourceTable('citas', [
    'id',
    'estado enum programada|confirmada',
    'medico_id?',
    'nota? text',
    'borrada? datetime',
  ]),
  sourceTable('notas', ['id', 'tipo enum cita|pago', 'numero', 'texto text']),
);

/** The warnings about one field `x`, without their place. */
function warningsOf(source: string, rule = ''): string[] {
  const { warnings } = compile(
    `missing: warn\nevents: { a.b: { table: citas, ${rule} data: { id: id, x: ${source} } } }`,
    schema,
  );
  return warnings.map((line) => line.replace(/^\S+ events\.a\.b\.data\./, ''));
}

test.each([
  ['old.nota', 'on: insert,', 'x: it is always null: a new row has no old value'],
  ['[old.nota, old.medico_id]', 'on: insert,', 'x: it is always null: a new row has no old value'],
  [
    '{ translate: old.nota, words: { a: b } }',
    'on: insert,',
    'x: it is always null: a new row has no old value',
  ],
  [
    'borrada',
    'when: { borrada: { becomes: null } },',
    'x: it is always null: the rule fires only while "borrada" is null',
  ],
  [
    '{ lookup: notas, by: { tipo: { value: receta }, numero: id }, select: texto }',
    '',
    'x: it is always null: "notas.tipo" is never "receta"',
  ],
  [
    '{ lookup: notas, by: { numero: { value: abc } }, select: texto }',
    '',
    'x: it is always null: "notas.numero" is never "abc"',
  ],
  [
    '{ rows: notas, by: { tipo: estado }, select: texto }',
    '',
    'x: it is always null: "notas.tipo" has no label of "estado"',
  ],
  [
    '{ lookup: notas, by: { numero: old.medico_id }, select: texto }',
    'on: insert,',
    'x: it is always null: a new row has no old value',
  ],
  [
    '{ lookup: notas, by: { numero: id }, select: { y: { lookup: notas, by: { numero: { value: z } }, select: texto } } }',
    '',
    'x.select.y: it is always null: "notas.numero" is never "z"',
  ],
  ['motivo', '', 'x: table "citas" has no column "motivo": null in the payload'],
  [
    '{ lookup: medicos, by: { id: medico_id }, select: nombre }',
    '',
    'x.lookup: there is no table "medicos": null in the payload',
  ],
])('warns of %s, %s', (source, rule, warning) => {
  expect(warningsOf(source, rule)).toEqual([warning]);
});

test.each([
  ['old.nota', ''],
  ['[old.nota, nota]', 'on: insert,'],
  ['nota', 'when: { nota: { was: null } },'],
  ['nota', 'when: { nota: { becomes: [null, leer] } },'],
  ['{ lookup: notas, by: { tipo: { value: " CITA " }, numero: id }, select: texto }', ''],
  ['{ lookup: notas, by: { numero: { value: "7" } }, select: texto }', ''],
  ['{ value: null }', ''],
])('does not warn of %s, %s', (source, rule) => {
  expect(warningsOf(source, rule)).toEqual([]);
});
