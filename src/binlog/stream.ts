import { randomUUID } from 'node:crypto';
import { createConnection, type Connection, type RowDataPacket } from 'mysql2';
import { monotonicMs, systemClock } from '../lib/clock.ts';
import { toConnectionTarget, type DatabaseUrl } from '../db/connection/database-url.ts';
import { errnoOf, explainConnectError } from '../db/connection/connect-error.ts';
import { AppError, messageOf } from '../lib/errors.ts';
import { withoutValues } from '../lib/server-error.ts';
import { sessionStatements } from '../db/connection/session-variables.ts';
import {
  asCommandConnection,
  dumpGtidPacket,
  dumpPacket,
  registerPacket,
  ServerCommand,
} from './protocol/dump-command.ts';
import { ChecksumError, ChecksummedEvents } from './protocol/checksum.ts';
import { classifyDumpError } from './protocol/dump-error.ts';
import { eventType } from './protocol/event-type.ts';
import { createGtidTracker } from './gtid/gtid.ts';
import { encodeGtidSet, parseGtidSet } from './gtid/gtid-set.ts';
import { HaltError } from './halt.ts';
import { LogClock } from './transaction/log-clock.ts';
import { LogAgain } from './position/log-again.ts';
import { furthest, MAX_DUMP_OFFSET, placeOfHeartbeat } from './position/log-place.ts';
import type { LogEvent } from './protocol/log-event.ts';
import { randomServerId } from './source/log-file.ts';
import { requireServer } from './source/require-server.ts';
import { createRereadPrepared } from './transaction/reread-prepared.ts';
import type { LoggedStatement } from './statement/read-statement.ts';
import { StatementPolicy, type StatementPolicyOptions } from './statement/statement-policy.ts';
import type { WatchOptions } from './statement/watched-names.ts';
import { TransactionAssembler } from './transaction/transaction-assembler.ts';
import type { AssemblerOptions } from './transaction/assembler-options.ts';
import type { LogPlace, Position, TransactionPart } from './types.ts';

/** So many heartbeats may be missed before the connection counts as dead. */
const MISSED_HEARTBEATS = 3;
/** What is taken is in memory besides what waits: no more at a time than makes good batches. */
const MAX_TAKEN_BYTES = 4 * 1024 * 1024;
/** A reader that is held back longer than this disconnects: the server would cut it anyway, without the client noticing. */
const HELD_BACK_MS = 30_000;
/** Survived a pause of 90 s where the default of 60 s was cut at 65 s. */
const NET_WRITE_TIMEOUT_SECONDS = 600;

/** What was sent before may be in the buffers of the connection for so long. */
const HEARTBEAT_AGE_MS = 60_000;
const TRANSIT_MS = 1_000;

export interface StreamOptions
  extends
    WatchOptions,
    Pick<
      AssemblerOptions,
      | 'flavour'
      | 'charsetOf'
      | 'columnsOf'
      | 'namedIn'
      | 'hintsOf'
      | 'waived'
      | 'baseline'
      | 'onUnreadable'
      | 'parents'
      | 'ownSchema'
      | 'byFile'
      | 'trustedFile'
    > {
  url: DatabaseUrl;
  /**
   * `SourceIdentity.serverUuid` of the server whose log is to be read. A connection that leads to another one reads nothing: the
   * position was proved on this server. Left out, any server is read.
   */
  serverUuid?: string;
  position: Position;
  /** What is known of the time up to the position: the checkpoint keeps it. */
  time?: { committedAtMs: number | null; passedMs: number | null };
  /** Unique among the source's replicas. */
  serverId: number;
  /** Shown by the source beside the server id. */
  replicaUuid: string;
  heartbeatMs: number;
  /** Bytes that may wait to be taken. */
  bufferBytes: number;
  /** Reads what the log holds now, and ends there. */
  endsWithLog?: boolean;
  /** How long the server is held back, at most, while the buffer is full; default 30 s. */
  heldBackMs?: number;
  /** For a reader that only looks for statements: is given each of them, and none of them stops it. */
  onStatement?(statement: LoggedStatement): void;
}

export interface BinlogStream {
  /**
   * What has arrived, at least one part, up to 4 MiB; waits when there is nothing. After an error what arrived before it is
   * still given out, then the error is thrown: a HaltError, or an AppError that is retryable. Empty after `close`, and behind the
   * end of a log that is read only so far.
   */
  take(): Promise<TransactionPart[]>;
  /** Whether `take` would give something at once. */
  hasMore(): boolean;
  /** Resolves as soon as `take` would give something, or throw, or say that this is the end. */
  untilMore(): Promise<void>;
  /** Milliseconds since the server was last heard: a heartbeat counts. */
  silentMs(): number;
  /**
   * How far everything was read and is done with: who calls `take` is done with what it gave before. Null until the server has named
   * the file that it reads from: before that, the position may be one of another server of the same history.
   */
  doneTo(): LogPlace | null;
  close(): void;
}

/**
 * Opens a new reader at a position: a connection of its own, which lives until its first error. The caller opens another one
 * from its checkpoint.
 */
export async function openStream(options: StreamOptions): Promise<BinlogStream> {
  const connection = createConnection({
    ...toConnectionTarget(options.url),
    charset: 'utf8mb4',
    connectTimeout: 10_000,
    enableKeepAlive: true,
  });
  const reader = new StreamReader(connection, options);
  await reader.begin();
  return reader;
}

class StreamReader implements BinlogStream {
  readonly #connection: Connection;
  readonly #options: StreamOptions;
  readonly #assembler: TransactionAssembler;
  readonly #clock: LogClock;
  /** By how much the server's clock is ahead of ours. */
  #aheadMs = 0;
  readonly #watchdog: NodeJS.Timeout;
  #command: ServerCommand | undefined;
  #queue: TransactionPart[] = [];
  #queuedBytes = 0;
  /** For who waits for the next part. */
  #arrival: PromiseWithResolvers<void> | undefined;
  #error: Error | undefined;
  #closed = false;
  /** The whole log was read, and that was all that was wanted. */
  #finished = false;
  readonly #events = new ChecksummedEvents();
  /** For XA transactions that were prepared long before they commit. */
  readonly #again: LogAgain;
  #heardAt = monotonicMs();
  #bytesRead = 0;
  #heldBackSince: number | undefined;
  /** When reading was last resumed after it had been held back. */
  #heldBackAt = -Infinity;
  #unpacking = false;
  /** How far what was taken last goes, and what was taken before it; null until the server has named the file that it reads from. */
  #given: LogPlace | null = null;
  #done: LogPlace | null = null;
  #isIdle = false;
  /** Where the last heartbeat stood. */
  #heard: LogPlace | undefined;
  #roomWaiter: (() => void) | undefined;

  constructor(connection: Connection, options: StreamOptions) {
    this.#connection = connection;
    this.#options = options;
    const { position, time } = options;
    const { gtid } = position;
    this.#clock = new LogClock({ now: () => systemClock.now() + this.#aheadMs }, time?.committedAtMs);
    for (const ms of [time?.passedMs, position.fileCreatedAt && position.fileCreatedAt * 1_000])
      if (ms !== null && ms !== undefined) this.#clock.pass(ms);
    this.#again = new LogAgain(options.url);
    const { onUnreadable, ...rest } = options;
    const scan: StatementPolicyOptions['scanLog'] = (from, test) => scanLog(options, from, test);
    const statements = new StatementPolicy({ ...options, scanLog: scan });
    const shared = { ...rest, statements, clock: this.#clock, room: () => this.#room() };
    this.#assembler = new TransactionAssembler({
      ...shared,
      ...(onUnreadable && { onUnreadable }),
      gtidSet: gtid === null ? null : createGtidTracker(options.flavour, gtid),
      rereadPrepared: createRereadPrepared(this.#again, shared),
      emit: (part) => this.#push(part),
    });
    connection.on('error', (error: Error) => this.#fail(this.#explained(error)));
    this.#watchdog = setInterval(() => this.#watch(), Math.max(50, options.heartbeatMs / 2));
    this.#watchdog.unref();
  }

  async begin(): Promise<void> {
    const { flavour, position, serverId, serverUuid, endsWithLog = false } = this.#options;
    try {
      for (const statement of this.#sessionStatements()) await this.#query(statement);
      if (serverUuid !== undefined) await requireServer((sql) => this.#query(sql), serverUuid);
      if (flavour === 'mariadb') await this.#askTime();
      await this.#register();
    } catch (error) {
      this.close();
      throw error;
    }
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
      onEnd: () => this.#end(),
      onError: (error) => this.#fail(this.#refused(error)),
    });
    asCommandConnection(this.#connection).addCommand(this.#command);
  }

  async take(): Promise<TransactionPart[]> {
    this.#done = this.#given;
    while (this.#queue.length === 0) {
      if (this.#closed || this.#finished) return [];
      if (this.#error) throw this.#error;
      this.#isIdle = true;
      await this.untilMore();
    }
    this.#isIdle = false;
    let bytes = 0;
    let count = 0;
    while (count < this.#queue.length && bytes < MAX_TAKEN_BYTES) bytes += this.#queue[count++]!.bytes;
    const taken = this.#queue.splice(0, count);
    this.#queuedBytes -= bytes;
    if (this.#queue.length === 0) this.#given = this.#assembler.place;
    else this.#given = taken.at(-1)?.commit?.position ?? this.#given;
    if (this.#queuedBytes <= this.#options.bufferBytes) this.#release();
    return taken;
  }

  hasMore(): boolean {
    return this.#queue.length > 0;
  }

  async untilMore(): Promise<void> {
    if (this.#queue.length > 0 || this.#finished || this.#ended()) return;
    await (this.#arrival ??= Promise.withResolvers()).promise;
  }

  #tellArrival(): void {
    this.#arrival?.resolve();
    this.#arrival = undefined;
  }

  silentMs(): number {
    return this.#heldBackSince === undefined ? monotonicMs() - this.#heardAt : 0;
  }

  doneTo(): LogPlace | null {
    const isAll = this.#isIdle && this.#queue.length === 0 && !this.#unpacking;
    return isAll && this.#given ? furthest(this.#assembler.place, this.#heard) : this.#done;
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
    this.#disconnect();
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
      // Where it is not NULL the server looks for the GTIDs, and not for the file.
      byFile ? 'SET @slave_connect_state = NULL' : `SET @slave_connect_state = '${position.gtid ?? ''}'`,
    ];
  }

  #explained(error: Error): AppError {
    const role = {
      key: 'source.url',
      unreachable: 'ERR_SOURCE_UNREACHABLE',
      access: 'ERR_SOURCE_ACCESS',
    } as const;
    return explainConnectError(error, this.#options.url, role) ?? lost(error);
  }

  /** What the server says against the dump itself: another try, or a halt. */
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

  /**
   * Asks for the server's time and where its log ends: what follows is later. MariaDB's log has the time of sessions,
   * MySQL's its own.
   */
  async #askTime(): Promise<void> {
    const askedMs = systemClock.now();
    const [row] = await this.#query('SELECT CAST(UTC_TIMESTAMP(3) AS CHAR) AS now');
    const serverMs = Date.parse(`${String(row?.['now']).replace(' ', 'T')}Z`);
    this.#aheadMs = serverMs - (askedMs + systemClock.now()) / 2;
    // Without the privilege the preflight fails; the reported time is then less exact.
    const [status] = await this.#query('SHOW MASTER STATUS').catch(() => []);
    if (status)
      this.#assembler.time.expectEnd(
        { file: String(status['File']), offset: Number(status['Position']) },
        serverMs,
      );
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

  /** Registers as a replica, so that SHOW REPLICAS on the source lists this reader. */
  #register(): Promise<void> {
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

  /** Returns true to end the dump. */
  #receive(buffer: Buffer, start: number, end: number): boolean {
    this.#heardAt = monotonicMs();
    try {
      const event = this.#events.read(buffer, start, end);
      if (event.type === eventType.heartbeat) this.#noteHeartbeat(event);
      const pending = this.#assembler.handle(event);
      // A dump begins with the name of the server's own file.
      if (event.type === eventType.rotate && !this.#given) this.#given = this.#done = this.#assembler.place;
      if (pending) this.#await(pending);
      return false;
    } catch (error) {
      this.#fail(error instanceof ChecksumError ? lost(error) : (error as Error));
      return true;
    }
  }

  /** The server had nothing more to send. One that waited in a full buffer says nothing of the present. */
  #noteHeartbeat(event: LogEvent): void {
    this.#heard = placeOfHeartbeat(event);
    if (monotonicMs() - this.#heldBackAt > HEARTBEAT_AGE_MS) this.#clock.pass(this.#clock.now() - TRANSIT_MS);
  }

  /** A large compressed transaction is unpacked, a prepared one read again, a statement asked about: nothing more is read meanwhile. */
  #await(pending: Promise<void>): void {
    this.#unpacking = true;
    this.#command?.pause();
    pending.then(
      () => {
        this.#unpacking = false;
        this.#heardAt = monotonicMs();
        if (!this.#error && !this.#closed && this.#heldBackSince === undefined) this.#command?.resume();
      },
      (error: unknown) => this.#fail(error as Error),
    );
  }

  #push(part: TransactionPart): void {
    const last = this.#queue.at(-1);
    // Transactions without a watched row only move the position on: the last of them says it all.
    if (last && isBare(last) && isBare(part)) this.#queue[this.#queue.length - 1] = part;
    else this.#queue.push(part);
    this.#queuedBytes += part.bytes;
    if (this.#queuedBytes > this.#options.bufferBytes) this.#holdBack();
    this.#tellArrival();
  }

  /** What a producer that cannot be paused by its socket waits for. It ends with the reader: what it holds may be huge. */
  async #room(): Promise<void> {
    while (this.#heldBackSince !== undefined && !this.#ended()) {
      await new Promise<void>((resolve) => {
        this.#roomWaiter = resolve;
      });
    }
    if (this.#ended()) throw new Error('the reader ended');
  }

  #ended(): boolean {
    return this.#closed || this.#error !== undefined;
  }

  #tellRoom(): void {
    this.#roomWaiter?.();
    this.#roomWaiter = undefined;
  }

  #holdBack(): void {
    if (this.#heldBackSince !== undefined) return;
    this.#heldBackSince = monotonicMs();
    this.#command?.pause();
  }

  #release(): void {
    if (this.#heldBackSince === undefined || this.#error || this.#closed) return;
    this.#heldBackSince = undefined;
    this.#heldBackAt = this.#heardAt = monotonicMs();
    this.#tellRoom();
    if (!this.#unpacking) this.#command?.resume();
  }

  /** One event may be a gigabyte: while its bytes come, the server is not silent. */
  #listen(): void {
    const { bytesRead } = asCommandConnection(this.#connection).stream;
    if (bytesRead === this.#bytesRead) return;
    this.#bytesRead = bytesRead;
    this.#heardAt = monotonicMs();
  }

  #watch(): void {
    this.#listen();
    const heldBackMs = this.#heldBackSince === undefined ? 0 : monotonicMs() - this.#heldBackSince;
    const limitMs = this.#options.heldBackMs ?? HELD_BACK_MS;
    if (heldBackMs > limitMs) {
      this.#fail(lost(new Error(`the outbox took nothing for ${limitMs / 1_000} s; the buffer is full`)));
    } else if (!this.#unpacking && this.silentMs() > this.#options.heartbeatMs * MISSED_HEARTBEATS) {
      this.#fail(lost(new Error(`the server was silent for ${MISSED_HEARTBEATS} heartbeats`)));
    }
  }

  #end(): void {
    if (!this.#options.endsWithLog) {
      this.#fail(lost(new Error('the server ended the stream')));
      return;
    }
    this.#finished = true;
    this.#disconnect();
  }

  /** The first error ends the reader for good. */
  #fail(error: Error): void {
    if (this.#error || this.#closed || this.#finished) return;
    this.#error = error;
    this.#disconnect();
  }

  #disconnect(): void {
    clearInterval(this.#watchdog);
    this.#command?.close();
    this.#again.close();
    const connection = asCommandConnection(this.#connection);
    // The socket first: mysql2 would still deliver the packets that it has buffered.
    connection.stream.destroy();
    connection.destroy();
    this.#tellRoom();
    this.#tellArrival();
  }
}

/**
 * Reads the statements of the log from a position to its present end, by a reader of its own; true as soon as one satisfies the test.
 * A log that cannot be read throws as the other reader would.
 */
async function scanLog(
  options: StreamOptions,
  position: Position,
  test: (statement: LoggedStatement) => boolean,
): Promise<boolean> {
  let isFound = false;
  const stream = await openStream({
    ...options,
    position,
    // A reader with the id of another one would end it.
    serverId: randomServerId(),
    replicaUuid: randomUUID(),
    endsWithLog: true,
    columnsOf: () => undefined,
    namedIn: () => undefined,
    isWatchedSchema: () => false,
    watchedTables: () => [],
    baseline: {},
    parents: { parentOf: () => undefined, concerns: () => false },
    // What stops the other reader is reported once.
    onUnreadable: () => undefined,
    onStatement: (statement) => (isFound ||= test(statement)),
  });
  try {
    while (!isFound && (await stream.take()).length > 0);
    return isFound;
  } finally {
    stream.close();
  }
}

/** Whether a part only moves the position on. */
export function isBare({ commit, rows, firstOrdinal, ddl, parents, definition }: TransactionPart): boolean {
  return (
    commit !== null &&
    commit.baseline === undefined &&
    rows.length === 0 &&
    firstOrdinal === 0 &&
    ddl.length === 0 &&
    parents === undefined &&
    definition === undefined
  );
}

function lost(error: Error): AppError {
  return error instanceof AppError
    ? error
    : new AppError('ERR_SOURCE_UNREACHABLE', `The binlog stream ended: ${messageOf(error)}.`, {
        cause: withoutValues(error),
        retryable: true,
      });
}
