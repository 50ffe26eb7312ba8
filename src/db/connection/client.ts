import type { MySql2Database } from 'drizzle-orm/mysql2';
import { createPool, type Pool, type PoolConnection } from 'mysql2/promise';
import { askServer, ConnectionWatch, serverName } from './connection-watch.ts';
import { toConnectionTarget, type DatabaseUrl } from './database-url.ts';
import { AppError } from '../../lib/errors.ts';
import { refusalWithin } from '../../lib/server-error.ts';
import { drizzle } from '../schema/drizzle.ts';
import { retryContention, type Contention } from './retry-contention.ts';
import { prepareSession } from './session-variables.ts';
import { smallestPacketBytes } from './sql-text.ts';
import { arraysOf, packetMargin, requireWhole, rowsOf, runOn, scriptOn, type Written } from './statements.ts';
import { explainFailure, toStoreError } from './store-error.ts';

/** Where statements run: the pool (each commits by itself), or one transaction. */
export interface Session {
  /** Typed queries, for statements that are not on a hot path. */
  readonly drizzle: MySql2Database;
  /** Returns the rows of one statement. Dates are text in UTC, JSON is text, on both flavours. */
  rows<T extends object>(sql: string, values?: readonly unknown[]): Promise<T[]>;
  /** Same as `rows`, each row as a list of its columns: half the cost of an object with many columns. */
  arrays(sql: string, values?: readonly unknown[]): Promise<unknown[][]>;
  run(sql: string, values?: readonly unknown[]): Promise<Written>;
  /**
   * Runs several statements in one round trip, or in more if they do not fit into one packet of the server; stops at the first that fails.
   * Returns the rows of the statements that have rows, in order. Every value must be escaped by `literal`. Throws AppError ERR_STORE_PACKET
   * for a statement that is too large.
   */
  script<T extends object>(statements: readonly string[]): Promise<T[][]>;
}

/** The open store. Only this room opens it. */
export interface Store extends Session {
  /** Name of the schema. */
  readonly database: string;
  /** Runs `work` in one transaction; retries a few times if it lost a lock to another transaction. */
  transaction<T>(work: (tx: Session) => Promise<T>): Promise<T>;
  /** Runs a script that begins and ends its own transaction: in one packet, as most are, no lock is held while this process is frozen. */
  commit<T extends object>(statements: readonly string[]): Promise<T[][]>;
  /** Largest statement in bytes, as learned by the newest connection. */
  readonly statementBytes: number;
  /** How often a transaction was retried, by the kind of contention. */
  retries(): Readonly<Record<Contention, number>>;
  /** Reads the limit from the server again. Closes connections that began with another limit. */
  measureStatement(): Promise<number>;
  close(): Promise<void>;
}

export interface StoreOptions {
  /** Connections at most. */
  connections?: number;
}

const connectTimeoutMs = 10_000;
/** Opens the store. It connects at the first statement, so a wrong address fails there (`migrate` explains it). */
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
    // A call stack for each statement, in case it fails, took 3 % of the daemon's processor time under load.
    trace: false,
    // Our idle connections end before the server's wait_timeout ends them.
    maxIdle: Math.max(1, connections - 1),
    idleTimeout: 30_000,
    enableKeepAlive: true,
    keepAliveInitialDelay: 10_000,
  });
  /** Why a new connection did not accept its settings. */
  const failures = new WeakMap<object, Error>();
  /** Connections from before a server answered that it is read only: it was the primary then, and no longer is. */
  let generation = 0;
  const generationOf = new WeakMap<object, number>();
  let statementBytes = smallestPacketBytes - packetMargin;
  const bytesOf = new WeakMap<object, number>();
  const watch = new ConnectionWatch(() => askServer(url));
  const retries: Record<Contention, number> = { deadlock: 0, 'lock-wait': 0 };
  const onRetry = (contention: Contention): void => void (retries[contention] += 1);
  pool.pool.on('connection', (connection) => {
    generationOf.set(connection, generation);
    watch.made(connection);
    prepareSession(connection, { kind: 'store' }, failures);
    // A session keeps the limit that it began with.
    connection.query(`SELECT @@max_allowed_packet AS bytes, ${serverName} AS server`, (error, rows) => {
      if (error) return;
      const [{ bytes, server }] = rows as [{ bytes: number; server: string }];
      statementBytes = bytes - packetMargin;
      bytesOf.set(connection, statementBytes);
      watch.located(connection, server);
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
    watch.begin(connection.connection);
    try {
      const result = await work(connection);
      connection.release();
      return result;
    } catch (error) {
      const refusal = refusalWithin(error);
      const told = explainFailure(error, url);
      // After a failover the old connections may stay open while new ones lead to the promoted server, so none of the old ones is used
      // again.
      if (told.isLost) {
        if (generationOf.get(connection.connection) === generation) generation += 1;
        connection.destroy();
      } else {
        await discardOrRelease(connection, refusal !== undefined || isOwnRefusal(error));
      }
      // The limit may have been raised meanwhile: the next try uses new connections.
      if (error instanceof AppError && error.code === 'ERR_STORE_PACKET') generation += 1;
      const failure = failures.get(connection.connection);
      throw failure === undefined ? told.error : toStoreError(failure, url);
    } finally {
      watch.end(connection.connection);
    }
  }

  /** A statement that is its own transaction. If it does not get a lock within 10 s, the caller handles the error. */
  const alone = <T>(work: (connection: PoolConnection) => Promise<T>): Promise<T> =>
    retryContention(() => withConnection(work), { after: ['deadlock'], onRetry });
  const whole = <T>(work: (connection: PoolConnection) => Promise<T>): Promise<T> =>
    retryContention(() => withConnection(work), { after: ['deadlock', 'lock-wait'], onRetry });

  const limitOf = (connection: PoolConnection): number =>
    bytesOf.get(connection.connection) ?? statementBytes;

  // Drizzle's own statements take the same path: session settings, and closing connections to a demoted server.
  const client = {
    query: (...args: Parameters<Pool['query']>) =>
      alone(async (connection) => requireWhole(await connection.query(...args))),
    execute: (...args: Parameters<Pool['execute']>) => alone((connection) => connection.execute(...args)),
  } as unknown as Pool;

  return {
    database: url.database,
    drizzle: drizzle({ client }),
    rows: (sql, values) => alone((connection) => rowsOf(connection, sql, values)),
    arrays: (sql, values) => alone((connection) => arraysOf(connection, sql, values)),
    run: (sql, values) => alone((connection) => runOn(connection, sql, values)),
    script: (statements) =>
      withConnection((connection) => scriptOn(connection, statements, limitOf(connection))),
    commit: (statements) =>
      whole((connection) => scriptOn(connection, ['BEGIN', ...statements, 'COMMIT'], limitOf(connection))),
    get statementBytes() {
      return statementBytes;
    },
    async measureStatement() {
      generation += 1;
      await withConnection((connection) => connection.query('DO 0'));
      return statementBytes;
    },
    transaction: (work) =>
      whole(async (connection) => {
        await connection.query('BEGIN');
        const result = await work(sessionOn(connection, limitOf(connection)));
        await connection.query('COMMIT');
        return result;
      }),
    retries: () => retries,
    close: () => pool.end(),
  };
}

/** The connection that Drizzle uses within a transaction. */
function checked(connection: PoolConnection): PoolConnection {
  const query = async (...args: Parameters<PoolConnection['query']>) =>
    requireWhole(await connection.query(...args));
  return { query, execute: connection.execute.bind(connection) } as unknown as PoolConnection;
}

function sessionOn(connection: PoolConnection, maximumBytes: number): Session {
  let typed: MySql2Database | undefined;
  return {
    get drizzle() {
      return (typed ??= drizzle({ client: checked(connection) }));
    },
    rows: (sql, values) => rowsOf(connection, sql, values),
    arrays: (sql, values) => arraysOf(connection, sql, values),
    run: (sql, values) => runOn(connection, sql, values),
    script: (statements) => scriptOn(connection, statements, maximumBytes),
  };
}

/** Whether the program itself aborted a transaction, for example for a missing key: the connection works. */
function isOwnRefusal(error: unknown): boolean {
  return error instanceof AppError && !error.code.startsWith('ERR_STORE');
}

/**
 * Rolls back and releases a working connection, so that its locks are released when the error is thrown. A connection that may be dead is
 * destroyed; the server then rolls back later.
 */
async function discardOrRelease(connection: PoolConnection, works: boolean): Promise<void> {
  if (works) {
    try {
      await connection.query('ROLLBACK');
      connection.release();
      return;
    } catch {
      // The connection was dead.
    }
  }
  connection.destroy();
}
