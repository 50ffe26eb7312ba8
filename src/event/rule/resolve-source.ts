import type { Column, SourceColumn, SourceTable, TableSchema } from '../../binlog/types.ts';
import type { YamlPath } from '../../config/problems.ts';
import { numberText } from '../../lib/exact-json.ts';
import { didYouMean } from '../../lib/suggest.ts';
import {
  findColumn,
  findTable,
  peekColumn,
  watchColumns,
  type NameScope,
  type Mention,
} from './name-scope.ts';
import { canonicalLiteral, isNumeric } from '../mapping/match.ts';
import type { Find, Sibling, Source } from './rule.ts';
import type {
  FindSpec,
  LiteralSpec,
  MinusSpec,
  PartSpec,
  SiblingSpec,
  SourceSpec,
  TranslateSpec,
} from './rule-spec.ts';

interface Given<Spec> {
  spec: Spec;
  path: YamlPath;
}

const nothing: Source = { kind: 'nothing' };
const nullInstead = 'null in the payload';

/** Resolves the names in a source of the payload. */
export function resolveSource({ spec, path }: Given<SourceSpec>, scope: NameScope): Source {
  if (typeof spec === 'string') return resolveName({ spec, path }, scope);
  if (isList(spec)) return resolveFirst({ spec, path }, scope);
  if ('value' in spec) return { kind: 'literal', value: spec.value };
  if ('translate' in spec) return resolveTranslate({ spec, path }, scope);
  if ('minus' in spec) return resolveMinus({ spec, path }, scope);
  if ('sibling' in spec) return resolveSibling({ spec, path }, scope);
  if ('by' in spec) return resolveFind({ spec, path }, scope);
  return resolvePart({ spec, path }, scope);
}

const isList = (spec: SourceSpec): spec is readonly SourceSpec[] => Array.isArray(spec);

/** `$…`, a column, `old.<column>`, or `<column>.<path>`; a column whose own name contains a dot takes precedence. */
function resolveName({ spec, path }: Given<string>, scope: NameScope): Source {
  if (spec.startsWith('$')) return resolveVariable({ spec, path }, scope);
  const mention: Mention = { name: spec, path, consequence: nullInstead };
  if (peekColumn(scope.table, spec) || !spec.includes('.')) {
    return asColumn(findColumn(scope, mention), false);
  }
  if (!spec.startsWith('old.')) return resolvePath(mention, false, scope);
  if (scope.changed === null) scope.report.wrong(path, 'a row that was looked up has no old values');
  const rest: Mention = { ...mention, name: spec.slice('old.'.length) };
  return peekColumn(scope.table, rest.name) || !rest.name.includes('.')
    ? asColumn(findColumn(scope, rest), true)
    : resolvePath(rest, true, scope);
}

const asColumn = (column: SourceColumn | undefined, old: boolean, path: readonly string[] = []): Source =>
  column ? { kind: 'column', column, old, path } : nothing;

function resolveVariable({ spec, path }: Given<string>, { changed, report }: NameScope): Source {
  if (spec === '$commit_time') return { kind: 'commit-time' };
  if (spec === '$changed' && changed) return { kind: 'changed', columns: changed };
  if (spec === '$changed') report.wrong(path, 'a row that was looked up has no $changed');
  else report.wrong(path, `there is no ${spec}${didYouMean(spec, ['$commit_time', '$changed'])}`);
  return nothing;
}

function resolvePath(mention: Mention, old: boolean, scope: NameScope): Source {
  const [name = '', ...steps] = mention.name.split('.');
  const column = findColumn(scope, { ...mention, name });
  if (!column) return nothing;
  if (column.kind === 'json' || column.kind === 'text') return asColumn(column, old, steps);
  scope.report.lacking(mention.path, {
    message: `"${column.name}" holds no JSON, it has no "${steps.join('.')}"`,
    suggestion: '',
    consequence: nullInstead,
  });
  return nothing;
}

/** In a file for many clinics, one existing source is enough. */
function resolveFirst({ spec, path }: Given<readonly SourceSpec[]>, scope: NameScope): Source {
  const causes: string[] = [];
  const lacking: NameScope['report']['lacking'] = (at, { message }) => {
    // The message lists the columns of the table itself below.
    if (at.length > path.length + 1) causes.push(`; ${message}`);
  };
  const quiet: NameScope = { ...scope, report: { ...scope.report, lacking } };
  const inner = scope.report.isStrict ? scope : quiet;
  const sources = spec
    .map((each, index) => resolveSource({ spec: each, path: [...path, index] }, inner))
    .filter((source) => source.kind !== 'nothing');
  if (sources.length === 0) {
    const names = spec.filter((each) => typeof each === 'string').join(', ');
    const message = `table "${scope.table.name}" has none of ${names}${causes.join('')}`;
    scope.report.lacking(path, { message, suggestion: '', consequence: nullInstead });
    return nothing;
  }
  return sources.length === 1 ? sources[0]! : { kind: 'first', sources };
}

function resolveTranslate({ spec, path }: Given<TranslateSpec>, scope: NameScope): Source {
  const source = resolveSource({ spec: spec.translate, path: [...path, 'translate'] }, scope);
  if (source.kind === 'nothing') return nothing;
  const words = Object.entries(spec.words).map(
    ([code, word]) => [canonicalLiteral('text', code), word] as const,
  );
  return { kind: 'translate', source, words: new Map(words) };
}

function resolveMinus({ spec, path }: Given<MinusSpec>, scope: NameScope): Source {
  const at = [...path, 'minus'];
  const column = findColumn(scope, { name: spec.minus, path: at, consequence: nullInstead });
  if (!column) return nothing;
  if (isNumeric(column.kind)) return { kind: 'minus', column };
  const message = `"${column.name}" is no column of numbers`;
  scope.report.lacking(at, { message, suggestion: '', consequence: nullInstead });
  return nothing;
}

function resolvePart({ spec, path }: Given<PartSpec>, scope: NameScope): Source {
  const part = spec.date_of === undefined ? 'time' : 'date';
  const at = [...path, `${part}_of`];
  const column = findColumn(scope, {
    name: spec.date_of ?? spec.time_of ?? '',
    path: at,
    consequence: nullInstead,
  });
  if (!column) return nothing;
  if (['datetime', 'timestamp', part].includes(column.kind)) return { kind: 'part', part, column };
  scope.report.lacking(at, {
    message: `"${column.name}" has no ${part}`,
    suggestion: '',
    consequence: nullInstead,
  });
  return nothing;
}

function resolveFind({ spec, path }: Given<FindSpec>, scope: NameScope): Source {
  const many = spec.rows !== undefined;
  const table = findTable(scope, {
    name: spec.rows ?? spec.lookup ?? '',
    path: [...path, many ? 'rows' : 'lookup'],
    consequence: nullInstead,
  });
  if (!table) return nothing;
  const there: NameScope = { ...scope, table, named: new Map(), changed: null };
  const by = Object.entries(spec.by).map(([name, equals]) => {
    const at = [...path, 'by', name];
    const column = findColumn(there, { name, path: at, consequence: nullInstead });
    const wanted = resolveEquals({ spec: equals, path: at }, scope);
    return column && wanted ? { column: column.name.toLowerCase(), equals: wanted } : undefined;
  });
  const select = resolveSelect({ spec: spec.select, path: [...path, 'select'] }, there);
  watchColumns(scope.watch, table, [...there.named.keys(), ...table.key]);
  if (by.includes(undefined) || select.kind === 'nothing') return nothing;
  const known = by.filter((each) => each !== undefined);
  return { kind: 'find', find: { many, table, by: known, layout: layoutOf(table, there.named), select } };
}

/** A literal of `by` is compared as in a condition, and may be a list; a column is compared by its exact value. */
function resolveSibling({ spec, path }: Given<SiblingSpec>, scope: NameScope): Source {
  const { report } = scope;
  const at = [...path, 'sibling'];
  const table = findTable(scope, { name: spec.sibling, path: at, consequence: nullInstead });
  if (!table) return nothing;
  if (scope.changed === null) report.wrong(at, 'a row that was looked up has no siblings');
  if (table.name === scope.table.name) report.wrong(at, 'a sibling is a row of another table');
  if (table.isView) report.wrong(at, `"${table.name}" is a view, whose rows no transaction writes`);
  const there: NameScope = { ...scope, table, named: new Map(), changed: null };
  const by: Sibling['by'][number][] = [];
  const where: Sibling['where'][number][] = [];
  let isComplete = true;
  for (const [name, equals] of Object.entries(spec.by)) {
    const mention = { name, path: [...path, 'by', name], consequence: nullInstead };
    const column = findColumn(there, mention);
    const wanted = resolveWanted({ spec: equals, path: mention.path }, scope);
    if (!column || !wanted) isComplete = false;
    else if ('values' in wanted) where.push({ column, ...wanted });
    else by.push({ column, equals: wanted });
  }
  const selected: NameScope = { ...there, named: new Map() };
  const select = resolveSelect({ spec: spec.select, path: [...path, 'select'] }, selected);
  watchColumns(scope.watch, table, [...there.named.keys(), ...selected.named.keys(), ...table.key]);
  if (!isComplete || select.kind === 'nothing') return nothing;
  const layout = layoutOf({ ...table, key: [] }, selected.named);
  return { kind: 'sibling', sibling: { table, by, where, layout, select } };
}

/** The value that a column of a sibling must have: the value of a column of the changed row, or one of the literals. */
function resolveWanted(
  { spec, path }: Given<string | LiteralSpec>,
  scope: NameScope,
): Sibling['by'][number]['equals'] | Pick<Sibling['where'][number], 'values'> | undefined {
  if (typeof spec === 'string' || !Array.isArray(spec.value)) {
    const equals = resolveEquals({ spec, path }, scope);
    return equals && ('column' in equals ? equals : { values: [equals.value] });
  }
  const values = spec.value.map((value: unknown, index) =>
    resolveEquals({ spec: { value }, path: [...path, 'value', index] }, scope),
  );
  if (values.length === 0) scope.report.wrong(path, 'the list is empty');
  return { values: values.flatMap((each) => (each && 'value' in each ? each.value : [])) };
}

type Equals = Find['by'][number]['equals'];

function resolveEquals({ spec, path }: Given<string | LiteralSpec>, scope: NameScope): Equals | undefined {
  if (typeof spec !== 'string') {
    if (typeof spec.value === 'string' || typeof spec.value === 'number') return { value: spec.value };
    const digits = numberText(spec.value);
    if (digits !== undefined) return { value: digits };
    scope.report.wrong(path, 'a row can be looked up by text or by a number only');
    return undefined;
  }
  const source = resolveName({ spec, path }, scope);
  if (source.kind === 'nothing') return undefined;
  if (source.kind !== 'column' || source.path.length > 0) {
    scope.report.wrong(path, 'a row can be looked up by a column or by { value: … } only');
    return undefined;
  }
  const { column, old } = source;
  if (column.kind !== 'binary' && column.kind !== 'geometry') return { column, old };
  scope.report.lacking(path, {
    message: `"${column.name}" is binary, and a row can be looked up by text or by a number only`,
    suggestion: '',
    consequence: nullInstead,
  });
  return undefined;
}

/** A source over the columns of the row found, or a map of field → source. */
function resolveSelect({ spec, path }: Given<FindSpec['select']>, there: NameScope): Source {
  if (isSource(spec)) return resolveSource({ spec, path }, there);
  const fields = Object.entries(spec).map(([name, source]) => ({
    name,
    source: resolveSource({ spec: source, path: [...path, name] }, there),
  }));
  return { kind: 'fields', fields };
}

/** A map is a source when it has the form of one; `{ value: x }` is the literal x. */
export function isSource(spec: FindSpec['select']): spec is SourceSpec {
  if (typeof spec === 'string' || Array.isArray(spec)) return true;
  const keys = Object.keys(spec);
  if (keys.length === 1) return ['value', 'date_of', 'time_of', 'minus'].includes(keys[0]!);
  return keys.includes('by')
    ? ['lookup', 'rows', 'sibling'].some((kind) => keys.includes(kind))
    : keys.includes('translate') && keys.includes('words');
}

function layoutOf(
  { name, columns, key }: SourceTable,
  named: ReadonlyMap<string, SourceColumn>,
): TableSchema {
  const wanted = new Set([...named.keys(), ...key.map((part) => part.toLowerCase())]);
  const kept: Column[] = columns.filter((column) => wanted.has(column.name.toLowerCase()));
  const indexOf = new Map(kept.map((column, index) => [column.name.toLowerCase(), index]));
  return {
    schema: '',
    name,
    columns: kept,
    key: key.map((part) => indexOf.get(part.toLowerCase())!),
    indexOf,
  };
}
