import type { MySql2Database } from 'drizzle-orm/mysql2';
import {
  createPool,
  type Pool,
  type PoolConnection,
  type ResultSetHeader,
  type RowDataPacket,
} from 'mysql2/promise';
import { sleep } from '../../lib/clock.ts';
import { toConnectionTarget, type DatabaseUrl } from './database-url.ts';
import { AppError, codeOf } from '../../lib/errors.ts';
import { refusalWithin, withoutValues } from '../../lib/server-error.ts';
import { drizzle } from '../schema/drizzle.ts';
import { prepareSession } from './session-variables.ts';
import { smallestPacketBytes, toPackets } from './sql-text.ts';
import { raisePacket, toStoreError } from './store-error.ts';

/** Where statements run: the pool (each commits by itself), or one transaction. */
export interface Session {
  /** Typed queries for what is not hot. */
  readonly drizzle: MySql2Database;
  /** Rows of one statement. Dates come as text in UTC, JSON as text, on both flavours. */
  rows<T extends object>(sql: string, values?: readonly unknown[]): Promise<T[]>;
  /** As `rows`, each row a list of its columns: half the cost of an object with many. */
  arrays(sql: string, values?: readonly unknown[]): Promise<unknown[][]>;
  run(sql: string, values?: readonly unknown[]): Promise<Written>;
  /**
   * Several statements in one round trip, more where they do not fit into one packet of the server; it stops at the first that
   * fails. Returns the rows of the statements that have rows, in order. Every value must have gone through `literal`. Throws AppError
   * ERR_STORE_PACKET for a statement that is too large.
   */
  script<T extends object>(statements: readonly string[]): Promise<T[][]>;
}

export interface Written {
  /** Rows found by an UPDATE (changed or not), inserted or deleted. */
  affectedRows: number;
  insertId: number;
}

/** The open store. Only this room opens it. */
export interface Store extends Session {
  /** Name of the schema. */
  readonly database: string;
  /** Runs `work` in one transaction; again, up to five times, when the server chose it as the victim of a deadlock. */
  transaction<T>(work: (tx: Session) => Promise<T>): Promise<T>;
  /** A script that begins and ends its own transaction: in one packet, as most are, no lock is held while we are frozen. */
  commit<T extends object>(statements: readonly string[]): Promise<T[][]>;
  /** Bytes that one statement may have, as the newest connection learned. */
  readonly statementBytes: number;
  /** Asks the server for it anew. Connections that began with another limit are closed. */
  measureStatement(): Promise<number>;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Connections at most. */
  connections?: number;
}

const deadlockTries = 5;
/** A statement that takes longer has met a dead connection: none of ours works on more than a bounded batch. */
const statementTimeoutMs = 60_000;
const connectTimeoutMs = 10_000;
/** What a packet has beside the statement is a few bytes; a script is cut here, whatever the server takes. */
const packetMargin = 1_024;
const scriptBytes = 4 * 2 ** 20;
/**
 * Read only server, read only transaction, a cluster node outside its cluster. After a failover the old connections may stay open
 * while new ones lead to the promoted server (Aurora, most proxies): all of them are closed at the first such answer.
 */
const readOnlyErrors = new Set([1290, 1792, 1836, 1047]);

/** Opens the store. Connects at the first statement, so a wrong address shows there (`migrate` explains it). */
export function openStore(url: DatabaseUrl, { connections = 10 }: StoreOptions = {}): Store {
  const pool = createPool({
    ...toConnectionTarget(url),
    charset: 'utf8mb4',
    timezone: 'Z',
    dateStrings: true,
    jsonStrings: true,
    supportBigNumbers: true,
    multipleStatements: true,
    connectTimeout: connectTimeoutMs,
    connectionLimit: connections,
    // A call stack for each statement, in case it fails, was 3 % of the daemon's processor time under load.
    trace: false,
    // Ours end before the server's wait_timeout ends them.
    maxIdle: Math.max(1, connections - 1),
    idleTimeout: 30_000,
    enableKeepAlive: true,
    keepAliveInitialDelay: 10_000,
  });
  /** Why a new connection could not be given its settings. */
  const failures = new WeakMap<object, Error>();
  /** Connections that were made before a server answered that it is read only: it was the primary then, and is not any more. */
  let generation = 0;
  const generationOf = new WeakMap<object, number>();
  let statementBytes = smallestPacketBytes - packetMargin;
  const bytesOf = new WeakMap<object, number>();
  pool.pool.on('connection', (connection) => {
    generationOf.set(connection, generation);
    prepareSession(connection, { kind: 'store' }, failures);
    // A session keeps the limit that it began with.
    connection.query('SELECT @@max_allowed_packet AS bytes', (error, rows) => {
      if (error) return;
      statementBytes = (rows as { bytes: number }[])[0]!.bytes - packetMargin;
      bytesOf.set(connection, statementBytes);
    });
  });

  /** Throws AppError ERR_STORE_*. */
  async function take(): Promise<PoolConnection> {
    for (;;) {
      const connection = await pool.getConnection().catch((error: unknown) => {
        throw toStoreError(error, url);
      });
      if (generationOf.get(connection.connection) === generation) return connection;
      connection.destroy();
    }
  }

  async function withConnection<T>(work: (connection: PoolConnection) => Promise<T>): Promise<T> {
    const connection = await take();
    try {
      const result = await work(connection);
      connection.release();
      return result;
    } catch (error) {
      const refusal = refusalWithin(error);
      if (refusal && readOnlyErrors.has(refusal.errno)) {
        if (generationOf.get(connection.connection) === generation) generation += 1;
        connection.destroy();
      } else {
        await discardOrRelease(connection, refusal !== undefined || isOwnRefusal(error));
      }
      // The limit may have been raised since: the next try has new connections.
      if (error instanceof AppError && error.code === 'ERR_STORE_PACKET') generation += 1;
      const failure = failures.get(connection.connection);
      throw failure === undefined ? withoutValues(error) : toStoreError(failure, url);
    }
  }

  const limitOf = (connection: PoolConnection): number =>
    bytesOf.get(connection.connection) ?? statementBytes;

  // Drizzle's own statements take the same way: settings, and the end of connections to a server that was demoted.
  const client = {
    query: (...args: Parameters<Pool['query']>) => withConnection((connection) => connection.query(...args)),
    execute: (...args: Parameters<Pool['execute']>) =>
      withConnection((connection) => connection.execute(...args)),
  } as unknown as Pool;

  return {
    database: url.database,
    drizzle: drizzle({ client }),
    rows: (sql, values) => withConnection((connection) => rowsOf(connection, sql, values)),
    arrays: (sql, values) => withConnection((connection) => arraysOf(connection, sql, values)),
    run: (sql, values) => withConnection((connection) => runOn(connection, sql, values)),
    script: (statements) =>
      withConnection((connection) => scriptOn(connection, statements, limitOf(connection))),
    commit: (statements) =>
      withDeadlockRetry(() =>
        withConnection((connection) =>
          scriptOn(connection, ['BEGIN', ...statements, 'COMMIT'], limitOf(connection)),
        ),
      ),
    get statementBytes() {
      return statementBytes;
    },
    async measureStatement() {
      generation += 1;
      await withConnection((connection) => connection.query('DO 0'));
      return statementBytes;
    },
    transaction: (work) =>
      withDeadlockRetry(() =>
        withConnection(async (connection) => {
          await connection.query('BEGIN');
          const result = await work(sessionOn(connection, limitOf(connection)));
          await connection.query('COMMIT');
          return result;
        }),
      ),
    close: () => pool.end(),
  };
}

function sessionOn(connection: PoolConnection, maximumBytes: number): Session {
  let typed: MySql2Database | undefined;
  return {
    get drizzle() {
      return (typed ??= drizzle({ client: connection }));
    },
    rows: (sql, values) => rowsOf(connection, sql, values),
    arrays: (sql, values) => arraysOf(connection, sql, values),
    run: (sql, values) => runOn(connection, sql, values),
    script: (statements) => scriptOn(connection, statements, maximumBytes),
  };
}

/** Whether the program itself gave up a transaction, such as for a missing key: the connection works. */
function isOwnRefusal(error: unknown): boolean {
  return error instanceof AppError && !error.code.startsWith('ERR_STORE');
}

/**
 * Rolls back and releases a connection that works, so that its locks are gone when the error is thrown. One that may be dead is
 * destroyed; the server then rolls back in its own time.
 */
async function discardOrRelease(connection: PoolConnection, works: boolean): Promise<void> {
  if (works) {
    try {
      await connection.query('ROLLBACK');
      connection.release();
      return;
    } catch {
      // Dead after all.
    }
  }
  connection.destroy();
}

async function rowsOf<T extends object>(
  connection: PoolConnection,
  sql: string,
  values: readonly unknown[] = [],
): Promise<T[]> {
  const [rows] = await connection.query({ sql, values: [...values], timeout: statementTimeoutMs });
  return rows as T[];
}

async function arraysOf(
  connection: PoolConnection,
  sql: string,
  values: readonly unknown[] = [],
): Promise<unknown[][]> {
  const [rows] = await connection.query<RowDataPacket[][]>({
    ...{ sql, values: [...values], timeout: statementTimeoutMs },
    rowsAsArray: true,
  });
  return rows;
}

async function runOn(
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

async function scriptOn<T extends object>(
  connection: PoolConnection,
  statements: readonly string[],
  maximumBytes: number,
): Promise<T[][]> {
  const results: unknown[] = [];
  for (const packet of toPackets(statements, Math.min(scriptBytes, maximumBytes))) {
    const sql = packet.join(';');
    if (packet.length === 1) requireFitting(sql, maximumBytes);
    // Without values (an empty list is some) the driver does not search megabytes of text for placeholders.
    const [answer] = await connection.query({ sql, values: null, timeout: statementTimeoutMs });
    results.push(...(packet.length === 1 ? [answer] : (answer as unknown[])));
  }
  return results.filter((result): result is T[] => Array.isArray(result));
}

/** The server would end the connection, before or after it says why. */
function requireFitting(sql: string, maximumBytes: number): void {
  const bytes = Buffer.byteLength(sql);
  if (bytes <= maximumBytes) return;
  throw new AppError(
    'ERR_STORE_PACKET',
    `a statement of ${bytes} bytes is larger than max_allowed_packet of the store's server, ${maximumBytes + packetMargin}`,
    { remedy: raisePacket(bytes), retryable: true },
  );
}

async function withDeadlockRetry<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await work();
    } catch (error) {
      const code = codeOf(error);
      if (tries === deadlockTries || (code !== 'ER_LOCK_DEADLOCK' && code !== 'ER_LOCK_WAIT_TIMEOUT'))
        throw error;
      await sleep(5 * tries * Math.random());
    }
  }
}
