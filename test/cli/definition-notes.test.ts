import { expect, it } from 'vitest';
import { definitionNotes } from '../../src/cli/events/definition-notes.ts';

const defined = (second: number, ...tables: string[]) => ({
  at: `2026-03-07T15:30:0${second}.000Z`,
  transaction: `t${second}`,
  tables,
});

it('notes of a dry run say once that statements defined tables anew', () => {
  expect(definitionNotes([])).toEqual([]);
  expect(definitionNotes([defined(1, 'patients')])).toEqual([
    '2026-03-07T15:30:01.000Z: a statement defined patients anew; rows before it are read by the tables as they are now',
  ]);
  expect(
    definitionNotes([defined(1, 'patients'), defined(2, 'payments', 'patients'), defined(3, 'budgets')]),
  ).toEqual([
    '3 statements, the last at 2026-03-07T15:30:03.000Z, defined budgets, patients, payments anew; rows before it are read by the tables as they are now',
  ]);
});
