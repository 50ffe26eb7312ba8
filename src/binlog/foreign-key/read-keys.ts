import { errnoOf } from '../../db/connection/connect-error.ts';
import { quoteName } from '../source/quote-name.ts';
import type { Source } from '../source/source.ts';
import { parseForeignKeys, type ForeignKey, type TableName } from './foreign-key.ts';

/** The foreign keys in a table's definition. */
export interface DefinedTable extends TableName {
  /** Keys that change rows of this table; keys that only refuse a change of the parent are left out. */
  keys: readonly ForeignKey[];
  /** The row_end column of a MariaDB system-versioned table, lower case: such a table logs a DELETE as an UPDATE. */
  rowEnd: string | null;
}

/** The definitions of tables and of all their parents, by `tableKey`. */
export type KeyGraph = Readonly<Record<string, DefinedTable>>;

/** Identifies a table by name; in lower case on a server that folds names. */
export function tableKey({ schema, table }: TableName, foldsNames: boolean): string {
  const key = `${schema}.${table}`;
  return foldsNames ? key.toLowerCase() : key;
}

/** ER_TABLEACCESS_DENIED, ER_COLUMNACCESS_DENIED, ER_DBACCESS_DENIED, ER_BAD_DB, ER_NO_SUCH_TABLE, ER_VIEW_INVALID. */
const unreadable: ReadonlySet<number> = new Set([1142, 1143, 1044, 1049, 1146, 1356]);

/**
 * Reads the foreign keys of tables, of their parents, and so on up, from their definitions: on MariaDB, information_schema hides them
 * from a user with no more than SELECT. `unread` names the tables whose definition our user may not see, or that do not exist. Any
 * other query error is rethrown.
 */
export async function readKeyGraph(
  source: Source,
  tables: readonly TableName[],
  foldsNames: boolean,
): Promise<{ graph: KeyGraph; unread: TableName[] }> {
  const graph: Record<string, DefinedTable> = {};
  const unread: TableName[] = [];
  const seen = new Set<string>();
  let level = tables;
  while (level.length > 0) {
    const fresh = level.filter((table) => {
      const key = tableKey(table, foldsNames);
      return !seen.has(key) && seen.add(key);
    });
    const read = await Promise.all(
      fresh.map(async (table) => ({ table, text: await readDefinition(source, table) })),
    );
    for (const { table, text } of read) {
      if (text === null) unread.push(table);
      else graph[tableKey(table, foldsNames)] = defineTable(table, text);
    }
    level = read.flatMap(({ table, text }) =>
      text === null ? [] : defineTable(table, text).keys.map(({ parent }) => parent),
    );
  }
  return { graph, unread };
}

function defineTable({ schema, table }: TableName, text: string): DefinedTable {
  const period = /PERIOD FOR SYSTEM_TIME \(`(?:[^`]|``)+`, ?`((?:[^`]|``)+)`\)/.exec(text)?.[1];
  const isVersioned = /^\).*\bWITH SYSTEM VERSIONING\b/m.test(text);
  return {
    schema,
    table,
    keys: parseForeignKeys({ schema, table }, text).filter(
      ({ onDelete, onUpdate }) => onDelete !== null || onUpdate !== null,
    ),
    rowEnd: isVersioned ? (period?.replaceAll('``', '`') ?? 'row_end').toLowerCase() : null,
  };
}

/** Returns CREATE TABLE in the server's format; null if our user may not see all of it, for a view, and for a missing table. */
async function readDefinition(source: Source, { schema, table }: TableName): Promise<string | null> {
  try {
    const [row] = await source.query(`SHOW CREATE TABLE ${quoteName(schema)}.${quoteName(table)}`);
    const text = row?.['Create Table'];
    return typeof text === 'string' ? text : null;
  } catch (error) {
    if (unreadable.has(errnoOf(error) ?? 0)) return null;
    throw error;
  }
}
