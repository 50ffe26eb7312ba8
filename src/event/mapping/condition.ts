import type { Cell, Row, TableSchema } from '../../binlog/types.ts';
import type { Change } from '../../change/types.ts';
import { sameCell } from '../../change/net-changes.ts';
import { cellAt, compareNumbers, compileMatch } from './match.ts';
import type { AcceptedValues, Check, Condition, ColumnName } from '../rule/rule.ts';

/** The part of a row's change that conditions and sources read. */
export type RowContext = Pick<Change, 'op' | 'before' | 'after'>;

/** undefined if it depends on a cell that the row images lack. */
export type Verdict = boolean | undefined;

export type Test = (scope: RowContext) => Verdict;

/** A test of one image of a row. */
type Predicate = (row: Row) => Verdict;

/** All tests must hold; one false test makes the result false even if another is unknown. */
export function all(tests: readonly Test[]): Test {
  if (tests.length === 1) return tests[0]!;
  return (scope) => {
    let verdict: Verdict = true;
    for (const test of tests) {
      const answer = test(scope);
      if (answer === false) return false;
      if (answer === undefined) verdict = undefined;
    }
    return verdict;
  };
}

/** Compiles the conditions on one column for rows of a layout. */
export function compileCondition({ column, checks }: Condition, layout: TableSchema): Test {
  const index = indexOf(layout, column);
  return all(checks.map((check) => bindCheck(check, index, layout)));
}

/** At least one of the columns changes. */
export function compileChanges(columns: readonly string[], layout: TableSchema): Test {
  const indices = columns.map((column) => indexOf(layout, column));
  return (scope) => {
    let verdict: Verdict = false;
    for (const index of indices) {
      const answer = isChanged(scope, index);
      if (answer === true) return true;
      if (answer === undefined) verdict = undefined;
    }
    return verdict;
  };
}

export function indexOf(layout: TableSchema, column: string | null): number {
  return column === null ? -1 : (layout.indexOf.get(column) ?? -1);
}

function bindCheck(check: Check, index: number, layout: TableSchema): Test {
  switch (check.verb) {
    case 'changes':
      return (scope) => {
        const changed = isChanged(scope, index);
        return changed === undefined ? undefined : changed === check.wanted;
      };
    case 'falls_to':
    case 'rises_to': {
      const { predicate, involved } = bindThreshold(check, index, layout);
      return enters(predicate, [index, ...involved]);
    }
    case 'becomes':
    case 'leaves':
    case 'is':
    case 'was': {
      const { predicate, involved } = bindValues(check.values, index, layout);
      return testsByVerb[check.verb](predicate, [index, ...involved]);
    }
  }
}

const testsByVerb = {
  becomes: enters,
  leaves,
  is: (predicate: Predicate): Test => {
    return ({ before, after }) => predicate(after ?? before ?? []);
  },
  was: (predicate: Predicate): Test => {
    return ({ before }) => (before ? predicate(before) : false);
  },
} as const;

/** The predicate holds now and did not before, or the row is new. */
function enters(predicate: Predicate, involved: readonly number[]): Test {
  return (scope) => {
    const { before, after } = scope;
    if (!after) return false;
    const now = predicate(after);
    if (now === false || !before) return now;
    const earlier = predicate(before);
    if (earlier === true) return false;
    return now === undefined || earlier === undefined ? unlessUntouched(scope, involved) : true;
  };
}

/** The predicate held before and does not now, or the row is gone. */
function leaves(predicate: Predicate, involved: readonly number[]): Test {
  return (scope) => {
    const { before, after } = scope;
    if (!before) return false;
    const earlier = predicate(before);
    if (earlier === false || !after) return earlier;
    const now = predicate(after);
    if (now === true) return false;
    return now === undefined || earlier === undefined ? unlessUntouched(scope, involved) : true;
  };
}

/** A partial image leaves out unchanged columns: a value that is in neither image has not changed, so it entered or left nothing. */
function unlessUntouched({ before, after }: RowContext, involved: readonly number[]): Verdict {
  return involved.every(
    (index) => cellAt(before!, index) === undefined && cellAt(after!, index) === undefined,
  )
    ? false
    : undefined;
}

function isChanged({ before, after }: RowContext, index: number): Verdict {
  if (!before || !after) return false;
  const [old, now] = [cellAt(before, index), cellAt(after, index)];
  if (old !== undefined && now !== undefined) return !sameCell(old, now);
  return old === undefined && now === undefined ? false : undefined;
}

interface Bound {
  predicate: Predicate;
  /** Indices of the other columns that it reads. */
  involved: readonly number[];
}

function bindValues({ negated, listed }: AcceptedValues, index: number, layout: TableSchema): Bound {
  const involved: number[] = [];
  const bound = listed.map((value) => {
    if (!isColumnName(value)) return value;
    const operand = { column: indexOf(layout, value.column) };
    involved.push(operand.column);
    return operand;
  });
  const match = compileMatch(layout.columns[index]?.kind ?? 'text', { negated, listed: bound });
  return {
    involved,
    predicate: (row) => {
      const cell = cellAt(row, index);
      return cell === undefined ? undefined : match(cell, row);
    },
  };
}

export const isColumnName = (value: unknown): value is ColumnName =>
  typeof value === 'object' && value !== null;

function bindThreshold(
  { verb, threshold }: Extract<Check, { verb: 'falls_to' | 'rises_to' }>,
  index: number,
  layout: TableSchema,
): Bound {
  const limit = isColumnName(threshold) ? indexOf(layout, threshold.column) : undefined;
  const sign = verb === 'falls_to' ? 1 : -1;
  return {
    involved: limit === undefined ? [] : [limit],
    predicate: (row) => {
      const cell = cellAt(row, index);
      const bound: Cell = limit === undefined ? (threshold as number | string) : cellAt(row, limit);
      if (cell === undefined || bound === undefined) return undefined;
      const order = compareNumbers(cell, bound);
      return order !== undefined && order * sign <= 0;
    },
  };
}
