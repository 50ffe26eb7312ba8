import type { Watch } from '../../binlog/types.ts';
import { isPasswordName } from './name-scope.ts';
import { isSource } from './resolve-source.ts';
import type { RuleFile } from './rule-file.ts';
import type { ConditionSpec, FindSpec, RuleSpec, SiblingSpec, SourceSpec } from './rule-spec.ts';

/** The target to which the names of one rule are added. */
interface Noting {
  named: Map<string, Set<string>>;
  table: string;
  /** Names that the rule itself defines, which are not columns of any table. */
  own: ReadonlySet<string>;
}

/**
 * The names in a rules file by table, independent of the schema: all in lower case, and with extra names rather than missing ones.
 * Password columns are left out, because they are never read.
 */
export function referencedColumns(file: Pick<RuleFile, 'events'>, filterNames: Iterable<string>): Watch {
  const named = new Map<string, Set<string>>();
  for (const [table, columns] of collectNames(file, filterNames)) {
    const lower = table.toLowerCase();
    named.set(lower, columns.union(named.get(lower) ?? new Set()));
  }
  return named;
}

/** The tables that a rules file names, in the spelling of the file. */
export function namedTables(file: Pick<RuleFile, 'events'>): Set<string> {
  return new Set(collectNames(file, []).keys());
}

/** Columns in lower case, by the table's name in the spelling of the file. */
function collectNames(
  { events }: Pick<RuleFile, 'events'>,
  filterNames: Iterable<string>,
): Map<string, Set<string>> {
  const named = new Map<string, Set<string>>();
  const ofWebhooks = [...filterNames];
  for (const { spec } of events.flatMap(({ rules }) => rules)) {
    const own = new Set(Object.keys(spec.with ?? {}).map((name) => name.toLowerCase()));
    const noting: Noting = { named, table: spec.table, own };
    noteTable(noting);
    for (const name of [...namesOfRule(spec), ...ofWebhooks]) note(noting, name);
    for (const source of sourcesOf(spec)) noteSource(noting, source);
  }
  return named;
}

function namesOfRule({ when, columns, key }: RuleSpec): string[] {
  const conditions = Object.entries(when ?? {}).flatMap(([name, given]) => [name, ...operandsOf(given)]);
  return [...conditions, ...(columns ?? []), ...(key === undefined ? [] : [key])];
}

/** The columns that a value is compared with. */
function operandsOf({ falls_to, rises_to, ...given }: ConditionSpec): string[] {
  const limits = [falls_to, rises_to].filter((limit) => typeof limit === 'string');
  const values = [falls_to, rises_to, ...Object.values(given)].flat();
  const columns = values.flatMap((value) =>
    typeof value === 'object' && value !== null && 'column' in value ? [value.column] : [],
  );
  return [...limits, ...columns];
}

function sourcesOf({ with: borrowed, subject, data }: RuleSpec): SourceSpec[] {
  return [
    ...Object.values(borrowed ?? {}),
    ...(subject === undefined ? [] : [subject]),
    ...Object.values(data),
  ];
}

function noteSource(noting: Noting, spec: SourceSpec): void {
  if (typeof spec === 'string') notePath(noting, spec);
  else if (Array.isArray(spec)) for (const each of spec as readonly SourceSpec[]) noteSource(noting, each);
  else if ('translate' in spec) noteSource(noting, spec.translate);
  else if ('by' in spec) noteFind(noting, spec);
  else if (!('value' in spec)) for (const name of Object.values(spec) as string[]) note(noting, name);
}

function noteFind(noting: Noting, spec: FindSpec | SiblingSpec): void {
  const { by, select } = spec;
  const table = 'sibling' in spec ? spec.sibling : (spec.rows ?? spec.lookup ?? '');
  const there: Noting = { named: noting.named, table, own: new Set() };
  noteTable(there);
  for (const [name, equals] of Object.entries(by)) {
    note(there, name);
    if (typeof equals === 'string') notePath(noting, equals);
  }
  for (const source of isSource(select) ? [select] : Object.values(select)) noteSource(there, source);
}

/** `old.<column>` and `<column>.<path>`, or a column whose own name contains dots. */
function notePath(noting: Noting, name: string): void {
  if (name.startsWith('$')) return;
  for (const each of [name, name.replace(/^old\./, '')]) {
    note(noting, each);
    note(noting, each.split('.')[0]!);
  }
}

/** Adds a table even if none of its columns is named. */
function noteTable({ named, table }: Noting): Set<string> {
  const columns = named.get(table) ?? new Set();
  named.set(table, columns);
  return columns;
}

function note(noting: Noting, name: string): void {
  const columns = noteTable(noting);
  const lower = name.toLowerCase();
  if (!noting.own.has(lower) && !isPasswordName(lower)) columns.add(lower);
}
