import { canHave } from './resolve-checks.ts';
import type { YamlPath } from '../../config/problems.ts';
import type { Condition, Find, Rule, Sibling, Source } from './rule.ts';

/** A value of the payload that is always null (for `rows`: an empty list), although all its names exist. */
export interface Hopeless {
  /** Relative to the rule: `['data', 'amount']`. */
  path: YamlPath;
  why: string;
}

/** Finds values in the payload of a rule that are always null, also inside the fields of look-ups. */
export function findAlwaysNull({ ops, conditions, data }: Rule): Hopeless[] {
  const scope: Scope = { isNew: ops.has('insert') && ops.size === 1, isNull: nullColumns(conditions) };
  return data.flatMap(({ name, source }) => check(source, ['data', name], scope));
}

interface Scope {
  /** Only new rows fire the rule: there is no image before. */
  isNew: boolean;
  /** Columns, in lower case, that must be null for the conditions to hold. */
  isNull: ReadonlySet<string>;
}

/** A looked-up row: no condition applies to it. */
const elsewhere: Scope = { isNew: false, isNull: new Set() };

function nullColumns(conditions: readonly Condition[]): Set<string> {
  const demandsNull = ({ checks }: Condition): boolean =>
    checks.some(
      (check) =>
        (check.verb === 'becomes' || check.verb === 'is') &&
        !check.values.negated &&
        check.values.listed.every((value) => value === null),
    );
  return new Set(conditions.filter(demandsNull).flatMap(({ column }) => column ?? []));
}

function check(source: Source, path: YamlPath, scope: Scope): Hopeless[] {
  const why = whyNull(source, scope);
  if (why !== undefined) return [{ path, why }];
  if (source.kind === 'fields') {
    return source.fields.flatMap((field) => check(field.source, [...path, field.name], scope));
  }
  if (source.kind === 'find') return check(source.find.select, [...path, 'select'], elsewhere);
  return source.kind === 'sibling' ? check(source.sibling.select, [...path, 'select'], elsewhere) : [];
}

/** Undefined if the source may give a value, or lacks a name: a missing name is reported where names are resolved. */
function whyNull(source: Source, scope: Scope): string | undefined {
  switch (source.kind) {
    case 'column':
      if (source.old) return scope.isNew ? 'a new row has no old value' : undefined;
      return scope.isNull.has(source.column.name.toLowerCase())
        ? `the rule fires only while "${source.column.name}" is null`
        : undefined;
    case 'translate':
      return whyNull(source.source, scope);
    case 'first': {
      const reasons = source.sources.map((each) => whyNull(each, scope));
      return reasons.every((reason) => reason !== undefined) ? reasons[0] : undefined;
    }
    case 'part':
    case 'minus':
      return whyNull({ kind: 'column', column: source.column, old: false, path: [] }, scope);
    case 'find':
      return whyUnmatched(source.find, scope);
    case 'sibling':
      return whyNoSibling(source.sibling, scope);
    default:
      return undefined;
  }
}

/** Why no row can be found. */
function whyUnmatched({ table, by }: Find, scope: Scope): string | undefined {
  for (const { column: name, equals } of by) {
    const there = table.columns.find((column) => column.name.toLowerCase() === name)!;
    if (!('column' in equals)) {
      if (!canHave(there, equals.value)) return `"${table.name}.${there.name}" is never "${equals.value}"`;
      continue;
    }
    const own = whyNull({ kind: 'column', path: [], ...equals }, scope);
    if (own !== undefined) return own;
    const { labels } = equals.column;
    if (labels?.every((label) => !canHave(there, label)))
      return `"${table.name}.${there.name}" has no label of "${equals.column.name}"`;
  }
  return undefined;
}

function whyNoSibling({ table, by, where }: Sibling, scope: Scope): string | undefined {
  const impossible = where.find(({ column, values }) => values.every((value) => !canHave(column, value)));
  if (impossible) {
    const { column, values } = impossible;
    return `"${table.name}.${column.name}" is never ${values.map((value) => `"${value}"`).join(' or ')}`;
  }
  return by
    .map(({ equals }) => whyNull({ kind: 'column', path: [], ...equals }, scope))
    .find((why) => why !== undefined);
}
