import { quoteName } from '../source/quote-name.ts';
import {
  passWords,
  readObjectName,
  readObjectNames,
  someNameIn,
  type ObjectName,
} from '../statement/names.ts';
import type { ParsedStatement } from '../statement/parse-statement.ts';
import type { LoggedStatement } from '../statement/read-statement.ts';
import { findRenamed } from '../statement/renamed-tables.ts';
import { readMoves } from '../statement/unlogged-rows.ts';
import type { WatchedNames } from '../statement/watched-names.ts';
import { readAlteration, type Alteration } from './alter-actions.ts';
import { readCreatedTable, type CreatedTable } from './created-table.ts';

/**
 * What a definition does to unwatched tables. Any of them, in any schema and under any name, may be the copy that an online schema
 * change fills and finally renames to a watched table. Tables are identified by `copyName`.
 */
export interface CopyDefinition {
  created: {
    copy: string;
    /** The table of CREATE TABLE … LIKE. */
    like: string | null;
    /** Lower-case names of the watched tables it is created from, by LIKE or by SELECT. */
    ofTables: ReadonlySet<string>;
    columns: CreatedTable['columns'];
  } | null;
  altered: { copy: string; alteration: Alteration } | null;
  /** Watched tables whose name belongs to another table afterwards. */
  swapped: readonly { schema: string; table: string; copy: string }[];
  /** Maps a table's name after the definition to its name before; null if the name now belongs to a new table, or to none. */
  origins: ReadonlyMap<string, string | null>;
  /** A schema dropped with all its tables: the prefix of their names. */
  droppedSchema: string | null;
}

/** Reads what a statement does to unwatched tables; null if it is not a definition, or if its table is temporary. */
export function readCopyDefinition(statement: LoggedStatement, watched: WatchedNames): CopyDefinition | null {
  const { effect, parsed, schema } = statement;
  if (effect !== 'definition' || parsed.isTemporary) return null;
  const naming = { schema, watched };
  const nameOf = (name: ObjectName): string => copyName(name, naming);
  const alteration = readAlteration(parsed);
  const renamed = findRenamed(movesOf(parsed), watched.fold);
  const origins = new Map([
    ...namesBegun(parsed).map((name): [string, null] => [nameOf(name), null]),
    ...renamed.map(({ name, replacement }): [string, string | null] => [
      nameOf(name),
      replacement && nameOf(replacement),
    ]),
  ]);
  return {
    created: readCreated(parsed, naming),
    altered:
      alteration && mayBeCopy(alteration.table, naming)
        ? { copy: nameOf(alteration.table), alteration }
        : null,
    swapped: renamed.flatMap(({ name, replacement }) =>
      replacement === null
        ? []
        : watchedTables(name, naming).map((each) => ({ ...each, copy: nameOf(replacement) })),
    ),
    origins,
    droppedSchema: droppedSchema(parsed, watched),
  };
}

/** Identifies a possible copy by name: quoted, and in lower case if the server ignores letter case. */
const copyName = ({ schema, object }: ObjectName, { schema: own, watched }: Naming): string =>
  schemaPrefix(schema?.[0] ?? own, watched) + quoteName(watched.fold(object?.[0] ?? ''));

const schemaPrefix = (schema: string, { fold }: WatchedNames): string => `${quoteName(fold(schema))}.`;

interface Naming {
  /** The schema of the session. */
  schema: string;
  watched: WatchedNames;
}

function watchedTables({ schema, object }: ObjectName, naming: Naming): { schema: string; table: string }[] {
  const { isSchema, tables } = naming.watched;
  return (schema ?? [naming.schema])
    .filter(isSchema)
    .flatMap((each) =>
      [...tables.values()]
        .filter((table) => object?.some((name) => naming.watched.isSame(each, { name, table })))
        .map((table) => ({ schema: each, table })),
    );
}

function readCreated(parsed: ParsedStatement, naming: Naming): CopyDefinition['created'] {
  const created = readCreatedTable(parsed);
  if (!created || !mayBeCopy(created.table, naming)) return null;
  const { table, like, columns, selects } = created;
  const sources: ObjectName[] = like ? [like] : [];
  if (selects)
    someNameIn(parsed.behindHead(), (object, schema) => {
      sources.push({ schema, object });
      return false;
    });
  const ofTables = sources.flatMap((name) => watchedTables(name, naming));
  return {
    copy: copyName(table, naming),
    like: like && copyName(like, naming),
    ofTables: new Set(ofTables.map((each) => each.table.toLowerCase())),
    columns,
  };
}

/** Excludes a table with the name of a watched table in another tenant's schema: there may be thousands of them. */
function mayBeCopy({ schema, object }: ObjectName, { schema: own, watched }: Naming): boolean {
  const isNamesake = (object ?? []).some((name) => watched.tables.has(name.toLowerCase()));
  if (!isNamesake) return true;
  const isOurs = (schema ?? [own]).some(watched.isSchema);
  return isOurs && watchedTables({ schema, object }, { schema: own, watched }).length === 0;
}

const verbOf = ({ head }: ParsedStatement): string => head.slice(0, 2).join(' ');

function movesOf(parsed: ParsedStatement): ReturnType<typeof readMoves> {
  return ['ALTER TABLE', 'RENAME TABLE', 'RENAME TABLES'].includes(verbOf(parsed)) ? readMoves(parsed) : [];
}

/** Returns created and dropped tables: what was known about their names no longer applies. */
function namesBegun(parsed: ParsedStatement): ObjectName[] {
  const lexer = parsed.behindHead();
  lexer.next();
  switch (verbOf(parsed)) {
    case 'CREATE TABLE': {
      // With IF NOT EXISTS the table may have existed before.
      const name = lexer.keyword() === 'IF' ? null : readObjectName(lexer);
      return name ? [name] : [];
    }
    case 'DROP TABLE':
    case 'DROP TABLES':
      passWords(lexer, 'IF', 'EXISTS');
      return readObjectNames(lexer);
    default:
      return [];
  }
}

function droppedSchema(parsed: ParsedStatement, watched: WatchedNames): string | null {
  if (verbOf(parsed) !== 'DROP DATABASE' && verbOf(parsed) !== 'DROP SCHEMA') return null;
  const lexer = parsed.behindHead();
  lexer.next();
  passWords(lexer, 'IF', 'EXISTS');
  const name = readObjectName(lexer)?.object?.[0];
  return name === undefined ? null : schemaPrefix(name, watched);
}
