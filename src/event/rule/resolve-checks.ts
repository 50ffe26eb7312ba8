import type { SourceColumn } from '../../binlog/types.ts';
import type { YamlPath } from '../../config/problems.ts';
import { findColumn, hint, type NameScope } from './name-scope.ts';
import { canonicalLiteral, isNumeric, notNull, type Scalar } from '../mapping/match.ts';
import type { AcceptedValues, Check, ColumnName } from './rule.ts';
import type { ConditionSpec, ThresholdSpec, ValuesSpec } from './rule-spec.ts';

interface GivenChecks {
  given: ConditionSpec;
  /** undefined if the table lacks it. */
  column: SourceColumn | undefined;
  path: YamlPath;
}

/** Resolves the names and checks the values in the conditions on one column. */
export function resolveChecks({ given, column, path }: GivenChecks, scope: NameScope): Check[] {
  const checks: Check[] = [];
  for (const verb of ['becomes', 'leaves', 'is', 'was'] as const) {
    if (given[verb] === undefined) continue;
    const at = [...path, verb];
    const values = resolveValues(given[verb], at, scope);
    if (column) checkValues(values, { column, path: at }, scope);
    checks.push({ verb, values });
  }
  if (given.changes !== undefined) checks.push({ verb: 'changes', wanted: given.changes });
  for (const verb of ['falls_to', 'rises_to'] as const) {
    if (given[verb] === undefined) continue;
    const at = [...path, verb];
    if (column) checkOrder(column, at, scope);
    checks.push({ verb, threshold: resolveThreshold(given[verb], at, scope) });
  }
  return checks;
}

function resolveValues(spec: ValuesSpec, path: YamlPath, scope: NameScope): AcceptedValues {
  const negated = isMap(spec) && 'not' in spec;
  const listed = negated ? spec.not : spec;
  const isList = Array.isArray(listed);
  const values = (isList ? listed : [listed]) as readonly (Scalar | { column: string })[];
  return {
    negated,
    listed: values.map((value, index) => {
      if (!isMap(value)) return value;
      return resolveOperand(value.column, isList ? [...path, index, 'column'] : [...path, 'column'], scope);
    }),
  };
}

function resolveOperand(name: string, path: YamlPath, scope: NameScope): ColumnName {
  const column = findColumn(scope, { name, path, consequence: 'it counts as NULL' });
  return { column: column?.name.toLowerCase() ?? null };
}

/** A number or a name: a name that is written as a number is a number. */
function resolveThreshold(
  spec: ThresholdSpec,
  path: YamlPath,
  scope: NameScope,
): number | string | ColumnName {
  if (typeof spec === 'number') return spec;
  if (typeof spec === 'object') return resolveOperand(spec.column, [...path, 'column'], scope);
  const number = spec.trim() === '' ? NaN : Number(spec);
  if (Number.isNaN(number)) return resolveOperand(spec, path, scope);
  // Keep the digits as text: a double would round a large number.
  return /^[+-]?\d+(\.\d+)?$/.test(spec.trim()) ? spec.trim() : number;
}

const isMap = <T>(value: T): value is Extract<T, object> & Exclude<T, readonly unknown[]> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

interface Place {
  column: SourceColumn;
  path: YamlPath;
}

/** Finds values that the column can never have. */
function checkValues(
  { listed, negated }: AcceptedValues,
  { column, path }: Place,
  { report }: NameScope,
): void {
  const literals = listed.filter((value) => typeof value !== 'object').filter((value) => value !== notNull);
  const impossible = literals.filter((value) => !canHave(column, value));
  const isHopeless = impossible.length === listed.length && !negated;
  // A file for many clinics lists more spellings than any one clinic has.
  const wrong = report.isStrict ? impossible : isHopeless ? impossible.slice(0, 1) : [];
  for (const value of wrong) {
    const isList = listed.length > 1;
    report.lacking(isList && report.isStrict ? [...path, listed.indexOf(value)] : path, {
      message: column.labels
        ? `"${column.name}" has no label "${value}"`
        : `"${column.name}" is a number, it is never "${value}"`,
      suggestion: column.labels ? hint(String(value), column.labels) : '',
      consequence: 'the condition never holds',
    });
  }
}

/** Whether a column of this kind can ever have the value. */
export function canHave({ kind, labels }: SourceColumn, value: string | number | boolean): boolean {
  if (isNumeric(kind)) return typeof value !== 'string' || Number.isFinite(Number(value.trim() || NaN));
  if (!labels) return true;
  const wanted = canonicalLiteral(kind, value);
  return wanted === '' || labels.some((label) => canonicalLiteral(kind, label) === wanted);
}

function checkOrder({ name, kind }: SourceColumn, path: YamlPath, { report }: NameScope): void {
  if (isNumeric(kind) || kind === 'text') return;
  report.lacking(path, {
    message: `"${name}" is no column of numbers`,
    suggestion: '',
    consequence: 'the condition never holds',
  });
}
