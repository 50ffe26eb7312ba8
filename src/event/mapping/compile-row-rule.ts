import type { RowOp, TableSchema } from '../../binlog/types.ts';
import type { ClinicZone } from '../../change/clinic-zone.ts';
import { cellText } from '../../change/net-changes.ts';
import type { Change } from '../../change/types.ts';
import {
  all,
  compileChanges,
  compileCondition,
  isColumnName,
  type RowContext,
  type Test,
} from './condition.ts';
import type { Condition, Rule } from '../rule/rule.ts';
import {
  compileCell,
  compileFields,
  compileLookedUpCell,
  compileSource,
  type Reader,
  type Run,
} from './source.ts';

/** A rule compiled for rows of one layout. */
export interface CompiledRule {
  /** All conditions, or only the conditions that need no query to the source. */
  test: Test;
  /** The look-ups for the other conditions. */
  borrowing: Borrowing | null;
  data: Reader;
  /** The patient that the data is about. */
  subject: Reader;
  /** The entity's key; undefined when the row images lack it. */
  keyOf(change: Change): string | undefined;
}

/** Columns of parent rows, appended to the row's own columns. */
interface Borrowing {
  /** Returns the change with those columns in both images; undefined if it depends on a cell that the images lack. */
  extend(change: Change, run: Run): Promise<Change | undefined>;
  /** The conditions that name those columns. */
  test: Test;
}

/** The alternative rules of one event type for one operation: the first rule that holds fires. */
export interface Candidate {
  type: string;
  rules: readonly CompiledRule[];
}

/** By operation, in the order of the rules file. */
export type CompiledTable = Readonly<Record<RowOp, readonly Candidate[]>>;

/** Compiles the rules of one table for rows of a layout, with column indices and codecs in place of names. */
export function compileRules(rules: readonly Rule[], layout: TableSchema, zone: ClinicZone): CompiledTable {
  const candidates = (op: RowOp): Candidate[] => {
    const byType = Map.groupBy(
      rules.filter(({ ops }) => ops.has(op)),
      ({ type }) => type,
    );
    return [...byType].map(([type, ofType]) => ({
      type,
      rules: ofType.map((rule) => bindRule(rule, layout, zone)),
    }));
  };
  return { insert: candidates('insert'), update: candidates('update'), delete: candidates('delete') };
}

function bindRule(rule: Rule, ownLayout: TableSchema, zone: ClinicZone): CompiledRule {
  const { conditions, columns, borrowed, key, data, subject } = rule;
  const layout = withBorrowed(ownLayout, borrowed);
  const names = new Set(borrowed.map(({ column }) => column.name.toLowerCase()));
  const now: Test[] = [];
  const later: Test[] = [];
  for (const condition of conditions) {
    const asks = columnsOf(condition).some((name) => names.has(name));
    (asks ? later : now).push(compileCondition(condition, layout));
  }
  if (columns) {
    const listed = columns.map(({ name }) => name.toLowerCase());
    now.push(compileChanges(listed, layout));
  }
  return {
    test: all(now),
    borrowing: borrowed.length > 0 ? { extend: bindExtension(borrowed, ownLayout), test: all(later) } : null,
    data: compileFields(data, { layout, zone }),
    subject: compileSource(subject ?? { kind: 'nothing' }, { layout, zone }),
    keyOf: bindKey(key, layout),
  };
}

function withBorrowed(layout: TableSchema, borrowed: Rule['borrowed']): TableSchema {
  if (borrowed.length === 0) return layout;
  const columns = [...layout.columns, ...borrowed.map(({ column }) => column)];
  const indexOf = new Map(columns.map(({ name }, index) => [name.toLowerCase(), index]));
  return { ...layout, columns, indexOf };
}

/** The names of a condition's columns. */
function columnsOf({ column, checks }: Condition): readonly string[] {
  const operands = checks.flatMap((check): readonly unknown[] => {
    if (check.verb === 'changes') return [];
    return 'values' in check ? check.values.listed : [check.threshold];
  });
  const named = operands.map((each) => (isColumnName(each) ? each.column : null));
  return [column, ...named].filter((name) => name !== null);
}

function bindExtension(borrowed: Rule['borrowed'], layout: TableSchema): Borrowing['extend'] {
  const readers = borrowed.map(({ source }) => compileLookedUpCell(source, layout));
  return async (change, run) => {
    const cells = await Promise.all(readers.map((read) => read(change, run)));
    if (cells.includes(undefined)) return undefined;
    const { before, after } = change;
    return { ...change, before: before && [...before, ...cells], after: after && [...after, ...cells] };
  };
}

function bindKey(column: string | null, layout: TableSchema): CompiledRule['keyOf'] {
  if (column === null) return (change) => change.key;
  const cellOf = compileCell(column, false, layout);
  return (change) => {
    const cell = cellOf(change);
    return cell === undefined ? undefined : cellText(cell);
  };
}

/** The first rule that holds, if any; `unknown` if the change alone does not decide it. */
export function choose({ rules }: Candidate, change: RowContext): CompiledRule | 'unknown' | undefined {
  for (const rule of rules) {
    const verdict = rule.test(change);
    if (verdict === undefined || (verdict && rule.borrowing)) return 'unknown';
    if (verdict) return rule;
  }
  return undefined;
}
