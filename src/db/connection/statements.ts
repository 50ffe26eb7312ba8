import type { FieldPacket, PoolConnection, ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { AppError } from '../../lib/errors.ts';
import { toPackets } from './sql-text.ts';
import { raisePacket } from './store-error.ts';

export interface Written {
  /** Rows found by an UPDATE (changed or not), inserted or deleted. */
  affectedRows: number;
  insertId: number;
}

/** A statement that takes longer is on a dead connection: all our statements work on bounded batches. */
const statementTimeoutMs = 60_000;
/** A packet has a few bytes besides the statement; scripts are split with this margin, whatever the server accepts. */
export const packetMargin = 1_024;
const scriptBytes = 4 * 2 ** 20;
/** MySQL's number of the type JSON; MariaDB sends such a column as text. */
const jsonType = 245;
/** The default limit of a server, which fits every document that this program writes. */
const largestDocumentBytes = 32 * 2 ** 20;

export async function rowsOf<T extends object>(
  connection: PoolConnection,
  sql: string,
  values: readonly unknown[] = [],
): Promise<T[]> {
  const answer = await connection.query({ sql, values: [...values], timeout: statementTimeoutMs });
  return requireWhole(answer)[0] as T[];
}

export async function arraysOf(
  connection: PoolConnection,
  sql: string,
  values: readonly unknown[] = [],
): Promise<unknown[][]> {
  const answer = await connection.query<RowDataPacket[][]>({
    ...{ sql, values: [...values], timeout: statementTimeoutMs },
    rowsAsArray: true,
  });
  return requireWhole(answer)[0];
}

export async function runOn(
  connection: PoolConnection,
  sql: string,
  values: readonly unknown[] = [],
): Promise<Written> {
  const [header] = await connection.query<ResultSetHeader>({
    sql,
    values: [...values],
    timeout: statementTimeoutMs,
  });
  return { affectedRows: header.affectedRows, insertId: header.insertId };
}

export async function scriptOn<T extends object>(
  connection: PoolConnection,
  statements: readonly string[],
  maximumBytes: number,
): Promise<T[][]> {
  const results: unknown[] = [];
  for (const packet of toPackets(statements, Math.min(scriptBytes, maximumBytes))) {
    const sql = packet.join(';');
    if (packet.length === 1) requireFitting(sql, maximumBytes);
    // Without values (an empty list counts as values) the driver does not search megabytes of text for placeholders.
    const [answer] = await connection.query({ sql, values: null, timeout: statementTimeoutMs });
    results.push(...(packet.length === 1 ? [answer] : (answer as unknown[])));
  }
  return results.filter((result): result is T[] => Array.isArray(result));
}

/**
 * MySQL returns an empty text, and no error, for a JSON document whose text is larger than max_allowed_packet; the text has a space after
 * each comma, so a document that was just accepted may be too large. Throws AppError ERR_STORE_PACKET for such a row. Documents of
 * `webhooks` may be anything that SQL wrote: src/outbox/webhook checks them.
 */
export function requireWhole<T extends [unknown, FieldPacket[]]>(answer: T): T {
  const [rows, fields] = answer;
  if (!Array.isArray(fields) || !Array.isArray(rows)) return answer;
  fields.forEach(({ columnType, name, orgTable }, index) => {
    if (columnType !== jsonType || orgTable === 'webhooks') return;
    const valueOf = (row: unknown): unknown =>
      Array.isArray(row) ? row[index] : (row as Record<string, unknown>)[name];
    if (!rows.some((row) => valueOf(row) === '')) return;
    throw new AppError(
      'ERR_STORE_PACKET',
      `a document in ${orgTable}.${name} is larger than max_allowed_packet of the store's server`,
      { remedy: raisePacket(largestDocumentBytes), retryable: true },
    );
  });
  return answer;
}

/** Refuses a larger statement, for which the server would close the connection, before or after it reports why. */
function requireFitting(sql: string, maximumBytes: number): void {
  const bytes = Buffer.byteLength(sql);
  if (bytes <= maximumBytes) return;
  throw new AppError(
    'ERR_STORE_PACKET',
    `a statement of ${bytes} bytes is larger than max_allowed_packet of the store's server, ${maximumBytes + packetMargin}`,
    { remedy: raisePacket(bytes), retryable: true },
  );
}
