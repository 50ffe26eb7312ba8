import { errnoOf } from '../../db/connection/connect-error.ts';
import { AppError, codeOf } from '../../lib/errors.ts';
import { shortestFloat } from '../decode/decode-column.ts';
import { quoteName } from './quote-name.ts';
import type { Dictionary, DictionaryColumn, DictionaryTable } from './dictionary.ts';
import type { Source, SourceRow } from './source.ts';

/** A query for rows of one table; results are Cells by lower-case column name. */
export interface RowQuestion {
  /** Table name, in the source's schema. */
  table: string;
  /** Column → value that the rows must match. */
  by: Readonly<Record<string, string | number>>;
  /** Columns to return; null for a column that the table lacks. */
  select: readonly string[];
  /** One row (a parent), or all rows in primary-key order (children). */
  many: boolean;
}

/** Queries rows. Empty when the table does not exist, when no row matches, or when a column of `by` is missing. */
export type LookUp = (question: RowQuestion) => Promise<readonly SourceRow[]>;

/** More children than this in one payload indicate an error in the rules, and would exhaust the daemon's memory. */
const maxRows = 10_000;

/**
 * Creates the look-ups for one batch of transactions. Equal questions are queried once: all transactions of the batch were committed
 * before the first was mapped, so for each of them a result in this batch is as recent as a separate query's. At most `maxEntries`
 * results are kept; the oldest is dropped first.
 */
export function createLookUp(source: Source, dictionary: Dictionary, { maxEntries = 1_000 } = {}): LookUp {
  const answers = new Map<string, Promise<readonly SourceRow[]>>();
  return (question) => {
    const key = JSON.stringify([question.table, question.by, question.select, question.many]);
    let answer = answers.get(key);
    if (answer === undefined) {
      answer = askRows(source, dictionary, question);
      answers.set(key, answer);
      if (answers.size > maxEntries) answers.delete(answers.keys().next().value!);
      answer.catch(() => answers.delete(key));
    }
    return answer;
  };
}

async function askRows(
  source: Source,
  dictionary: Dictionary,
  question: RowQuestion,
): Promise<readonly SourceRow[]> {
  const table = dictionary.tables.get(question.table.toLowerCase());
  if (!table) return [];
  const statement = toStatement(table, question);
  if (!statement) return [];
  const limit = question.many ? maxRows + 1 : 1;
  const rows = await ask(source, table, { ...statement, sql: `${statement.sql} LIMIT ${limit}` });
  if (rows.length > maxRows) {
    throw new AppError('ERR_RULES', `A look-up found more than ${maxRows} rows of ${table.name}.`, {
      remedy: `Narrow the look-up of ${table.name} in the rules: "by" must name the columns that tie the rows to the event.`,
    });
  }
  return rows.map((row) => complete(table, question.select, row));
}

/**
 * Reads a row by its primary key once the transaction just read from the log is visible: the log may be ahead of the storage engine by
 * the duration of the commit. The shared lock waits for the commit, and for a later writer at most two seconds: then the row is read
 * without a lock. Null when the row is gone, and when the key no longer identifies one row, because a definition has given the table
 * another key.
 */
export async function readRowByKey(
  source: Source,
  table: DictionaryTable,
  question: { key: Readonly<Record<string, string | number>>; select: readonly string[] },
): Promise<SourceRow | null> {
  const statement = toStatement(table, { by: question.key, select: question.select });
  if (!statement || !hasWholeKey(table, question.key)) return null;
  const rows = await ask(source, table, {
    ...statement,
    sql: `${statement.sql} LIMIT 2 LOCK IN SHARE MODE`,
  }).catch((error: unknown) => {
    if (isLockTimeout(error)) return ask(source, table, { ...statement, sql: `${statement.sql} LIMIT 2` });
    throw error;
  });
  const [row, ...others] = rows;
  return row && others.length === 0 ? complete(table, question.select, row) : null;
}

/** A table without a primary key may have a unique key, which the log shows instead. */
function hasWholeKey({ key }: DictionaryTable, by: Readonly<Record<string, unknown>>): boolean {
  const named = new Set(Object.keys(by).map((name) => name.toLowerCase()));
  return key.every((name) => named.has(name.toLowerCase()));
}

interface Statement {
  sql: string;
  values: (string | number)[];
}

/** Undefined when nothing can match: `by` is empty, or names a missing column. */
function toStatement(
  table: DictionaryTable,
  { by, select }: Pick<RowQuestion, 'by' | 'select'>,
): Statement | undefined {
  const conditions: string[] = [];
  const values: (string | number)[] = [];
  for (const [name, value] of Object.entries(by)) {
    const column = table.columnOf.get(name.toLowerCase());
    if (!column) return undefined;
    // As a quoted value, a number past 2^53 would be compared as a double.
    const isDigits = column.kind === 'integer' && /^-?\d+$/.test(String(value));
    conditions.push(`${quoteName(column.name)} = ${isDigits ? String(value) : '?'}`);
    if (!isDigits) values.push(value);
  }
  if (conditions.length === 0) return undefined;
  const columns = known(table, select).map(
    (column) => `${expression(column)} AS ${quoteName(column.name.toLowerCase())}`,
  );
  const order = table.key.length > 0 ? ` ORDER BY ${table.key.map(quoteName).join(', ')}` : '';
  const sql =
    `SELECT ${columns.length > 0 ? columns.join(', ') : '1'} FROM ${quoteName(table.name)}` +
    ` WHERE ${conditions.join(' AND ')}${order}`;
  return { sql, values };
}

function known(table: DictionaryTable, names: readonly string[]): DictionaryColumn[] {
  return names.flatMap((name) => table.columnOf.get(name.toLowerCase()) ?? []);
}

const isSingleFloat = (column: DictionaryColumn): boolean => /^float\b/i.test(column.type);

/** The server prints a FLOAT with six digits, which loses precision; as a double it prints all digits. */
function expression(column: DictionaryColumn): string {
  return isSingleFloat(column) ? `(${quoteName(column.name)} + 0e0)` : quoteName(column.name);
}

/** Returns every requested column by its lower-case name. */
function complete(table: DictionaryTable, select: readonly string[], row: SourceRow): SourceRow {
  const cells: Record<string, SourceRow[string]> = {};
  for (const name of select) {
    const lower = name.toLowerCase();
    const column = table.columnOf.get(lower);
    const cell = row[lower] ?? null;
    cells[lower] = column && isSingleFloat(column) && typeof cell === 'number' ? shortestFloat(cell) : cell;
  }
  return cells;
}

/** The server's message may contain a value from the query, so it is not passed on. */
async function ask(source: Source, table: DictionaryTable, { sql, values }: Statement): Promise<SourceRow[]> {
  try {
    return await source.query(sql, values);
  } catch (error) {
    if (error instanceof AppError || isLockTimeout(error)) throw error;
    const number = errnoOf(error);
    const denied = number === 1142 || number === 1143;
    throw new AppError(
      denied ? 'ERR_SOURCE_ACCESS' : 'ERR_SOURCE_UNREACHABLE',
      `The look-up in ${table.name} failed: ${codeOf(error) ?? 'error'} ${number ?? ''}.`,
      {
        remedy: denied
          ? `GRANT SELECT ON ${quoteName(source.url.database)}.${quoteName(table.name)} TO '${source.url.user}'@'%';`
          : `Look whether statements on ${table.name} are held up at the source: SHOW FULL PROCESSLIST;`,
        retryable: !denied,
      },
    );
  }
}

const isLockTimeout = (error: unknown): boolean => [1205, 1213].includes(errnoOf(error) ?? 0);
