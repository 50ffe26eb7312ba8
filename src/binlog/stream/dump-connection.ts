import { createConnection, type Connection, type RowDataPacket } from 'mysql2';
import { errnoOf, explainConnectError } from '../../db/connection/connect-error.ts';
import { toConnectionTarget, type DatabaseUrl } from '../../db/connection/database-url.ts';
import { sessionStatements } from '../../db/connection/session-variables.ts';
import { systemClock } from '../../lib/clock.ts';
import { AppError, messageOf } from '../../lib/errors.ts';
import { withoutValues } from '../../lib/server-error.ts';
import { encodeGtidSet, parseGtidSet } from '../gtid/gtid-set.ts';
import { HaltError } from '../halt.ts';
import { MAX_DUMP_OFFSET } from '../position/log-place.ts';
import { ChecksumError, ChecksummedEvents } from '../protocol/checksum.ts';
import {
  asCommandConnection,
  dumpGtidPacket,
  dumpPacket,
  registerPacket,
  ServerCommand,
} from '../protocol/dump-command.ts';
import { classifyDumpError } from '../protocol/dump-error.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import { requireServer } from '../source/require-server.ts';
import type { Flavour, LogPlace, Position } from '../types.ts';

/** With this value a connection survived a pause of 90 s; with the default of 60 s the server closed it after 65 s. */
const NET_WRITE_TIMEOUT_SECONDS = 600;

export interface DumpOptions {
  url: DatabaseUrl;
  serverUuid?: string;
  flavour: Flavour;
  position: Position;
  serverId: number;
  replicaUuid: string;
  heartbeatMs: number;
  byFile?: boolean;
  endsWithLog?: boolean;
}

export interface DumpVerbs {
  /** Receives an event, which is valid only during the call; returns true to end the dump. An exception ends the dump as well. */
  onEvent(event: LogEvent): boolean;
  onEnd(): void;
  onError(error: Error): void;
}

/** The connection over which a server sends its log. */
export class DumpConnection {
  readonly #options: DumpOptions;
  readonly #verbs: DumpVerbs;
  readonly #connection: Connection;
  readonly #events = new ChecksummedEvents();
  #command: ServerCommand | undefined;
  #aheadMs = 0;

  constructor(options: DumpOptions, verbs: DumpVerbs) {
    this.#options = options;
    this.#verbs = verbs;
    this.#connection = createConnection({
      ...toConnectionTarget(options.url),
      charset: 'utf8mb4',
      connectTimeout: 10_000,
      enableKeepAlive: true,
    });
    this.#connection.on('error', (error: Error) => verbs.onError(this.#explained(error)));
  }

  /** How far the server's clock is ahead of ours in milliseconds, once `askTime` has resolved. */
  get aheadMs(): number {
    return this.#aheadMs;
  }

  get bytesRead(): number {
    return asCommandConnection(this.#connection).stream.bytesRead;
  }

  /** Sets up the session. Throws if the connection leads to a server other than `serverUuid`. */
  async begin(): Promise<void> {
    const { serverUuid } = this.#options;
    for (const statement of this.#sessionStatements()) await this.#query(statement);
    if (serverUuid !== undefined) await requireServer((sql) => this.#query(sql), serverUuid);
  }

  /**
   * Queries the server's time and the end of its log: everything after that end is later. MariaDB's log contains the times of sessions,
   * MySQL's the server's own.
   */
  async askTime(): Promise<{ end: LogPlace | null; atMs: number }> {
    const askedMs = systemClock.now();
    const [row] = await this.#query('SELECT CAST(UTC_TIMESTAMP(3) AS CHAR) AS now');
    const atMs = Date.parse(`${String(row?.['now']).replace(' ', 'T')}Z`);
    this.#aheadMs = atMs - (askedMs + systemClock.now()) / 2;
    // Without the privilege the preflight fails; then the reported time is less precise.
    const [status] = await this.#query('SHOW MASTER STATUS').catch(() => []);
    const end = status ? { file: String(status['File']), offset: Number(status['Position']) } : null;
    return { end, atMs };
  }

  /** Registers as a replica, so that SHOW REPLICAS on the source lists this reader. */
  register(): Promise<void> {
    return new Promise((resolve, reject) => {
      const command = new ServerCommand(
        registerPacket({ serverId: this.#options.serverId, host: 'odontology-webhooks' }),
        {
          onPacket: () => {
            resolve();
            return true;
          },
          onEnd: resolve,
          onError: (error) => reject(this.#explained(error)),
        },
      );
      asCommandConnection(this.#connection).addCommand(command);
    });
  }

  /** Requests the log. */
  dump(): void {
    const { flavour, position, serverId, endsWithLog = false } = this.#options;
    const payload =
      flavour === 'mysql' && position.gtid !== null
        ? dumpGtidPacket({ serverId, gtidSet: encodeGtidSet(parseGtidSet(position.gtid)), endsWithLog })
        : dumpPacket({
            serverId,
            file: position.file,
            offset: position.offset > MAX_DUMP_OFFSET ? 4 : position.offset,
            endsWithLog,
          });
    this.#command = new ServerCommand(payload, {
      onPacket: (buffer, start, end) => this.#receive(buffer, start, end),
      onEnd: () => this.#verbs.onEnd(),
      onError: (error) => this.#verbs.onError(this.#refused(error)),
    });
    asCommandConnection(this.#connection).addCommand(this.#command);
  }

  pause(): void {
    this.#command?.pause();
  }

  resume(): void {
    this.#command?.resume();
  }

  close(): void {
    this.#command?.close();
    const connection = asCommandConnection(this.#connection);
    // Destroy the socket first: mysql2 would still deliver the packets that it has buffered.
    connection.stream.destroy();
    connection.destroy();
  }

  #receive(buffer: Buffer, start: number, end: number): boolean {
    try {
      return this.#verbs.onEvent(this.#events.read(buffer, start, end));
    } catch (error) {
      this.#verbs.onError(error instanceof ChecksumError ? lost(error) : (error as Error));
      return true;
    }
  }

  #sessionStatements(): string[] {
    const { flavour, heartbeatMs, position, replicaUuid, byFile = false } = this.#options;
    const heartbeatNs = heartbeatMs * 1_000_000;
    const common = [
      ...sessionStatements({ kind: 'dump', netWriteTimeoutSeconds: NET_WRITE_TIMEOUT_SECONDS }),
      `SET @master_binlog_checksum = @@global.binlog_checksum, @master_heartbeat_period = ${heartbeatNs}, @slave_uuid = '${replicaUuid}'`,
    ];
    if (flavour === 'mysql') {
      return [
        ...common,
        `SET @source_binlog_checksum = @@global.binlog_checksum, @source_heartbeat_period = ${heartbeatNs}, @replica_uuid = '${replicaUuid}'`,
      ];
    }
    // Capability 4: without it the server rewrites GTID events into plain BEGINs.
    return [
      ...common,
      'SET @mariadb_slave_capability = 4, @slave_gtid_strict_mode = 1',
      // If it is not NULL, the server looks for the GTIDs instead of the file.
      byFile ? 'SET @slave_connect_state = NULL' : `SET @slave_connect_state = '${position.gtid ?? ''}'`,
    ];
  }

  #query(sql: string): Promise<Record<string, unknown>[]> {
    return new Promise((resolve, reject) => {
      this.#connection.query(sql, (error, rows) =>
        error
          ? reject(this.#explained(error))
          : resolve(Array.isArray(rows) ? (rows as RowDataPacket[]) : []),
      );
    });
  }

  #explained(error: Error): AppError {
    const role = {
      key: 'source.url',
      unreachable: 'ERR_SOURCE_UNREACHABLE',
      access: 'ERR_SOURCE_ACCESS',
    } as const;
    return explainConnectError(error, this.#options.url, role) ?? lost(error);
  }

  /** Converts the server's error that ended the dump: retryable, or a halt. */
  #refused(error: Error): AppError {
    const { flavour, position } = this.#options;
    const { halt, kind, message, remedy, retryable } = classifyDumpError(
      errnoOf(error),
      error.message,
      flavour,
    );
    if (halt !== null)
      return new HaltError(
        {
          reason: halt,
          message,
          remedy,
          position,
          transactionId: null,
          table: null,
          missing: null,
          span: { fromMs: null, untilMs: null },
        },
        withoutValues(error),
      );
    const code = kind === 'server-id-taken' ? 'ERR_SERVER_ID_TAKEN' : 'ERR_SOURCE_UNREACHABLE';
    return new AppError(code, message, { remedy, retryable, cause: withoutValues(error) });
  }
}

/** Wraps an error that ended the stream in a retryable AppError; returns an AppError unchanged. */
export function lost(error: Error): AppError {
  return error instanceof AppError
    ? error
    : new AppError('ERR_SOURCE_UNREACHABLE', `The binlog stream ended: ${messageOf(error)}.`, {
        cause: withoutValues(error),
        retryable: true,
      });
}
