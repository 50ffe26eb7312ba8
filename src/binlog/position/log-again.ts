import { createConnection, type Connection, type RowDataPacket } from 'mysql2';
import { errnoOf, explainConnectError } from '../../db/connection/connect-error.ts';
import { toConnectionTarget, type DatabaseUrl } from '../../db/connection/database-url.ts';
import { AppError } from '../../lib/errors.ts';
import { withoutValues } from '../../lib/server-error.ts';
import { sessionStatements } from '../../db/connection/session-variables.ts';
import { ChecksumError, ChecksummedEvents } from '../protocol/checksum.ts';
import { asCommandConnection, dumpPacket, ServerCommand } from '../protocol/dump-command.ts';
import { MAX_DUMP_OFFSET } from './log-place.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import { randomServerId } from '../source/log-file.ts';
import type { LogPlace } from '../types.ts';

const role = {
  key: 'source.url',
  unreachable: 'ERR_SOURCE_UNREACHABLE',
  access: 'ERR_SOURCE_ACCESS',
} as const;
/** ER_MASTER_FATAL_ERROR_READING_BINLOG: the server does not have this file, or not this offset in it. */
const NO_SUCH_PLACE = 1236;
/** `take` may have to wait for the outbox. */
const NET_WRITE_TIMEOUT_SECONDS = 600;

/** Receives an event, which is valid only during the call (or until the promise resolves); true ends the reading. */
export type TakeEvent = (event: LogEvent) => boolean | Promise<boolean>;

/** Reads the source's log a second time over its own connections while the reader waits. */
export class LogAgain {
  readonly #url: DatabaseUrl;
  readonly #open = new Set<Connection>();
  readonly #ended = Promise.withResolvers<never>();
  #closed = false;

  constructor(url: DatabaseUrl) {
    this.#url = url;
    this.#ended.promise.catch(() => undefined);
  }

  /** Returns the names of the log's files, oldest first. Needs REPLICATION CLIENT. */
  async files(): Promise<string[]> {
    return this.#with(async (connection) => {
      const rows = await query(connection, 'SHOW BINARY LOGS');
      return rows.map((row) => String(row['Log_name']));
    });
  }

  /**
   * Passes events from a place on (beyond 4 GiB: from the start of the file) to `take` until it returns true or the log ends. Returns
   * false when the server no longer has the place. Rethrows errors of `take`; a broken connection is a retryable AppError.
   */
  async read({ file, offset }: LogPlace, take: TakeEvent): Promise<boolean> {
    const payload = dumpPacket({
      serverId: randomServerId(),
      file,
      offset: offset > MAX_DUMP_OFFSET ? 4 : offset,
      endsWithLog: true,
    });
    return this.#with(async (connection) => {
      for (const each of sessionStatements({
        kind: 'dump',
        netWriteTimeoutSeconds: NET_WRITE_TIMEOUT_SECONDS,
      }))
        await query(connection, each);
      await query(
        connection,
        'SET @master_binlog_checksum = @@global.binlog_checksum, @source_binlog_checksum = @@global.binlog_checksum, @mariadb_slave_capability = 4',
      );
      try {
        await dump(connection, payload, take);
        return true;
      } catch (error) {
        if (error instanceof ReadError && errnoOf(error.cause) === NO_SUCH_PLACE) return false;
        throw error;
      }
    });
  }

  /** Aborts all reads and closes their connections. */
  close(): void {
    this.#closed = true;
    this.#ended.reject(new Error('the reader ended'));
    for (const connection of this.#open) hangUp(connection);
    this.#open.clear();
  }

  #explained(error: unknown): AppError {
    return (
      explainConnectError(error, this.#url, role) ??
      new AppError('ERR_SOURCE_UNREACHABLE', 'The log could not be read again.', {
        cause: error instanceof Error ? withoutValues(error) : error,
        retryable: true,
      })
    );
  }

  async #with<T>(work: (connection: Connection) => Promise<T>): Promise<T> {
    if (this.#closed) throw new Error('the reader ended');
    const connection = createConnection({
      ...toConnectionTarget(this.#url),
      charset: 'utf8mb4',
      connectTimeout: 10_000,
      enableKeepAlive: true,
    });
    connection.on('error', () => undefined);
    this.#open.add(connection);
    try {
      return await Promise.race([work(connection), this.#ended.promise]);
    } catch (error) {
      throw error instanceof ReadError ? this.#explained(error.cause) : error;
    } finally {
      this.#open.delete(connection);
      hangUp(connection);
    }
  }
}

/** The connection failed, or the server refused; not an error of `take`. */
class ReadError extends Error {
  constructor(cause: Error) {
    super('the log could not be read again', { cause });
  }
}

function query(connection: Connection, sql: string): Promise<RowDataPacket[]> {
  return new Promise((resolve, reject) => {
    connection.query<RowDataPacket[]>(sql, (error, rows) =>
      error ? reject(new ReadError(error)) : resolve(rows),
    );
  });
}

function dump(connection: Connection, payload: Buffer, take: TakeEvent): Promise<unknown> {
  const events = new ChecksummedEvents();
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const command = new ServerCommand(payload, {
    onPacket(buffer, start, end) {
      try {
        const taken = take(events.read(buffer, start, end));
        if (typeof taken === 'boolean') {
          if (taken) resolve(undefined);
          return taken;
        }
        command.pause();
        taken.then((isDone) => (isDone ? resolve(undefined) : command.resume()), reject);
        return false;
      } catch (error) {
        reject(error instanceof ChecksumError ? new ReadError(error) : error);
        return true;
      }
    },
    onEnd: () => resolve(undefined),
    onError: (error) => reject(new ReadError(error)),
  });
  asCommandConnection(connection).addCommand(command);
  return promise;
}

function hangUp(connection: Connection): void {
  // Destroy the socket first: mysql2 would still deliver the packets that it has buffered.
  asCommandConnection(connection).stream.destroy();
  connection.destroy();
}
