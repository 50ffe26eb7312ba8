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

/** What was sent before may be in the buffers of the connection for so long. */
const HEARTBEAT_AGE_MS = 60_000;
const TRANSIT_MS = 1_000;

export interface StreamOptions extends WatchOptions, ReaderOptions {
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
  /** For XA transactions that were prepared long before they commit. */
  readonly #again: LogAgain;
  readonly #queue = new PartQueue();
  readonly #flow = new Flow();
  readonly #doneTo = new DoneTo();
  /** `finished`: the whole log was read, and that was all that was wanted. */
  #end: 'finished' | 'closed' | Error | undefined;
  /** The assembler has an event for which everything behind it must wait. */
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

  /** The server had nothing more to send. One that waited in a full buffer says nothing of the present. */
  #noteHeartbeat(event: LogEvent): void {
    this.#doneTo.hear(placeOfHeartbeat(event));
    if (this.#flow.sinceHeldMs > HEARTBEAT_AGE_MS) this.#clock.pass(this.#clock.now() - TRANSIT_MS);
  }

  /** A large compressed transaction is unpacked, a prepared one read again, a statement asked about: nothing more is read meanwhile. */
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

  /** What a producer that cannot be paused by its socket waits for. It ends with the reader: what it holds may be huge. */
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

  /** The first error ends the reader for good. */
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
