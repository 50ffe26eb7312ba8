import { randomUUID } from 'node:crypto';
import type { DatabaseUrl } from '../db/connection/database-url.ts';
import { systemClock } from '../lib/clock.ts';
import { createGtidTracker } from './gtid/gtid.ts';
import { LogAgain } from './position/log-again.ts';
import { placeOfHeartbeat } from './position/log-place.ts';
import { eventType } from './protocol/event-type.ts';
import type { LogEvent } from './protocol/log-event.ts';
import { randomServerId } from './source/log-file.ts';
import type { LoggedStatement } from './statement/read-statement.ts';
import { StatementPolicy } from './statement/statement-policy.ts';
import type { WatchOptions } from './statement/watched-names.ts';
import { DoneTo } from './stream/done-to.ts';
import { DumpConnection, lost } from './stream/dump-connection.ts';
import { Flow } from './stream/flow.ts';
import { PartQueue } from './stream/part-queue.ts';
import type { ReaderOptions } from './transaction/assembler-options.ts';
import { clockBehind, type LogClock } from './transaction/log-clock.ts';
import { createRereadPrepared } from './transaction/xa/reread-prepared.ts';
import { TransactionAssembler } from './transaction/transaction-assembler.ts';
import type { LogPlace, Position, TransactionPart } from './types.ts';

/** Events that the server sent while it was held back may stay in the connection's buffers for this long. */
const HEARTBEAT_AGE_MS = 60_000;
const TRANSIT_MS = 1_000;

export interface StreamOptions extends WatchOptions, ReaderOptions {
  url: DatabaseUrl;
  /**
   * `SourceIdentity.serverUuid` of the server whose log is read. A connection that leads to another server reads nothing, because the
   * position was proved on this server. If omitted, any server is read.
   */
  serverUuid?: string;
  position: Position;
  /** What is known about the time up to the position; stored in the checkpoint. */
  time?: { committedAtMs: number | null; passedMs: number | null };
  /** Must be unique among the source's replicas. */
  serverId: number;
  /** The source shows it next to the server id. */
  replicaUuid: string;
  heartbeatMs: number;
  /** Limit of buffered bytes that `take` has not returned yet. */
  bufferBytes: number;
  /** Reads to the current end of the log and stops there. */
  endsWithLog?: boolean;
  /** Maximum time for which the server is held back while the buffer is full; default 30 s. */
  heldBackMs?: number;
  /** For a reader that only searches for statements: receives each of them, and none of them stops the reader. */
  onStatement?(statement: LoggedStatement): void;
}

export interface BinlogStream {
  /**
   * Returns the parts that have arrived, at least one, up to 4 MiB; waits when there are none. After an error it first returns what
   * arrived before the error, then throws it: a HaltError, or a retryable AppError. Empty after `close`, and after the end of the log
   * with `endsWithLog`.
   */
  take(): Promise<TransactionPart[]>;
  /** Whether `take` would return something at once. */
  hasMore(): boolean;
  /** Resolves as soon as `take` would return or throw. */
  untilMore(): Promise<void>;
  /** Milliseconds since the server last sent anything, including heartbeats. */
  silentMs(): number;
  /**
   * Up to where everything was read and processed: calling `take` confirms that the parts returned before were processed. Null until
   * the server has named the file that it reads from: before that, the position may belong to another server of the same history.
   */
  doneTo(): LogPlace | null;
  close(): void;
}

/**
 * Opens a new reader at a position, with its own connection, which lives until its first error. The caller then opens another reader
 * from its checkpoint.
 */
export async function openStream(options: StreamOptions): Promise<BinlogStream> {
  const reader = new StreamReader(options);
  await reader.begin();
  return reader;
}

class StreamReader implements BinlogStream {
  readonly #options: StreamOptions;
  readonly #connection: DumpConnection;
  readonly #assembler: TransactionAssembler;
  readonly #clock: LogClock;
  readonly #watchdog: NodeJS.Timeout;
  /** Rereads XA transactions that were prepared long before they commit. */
  readonly #again: LogAgain;
  readonly #queue = new PartQueue();
  readonly #flow = new Flow();
  readonly #doneTo = new DoneTo();
  /** `finished`: the whole log was read, as requested with `endsWithLog`. */
  #end: 'finished' | 'closed' | Error | undefined;
  /** The assembler is still handling an event, and everything after it must wait. */
  #isPaused = false;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.#connection = new DumpConnection(options, {
      onEvent: (event) => this.#receive(event),
      onEnd: () => this.#finish(),
      onError: (error) => this.#fail(error),
    });
    this.#clock = clockBehind(options, { now: () => systemClock.now() + this.#connection.aheadMs });
    this.#again = new LogAgain(options.url);
    const { onUnreadable, ...rest } = options;
    const statements = new StatementPolicy({
      ...options,
      scanLog: (from, test) => scanLog(options, from, test),
    });
    const shared = { ...rest, statements, clock: this.#clock, room: () => this.#room() };
    const { gtid } = options.position;
    this.#assembler = new TransactionAssembler({
      ...shared,
      ...(onUnreadable && { onUnreadable }),
      gtidSet: gtid === null ? null : createGtidTracker(options.flavour, gtid),
      rereadPrepared: createRereadPrepared(this.#again, shared),
      emit: (part) => this.#push(part),
    });
    this.#watchdog = setInterval(() => this.#watch(), Math.max(50, options.heartbeatMs / 2));
    this.#watchdog.unref();
  }

  async begin(): Promise<void> {
    try {
      await this.#connection.begin();
      if (this.#options.flavour === 'mariadb') {
        const { end, atMs } = await this.#connection.askTime();
        if (end) this.#assembler.time.expectEnd(end, atMs);
      }
      await this.#connection.register();
    } catch (error) {
      this.close();
      throw error;
    }
    this.#connection.dump();
  }

  async take(): Promise<TransactionPart[]> {
    this.#doneTo.ask();
    while (this.#queue.isEmpty) {
      if (this.#end instanceof Error) throw this.#end;
      if (this.#end) return [];
      this.#doneTo.wait();
      await this.untilMore();
    }
    const taken = this.#queue.take();
    this.#doneTo.give(this.#queue.isEmpty ? this.#assembler.place : taken.at(-1)?.commit?.position);
    if (this.#queue.bytes <= this.#options.bufferBytes) this.#release();
    return taken;
  }

  hasMore(): boolean {
    return !this.#queue.isEmpty;
  }

  async untilMore(): Promise<void> {
    if (this.#queue.isEmpty && !this.#end) await this.#queue.next();
  }

  silentMs(): number {
    return this.#flow.silentMs;
  }

  doneTo(): LogPlace | null {
    return this.#doneTo.place(this.#queue.isEmpty && !this.#isPaused ? this.#assembler.place : null);
  }

  close(): void {
    this.#end = 'closed';
    this.#queue.clear();
    this.#disconnect();
  }

  /** Returns true to end the dump. */
  #receive(event: LogEvent): boolean {
    this.#flow.hear();
    if (event.type === eventType.heartbeat) this.#noteHeartbeat(event);
    const pending = this.#assembler.handle(event);
    if (event.type === eventType.rotate) this.#doneTo.name(this.#assembler.place);
    if (pending) this.#await(pending);
    return false;
  }

  /** The server had nothing more to send. A heartbeat that waited in a full buffer shows nothing about the present. */
  #noteHeartbeat(event: LogEvent): void {
    this.#doneTo.hear(placeOfHeartbeat(event));
    if (this.#flow.sinceHeldMs > HEARTBEAT_AGE_MS) this.#clock.pass(this.#clock.now() - TRANSIT_MS);
  }

  /** Stops reading while a large transaction is decompressed, a prepared one is reread, or the source is queried about a statement. */
  #await(pending: Promise<void>): void {
    this.#isPaused = true;
    this.#connection.pause();
    pending.then(
      () => {
        this.#isPaused = false;
        this.#flow.hear();
        if (!this.#isBroken() && !this.#flow.isHeld) this.#connection.resume();
      },
      (error: unknown) => this.#fail(error as Error),
    );
  }

  #push(part: TransactionPart): void {
    this.#queue.push(part);
    if (this.#queue.bytes <= this.#options.bufferBytes || this.#flow.isHeld) return;
    this.#flow.hold();
    this.#connection.pause();
  }

  #release(): void {
    if (!this.#flow.isHeld || this.#isBroken()) return;
    this.#flow.release();
    if (!this.#isPaused) this.#connection.resume();
  }

  /** Waits for buffer space, for a producer that pausing the socket does not stop. Throws when the reader ends, to free its data. */
  async #room(): Promise<void> {
    while (this.#flow.isHeld && !this.#isBroken()) await this.#flow.released();
    if (this.#isBroken()) throw new Error('the reader ended');
  }

  #isBroken(): boolean {
    return this.#end === 'closed' || this.#end instanceof Error;
  }

  #watch(): void {
    this.#flow.countBytes(this.#connection.bytesRead);
    const fault = this.#flow.findFault(this.#options, this.#isPaused);
    if (fault !== undefined) this.#fail(lost(new Error(fault)));
  }

  #finish(): void {
    if (!this.#options.endsWithLog) {
      this.#fail(lost(new Error('the server ended the stream')));
      return;
    }
    this.#end ??= 'finished';
    this.#disconnect();
  }

  /** Only the first error counts; it ends the reader permanently. */
  #fail(error: Error): void {
    if (this.#end) return;
    this.#end = error;
    this.#disconnect();
  }

  #disconnect(): void {
    clearInterval(this.#watchdog);
    this.#connection.close();
    this.#again.close();
    this.#flow.wake();
    this.#queue.wake();
  }
}

/**
 * Reads the statements of the log from a position to its current end with a separate reader; true as soon as one satisfies the test. If
 * the log cannot be read, throws as the main reader would.
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
    // The server disconnects a reader when another one connects with the same id.
    serverId: randomServerId(),
    replicaUuid: randomUUID(),
    endsWithLog: true,
    columnsOf: () => undefined,
    namedIn: () => undefined,
    isWatchedSchema: () => false,
    watchedTables: () => [],
    baseline: {},
    parents: { parentOf: () => undefined, concerns: () => false },
    // The main reader reports what stops it; do not report it twice.
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
