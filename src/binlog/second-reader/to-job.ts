import type { DatabaseUrl } from '../../db/connection/database-url.ts';
import type { Dictionary, DictionaryTable } from '../source/dictionary.ts';
import type { RowEvent } from '../types.ts';
import { randomServerId } from '../source/log-file.ts';
import type { ComparisonJob } from './compare-with-zongji.ts';
import type { RangeRecorder } from './range-recorder.ts';

export interface JobOptions {
  url: DatabaseUrl;
  dictionary: Dictionary;
  /** Lower-case names of the tables that our reader was to read. */
  tables: Iterable<string>;
  /** Whether the server ignores the letter case of tables' names (`lower_case_table_names` is not 0). */
  foldsNames: boolean;
}

/** What was recorded, with all that zongji needs to read the same. */
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
    // A reader with the id of another one would end it: the daemon's among them.
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

/** Of the tables as they are now and as the log had them: versioning may have been added or dropped in between. */
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
 * zongji compares names exactly; a server that ignores their case may log another spelling than the dictionary has. On a server that
 * distinguishes it, another spelling is another table, which our reader does not read.
 */
function spellings(names: readonly string[], foldsNames: boolean): string[] {
  return [...new Set(names.flatMap((name) => (foldsNames ? [name, name.toLowerCase()] : [name])))];
}
