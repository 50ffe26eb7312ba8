import type { RowOp, TableSchema } from '../binlog/types.ts';
import type { ClinicZone } from '../change/clinic-zone.ts';
import { cellText } from '../change/net-changes.ts';
import type { Change } from '../change/types.ts';
import { all, bindChanges, bindCondition, type Scope, type Test } from './condition.ts';
import type { Rule } from './rule.ts';
import { bindCell, bindFields, type Reader } from './source.ts';

/** A rule compiled for rows of one layout. */
export interface BoundRule {
  test: Test;
  data: Reader;
  /** The entity's key; undefined when the row images lack it. */
  keyOf(change: Change): string | undefined;
}

/** The alternative rules of one event type for one operation: the first that holds fires. */
export interface Candidate {
  type: string;
  rules: readonly BoundRule[];
}

/** By operation, in the order of the rules file. */
export type BoundTable = Readonly<Record<RowOp, readonly Candidate[]>>;

/** Compiles the rules of one table for rows of a layout, with column indices and codecs in place of names. */
export function bindRules(rules: readonly Rule[], layout: TableSchema, zone: ClinicZone): BoundTable {
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

function bindRule(
  { conditions, columns, key, data }: Rule,
  layout: TableSchema,
  zone: ClinicZone,
): BoundRule {
  const tests = conditions.map((condition) => bindCondition(condition, layout));
  if (columns) {
    const names = columns.map(({ name }) => name.toLowerCase());
    tests.push(bindChanges(names, layout));
  }
  return { test: all(tests), data: bindFields(data, { layout, zone }), keyOf: bindKey(key, layout) };
}

function bindKey(column: string | null, layout: TableSchema): BoundRule['keyOf'] {
  if (column === null) return (change) => change.key;
  const cellOf = bindCell(column, false, layout);
  return (change) => {
    const cell = cellOf(change);
    return cell === undefined ? undefined : cellText(cell);
  };
}

/** The first rule that holds, if any; unknown when that hangs on cells that the log left out. */
export function choose({ rules }: Candidate, change: Scope): BoundRule | 'unknown' | undefined {
  for (const rule of rules) {
    const verdict = rule.test(change);
    if (verdict === true) return rule;
    if (verdict === undefined) return 'unknown';
  }
  return undefined;
}
