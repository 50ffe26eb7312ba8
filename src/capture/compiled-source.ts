import { showColumn } from '../binlog/definition/shown-column.ts';
import { CaptureFault } from '../binlog/halt.ts';
import {
  fractionOf,
  readDictionary,
  type Dictionary,
  type DictionaryTable,
} from '../binlog/source/dictionary.ts';
import { changedRemedy } from '../binlog/remedy.ts';
import { createLookUp, readRowByKey } from '../binlog/source/source-lookup.ts';
import type { Source, SourceIdentity } from '../binlog/source/source.ts';
import type { WatchOptions } from '../binlog/statement/watched-names.ts';
import type { StreamOptions } from '../binlog/stream.ts';
import type { DecodingOptions } from '../binlog/transaction/assembler-options.ts';
import type { Baseline, Column, Row, SourceSchema, SourceTable, Watch } from '../binlog/types.ts';
import type { Change } from '../change/types.ts';
import type { Config } from '../config/types.ts';
import { problemsError, type Problem } from '../config/problems.ts';
import { draftRules } from '../event/mapping/compile.ts';
import { namedTables } from '../event/rule/referenced-columns.ts';
import { builtInRulesFile, readRules, type RuleFile } from '../event/rule/rule-file.ts';
import type { MapContext, Rules } from '../event/types.ts';

/** The present schema of the source, and the rules compiled against it. Immutable; it is replaced as a whole. */
export interface CompiledSource {
  identity: SourceIdentity;
  /** The schema of our store, on any server. */
  ownSchema: string;
  dictionary: Dictionary;
  /** The schema against which the rules are compiled: the live schema plus tables and columns seen only in the log. */
  schema: SourceSchema;
  /** The rules in force; a refused edit is not included. */
  ruleFile: RuleFile;
  rules: Rules;
  /** The names in webhooks' filters at the time when the columns to read were chosen. */
  filterNames: ReadonlySet<string>;
}

export interface CompiledSourceOptions {
  filterNames: ReadonlySet<string>;
  /** The tables as the log showed them up to the next position to read. */
  baseline?: Baseline;
  /** Rules that were read before; default: read the rules file of the configuration. */
  ruleFile?: RuleFile;
}

/** Reads the live schema and compiles the rules against it. Throws ERR_RULES, ERR_SOURCE_*. */
export async function readCompiledSource(
  source: Source,
  config: Config,
  { ruleFile = readRules(config.rulesFile ?? builtInRulesFile), ...options }: CompiledSourceOptions,
): Promise<CompiledSource> {
  const { clinic, mistakes } = await draftCompiledSource(source, config, { ...options, ruleFile });
  if (mistakes.length > 0) throw problemsError('ERR_RULES', mistakes);
  return clinic;
}

/** As `readCompiledSource`, together with the mistakes of the rules. Throws ERR_SOURCE_*. */
export async function draftCompiledSource(
  source: Source,
  config: Config,
  { filterNames, baseline = {}, ruleFile }: CompiledSourceOptions & { ruleFile: RuleFile },
): Promise<{ clinic: CompiledSource; mistakes: readonly Problem[] }> {
  const identity = await source.identify();
  const dictionary = await readDictionary(source, identity, namedTables(ruleFile));
  const schema = withBaseline(dictionary.tables, baseline);
  const options = { schema, timeZone: config.source.timezone, filterNames };
  const { rules, mistakes } = draftRules(ruleFile, options);
  const ownSchema = config.store.url.database;
  return { clinic: { identity, ownSchema, dictionary, schema, ruleFile, rules, filterNames }, mistakes };
}

/** Identifies an edit of the rules in the log. */
export const nameOfRules = ({ ruleFile }: Pick<CompiledSource, 'ruleFile'>): string =>
  ruleFile.fingerprint.slice(0, 12);

/**
 * A dropped column is still in rows that were written before: the rules keep reading it until the log shows the table without it, which stops the stream.
 */
function withBaseline(live: SourceSchema, baseline: Baseline): SourceSchema {
  const tables = new Map(live);
  for (const [name, kinds] of Object.entries(baseline)) {
    const table: SourceTable = live.get(name) ?? { name, columns: [], key: [] };
    const known = new Set(table.columns.map((column) => column.name.toLowerCase()));
    const gone = Object.entries(kinds)
      .filter(([column]) => !known.has(column))
      .map(([column, { kind }]) => ({ name: column, kind, nullable: true, labels: null }));
    if (gone.length > 0) tables.set(name, { ...table, columns: [...table.columns, ...gone] });
  }
  return tables;
}

/** How the stream reads the tables of this source. */
export function readingOf({
  identity,
  ownSchema,
  dictionary,
  schema,
  rules,
}: Pick<CompiledSource, 'identity' | 'ownSchema' | 'dictionary' | 'schema'> & {
  rules: Pick<Rules, 'watch' | 'named'>;
}): WatchOptions & DecodingOptions & Pick<StreamOptions, 'ownSchema' | 'serverUuid' | 'hasShortTimestamps'> {
  const foldsNames = identity.lowerCaseTableNames !== 0;
  const fold = (name: string): string => (foldsNames ? name.toLowerCase() : name);
  const ours = fold(dictionary.schema);
  /** A missing table is matched in any letter case, because its original spelling is unknown. */
  const find = (of: Watch, database: string, table: string): ReadonlySet<string> | undefined => {
    const lower = table.toLowerCase();
    const live = dictionary.tables.get(lower);
    // The log may have changes of a table that the rules spell exactly, while only a table with another letter case still exists.
    const isMeant = !live || fold(live.name) === fold(table) || dictionary.spelled.has(table);
    return fold(database) === ours && isMeant ? of.get(lower) : undefined;
  };
  return {
    ownSchema: fold(ownSchema),
    serverUuid: identity.serverUuid,
    flavour: identity.flavour,
    hasShortTimestamps: identity.hasShortTimestamps,
    charsetOf: (collation) => dictionary.charsets.get(collation),
    columnsOf: (database, table) => find(rules.watch, database, table),
    namedIn: (database, table) => find(rules.named, database, table),
    hintsOf(table) {
      const lower = table.toLowerCase();
      const known = schema.get(lower);
      const live = dictionary.tables.get(lower);
      if (!known) return undefined;
      const types = new Map(
        known.columns.flatMap(({ name, kind }) => hintOf(name.toLowerCase(), kind, live?.columnOf)),
      );
      return { types, fractions: fractionsOf(live), plainColumns: plainColumnsOf(live) };
    },
    isWatchedSchema: (name) => fold(name) === ours,
    foldsNames,
    // Also tables that do not exist yet: capture must notice the definition that creates one.
    watchedTables: () =>
      [...new Set([...rules.watch.keys(), ...rules.named.keys()])].map(
        (table) => dictionary.tables.get(table)?.name ?? table,
      ),
  };
}

function fractionsOf(live: DictionaryTable | undefined): ReadonlyMap<string, number> {
  return new Map(live?.columns.map(({ name, type }) => [name.toLowerCase(), fractionOf(type)]));
}

function plainColumnsOf(live: DictionaryTable | undefined): ReadonlySet<string> | null | undefined {
  if (!live) return undefined;
  return live.rowEnd === null ? new Set(live.columnOf.keys()) : null;
}

type Hint = [string, 'uuid' | 'inet4' | 'inet6' | 'json'];

function hintOf(name: string, kind: string, live: DictionaryTable['columnOf'] | undefined): Hint[] {
  if (kind === 'uuid' || kind === 'json') return [[name, kind]];
  const type = live?.get(name)?.type;
  return kind === 'inet' && type !== undefined ? [[name, type === 'inet4' ? 'inet4' : 'inet6']] : [];
}

/** The look-ups of one batch of transactions: each query to the source runs once. */
export function lookupsOf(
  source: Source,
  { dictionary }: Pick<CompiledSource, 'dictionary'>,
  onAsked: (table: string, what: 'lookup' | 'reread') => void,
): Pick<MapContext, 'resolve' | 'reread'> {
  const lookUp = createLookUp(source, dictionary);
  return {
    resolve(lookup) {
      onAsked(lookup.table, 'lookup');
      return lookUp(lookup);
    },
    async reread(change) {
      onAsked(change.table.name, 'reread');
      return reread(source, dictionary, change);
    },
  };
}

async function reread(
  source: Source,
  dictionary: Dictionary,
  { table, after, before }: Change,
): Promise<Row | null> {
  const known = dictionary.tables.get(table.name.toLowerCase());
  const image = after ?? before;
  if (!known || !image || table.key.length === 0) return null;
  // A dropped column cannot be read late; its value is unknown, not NULL.
  const isLost = ({ name }: Column, index: number): boolean =>
    image[index] === undefined && !known.columnOf.has(name.toLowerCase());
  if (table.columns.some(isLost)) return null;
  const key: Record<string, string | number> = {};
  for (const index of table.key) {
    const cell = image[index];
    if (typeof cell !== 'string' && typeof cell !== 'number') return null;
    key[table.columns[index]!.name] = cell;
  }
  const select = table.columns.map(({ name }) => name);
  const row = await readRowByKey(source, known, { key, select });
  return row && select.map((name) => row[name.toLowerCase()] ?? null);
}

/** Whether one watch contains everything of the other. */
export function isWithin(inner: Watch, outer: Watch): boolean {
  return [...inner].every(([table, columns]) => columns.isSubsetOf(outer.get(table) ?? new Set()));
}

/** The initial schema history of a log that begins now, so that capture notices a column that is dropped before its first row. */
export function firstBaseline({ dictionary, rules }: Pick<CompiledSource, 'dictionary' | 'rules'>): Baseline {
  return Object.fromEntries(
    [...rules.watch].flatMap(([table, wanted]) => {
      const known = dictionary.tables.get(table);
      if (!known || known.isView) return [];
      const also = new Set([...known.key, ...(known.rowEnd === null ? [] : [known.rowEnd])]);
      const read = known.columns.filter(({ name }) => wanted.has(name.toLowerCase()) || also.has(name));
      return [
        [
          table,
          Object.fromEntries(read.map((column) => [column.name.toLowerCase(), showColumn(column, known)])),
        ],
      ];
    }),
  );
}

/** Tables that the log has shown and that no longer exist. */
export function goneTables({ tables }: Pick<Dictionary, 'tables'>, baseline: Baseline): string[] {
  return Object.keys(baseline).filter((table) => !tables.has(table));
}

/** Throws a CaptureFault when a table that was read no longer exists; checks only the given names, if any. */
export function requireTables(
  { dictionary, rules }: CompiledSource,
  baseline: Baseline,
  among: readonly string[] = Object.keys(baseline),
): void {
  const names = new Set(among.map((name) => name.toLowerCase()));
  const gone = goneTables(dictionary, baseline).find((table) => names.has(table) && rules.watch.has(table));
  if (gone !== undefined) throw changed(gone, `the watched table ${gone} is gone`);
}

/**
 * Throws a CaptureFault when a name now means a different table: a table with another letter case was created, or only that table still exists.
 * Only a server that distinguishes letter case has such tables.
 */
export function requireSameTables(
  before: CompiledSource,
  after: CompiledSource,
  tables: readonly string[],
): void {
  if (after.identity.lowerCaseTableNames !== 0) return;
  for (const table of tables.map((name) => name.toLowerCase())) {
    const [old, now] = [before, after].map(({ dictionary }) => dictionary.tables.get(table)?.name);
    if (!after.rules.watch.has(table) || old === undefined || now === undefined || now === old) continue;
    throw changed(old, `the rules mean another table than before: ${now}, not ${old}`);
  }
}

/** Throws a CaptureFault when a required column that the log has not shown yet no longer exists. */
export function requireSameWatch(before: Watch, after: Watch, tables: readonly string[]): void {
  for (const table of tables.map((name) => name.toLowerCase())) {
    for (const column of before.get(table) ?? []) {
      if (after.get(table)?.has(column)) continue;
      throw changed(table, `a definition took ${table}.${column} away, which the rules need`);
    }
  }
}

function changed(table: string, message: string): CaptureFault {
  return new CaptureFault('column-changed', message, {
    table,
    remedy: changedRemedy(table),
  });
}

interface Filtered {
  filter: Readonly<Record<string, unknown>> | null;
}

/** The names in webhooks' filters: each may be a column that must be read. */
export function filterNames(...webhooks: readonly (readonly Filtered[])[]): Set<string> {
  return new Set(webhooks.flat().flatMap(({ filter }) => Object.keys(filter ?? {})));
}
