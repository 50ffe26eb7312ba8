import type { DatabaseUrl } from '../../db/connection/database-url.ts';
import type { Dictionary, DictionaryTable } from '../source/dictionary.ts';
import type { RowEvent } from '../types.ts';
import { randomServerId } from '../source/log-file.ts';
import type { ComparisonJob } from './compare-with-zongji.ts';
import type { RangeRecorder } from './range-recorder.ts';

export interface JobOptions {
  url: DatabaseUrl;
  dictionary: Dictionary;
  /** Lower-case names of the tables that our reader was configured to read. */
  tables: Iterable<string>;
  /** Whether the server ignores letter case in table names (`lower_case_table_names` is not 0). */
  foldsNames: boolean;
}

/** Returns the recorded range, with everything that zongji needs to read the same. */
export function toJob(
  recorder: RangeRecorder,
  { url, dictionary, tables, foldsNames }: JobOptions,
): ComparisonJob {
  const watched = [...tables].flatMap((name) => dictionary.tables.get(name) ?? []);
  const rows = recorder.transactions.flatMap((each) => each.rows);
  const tableNames = [...watched, ...rows.map(({ table }) => table)].map(({ name }) => name);
  const names = spellings(tableNames, foldsNames);
  const schemas = spellings([dictionary.schema, ...rows.map(({ table }) => table.schema)], foldsNames);
  return {
    url,
    // A server disconnects a reader when another one connects with the same id, so the daemon's id must not be used.
    serverId: randomServerId(),
    from: recorder.from,
    until: recorder.until,
    names: Object.fromEntries(schemas.map((schema) => [schema, names])),
    transactions: recorder.transactions,
    passedOver: recorder.passedOver,
    notKept: recorder.passedOverRows,
    endsOfTime: recorder.endsOfTime,
    rowEnds: rowEndsOf(watched, rows),
    charsets: Object.fromEntries(
      watched.map(({ name, columns }) => [
        name.toLowerCase(),
        Object.fromEntries(columns.map((column) => [column.name.toLowerCase(), column.charset])),
      ]),
    ),
  };
}

/** From the tables' current definitions and from the log: versioning may have been added or dropped in between. */
function rowEndsOf(watched: readonly DictionaryTable[], rows: readonly RowEvent[]): ComparisonJob['rowEnds'] {
  const found: Record<string, string[]> = {};
  const note = (table: string, column: string | null | undefined): void => {
    if (column === null || column === undefined) return;
    const known = (found[table.toLowerCase()] ??= []);
    if (!known.includes(column.toLowerCase())) known.push(column.toLowerCase());
  };
  for (const { name, rowEnd } of watched) note(name, rowEnd);
  for (const { table } of rows) note(table.name, table.rowEnd);
  return found;
}

/**
 * zongji compares names exactly. A server that ignores letter case may log a different spelling than the dictionary's. On a server that
 * distinguishes case, another spelling is another table, which our reader does not read.
 */
function spellings(names: readonly string[], foldsNames: boolean): string[] {
  return [...new Set(names.flatMap((name) => (foldsNames ? [name, name.toLowerCase()] : [name])))];
}
