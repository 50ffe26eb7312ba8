import type { BinlogStream } from '../../binlog/stream.ts';
import type { DomainEvent, Rules } from '../../event/types.ts';
import { monotonicMs, sleep, systemClock } from '../../lib/clock.ts';
import type { AppendedTransaction, Appender } from '../../outbox/append/append.ts';
import { StaleRoute } from '../../outbox/append/guarded-writer.ts';
import type { Appended } from '../../outbox/append/place-events.ts';
import type { Router } from '../../outbox/append/fan-out.ts';
import type { Checkpoint, ClaimedDelivery, Room, Subscription } from '../../outbox/types.ts';

/** Maximum number of events in one commit of a burst; a single event commits at once. */
const BATCH_EVENTS = 1_000;
/**
 * Minimum time between the starts of two appends, unless a batch is full: events that arrive faster share a commit. The time grows with the load, by this
 * much for each transaction of the previous batch: at 1,000 changes a second there are 17
 * commits, below 333 each change has its own.
 */
const PACE_MS = { least: 3, most: 60, eachTransaction: 3 };
/**
 * How often transactions without an event move the checkpoint; our own transactions (one every 2 s) move it less often. Reading them again after a crash
 * costs nothing, and each move is 1.8 KB of binlog for an account that cannot choose what is logged.
 */
const ADVANCE_EVERY_MS = { any: 5_000, ownAlone: 30_000 };

/** Everything that is needed to map one transaction: read for every transaction, so that a reload takes effect between two transactions. */
export interface Mapping {
  rules: Rules;
  route: Router;
  webhooks: readonly Subscription[];
}

export interface BatcherOptions {
  appender: Appender;
  mapping(): Mapping;
  /** Reads the webhooks anew, so that `mapping` knows who was disabled. */
  resubscribe(): Promise<void>;
  room(): Room;
  dispatch(fresh: readonly ClaimedDelivery[]): void;
  /** Called after every move of the checkpoint. */
  onMoved(): void;
  /** Called after every append: metrics. */
  onAppended(appended: Appended, batch: AppendedBatch): void;
}

/** Counts of the transactions of a batch, for metrics. */
export interface Counts {
  transactions: number;
  changes: number;
  /** Transactions whose commit time is estimated. */
  estimated: number;
  /** Parents of its events `capture.unlogged_cascade`, one entry an event. */
  cascades: readonly string[];
}

export interface AppendedBatch extends Counts {
  committedAtMs: number;
}

/** A transaction that was mapped. */
export interface MappedTransaction {
  id: string;
  events: readonly DomainEvent[];
  changes: number;
  isEstimated: boolean;
  /** Written by our own sessions. */
  isOwn: boolean;
  /** Parents of its events `capture.unlogged_cascade`. */
  cascades: readonly string[];
}

/** Whether more of the log has arrived. */
export type Arrivals = Pick<BinlogStream, 'hasMore' | 'untilMore'>;

/**
 * Gathers mapped transactions and writes them with the new checkpoint, batch by batch: one batch is written while the next one is mapped. After a failed
 * append nothing more is written, and every further call throws its error.
 */
export class AppendBatcher {
  readonly #options: BatcherOptions;
  readonly #pace = new Pace();
  #batch: Batch = emptyBatch();
  /** Position after the last added transaction. */
  #reached: Checkpoint;
  /** Position of the last batch whose write has begun. */
  #written: Checkpoint;
  /** The running append, or the failed one. */
  #writing: Promise<void> | undefined;
  /** Initially long ago, so that the first progress after a start is written at once. */
  #advancedAt = -Infinity;

  constructor(from: Checkpoint, options: BatcherOptions) {
    this.#reached = this.#written = from;
    this.#options = options;
  }

  get reached(): Checkpoint {
    return this.#reached;
  }

  /** Writes the batch once it is full. */
  async writeFull(): Promise<void> {
    if (this.#batch.events >= BATCH_EVENTS) await this.#write();
  }

  add(mapped: MappedTransaction, next: Checkpoint): void {
    const { id, events, changes, isEstimated, isOwn, cascades } = mapped;
    const batch = this.#batch;
    if (events.length > 0) batch.transactions.push({ id, events });
    batch.events += events.length;
    batch.changes += changes;
    batch.estimated += isEstimated ? 1 : 0;
    batch.cascades.push(...cascades);
    batch.hasOthers ||= !isOwn;
    this.#reached = next;
  }

  /** The schema history is written with the next move of the checkpoint. */
  learn(knowledge: Pick<Checkpoint, 'baseline' | 'keys'>): void {
    this.#reached = { ...this.#reached, ...knowledge };
  }

  /** Called when everything that had arrived was added: writes it, unless the pace requires waiting and more arrives meanwhile. */
  async pause(arrivals: Arrivals): Promise<void> {
    const hasEvents = this.#batch.events > 0;
    if (hasEvents && (await this.#isGrowing(arrivals))) return;
    if (hasEvents || this.#isDue()) await this.flush();
    await this.#writing;
  }

  /** Writes all that was added. */
  async flush(): Promise<void> {
    await this.#write();
    await this.#writing;
  }

  /** Records a transaction that was written outside the batches, with its checkpoint. Everything before it must be written. */
  noteWritten(appended: Pick<Appended, 'events' | 'erased'>, counts: Counts, checkpoint: Checkpoint): void {
    this.#reached = checkpoint;
    this.#report({ copies: 0, deliveries: 0, fresh: [], ...appended }, counts, checkpoint);
    this.#begin();
    this.#moved();
  }

  /** Resolves when no write is running: two batchers must not write at the same time. */
  async end(): Promise<void> {
    await this.#writing?.catch(() => undefined);
  }

  /**
   * Whether the batch keeps growing: the last append is running or began just now, and more arrived before the next may begin. Arriving rows are mapped at
   * once, because the garbage collector copies waiting rows repeatedly (a third of the time).
   */
  async #isGrowing(arrivals: Arrivals): Promise<boolean> {
    for (;;) {
      const early = this.#writing ?? this.#pace.wait();
      if (!early) return false;
      await Promise.race([early, arrivals.untilMore()]);
      if (arrivals.hasMore()) return true;
    }
  }

  #isDue(): boolean {
    if (this.#reached === this.#written) return false;
    const isNews =
      this.#batch.hasOthers || this.#reached.baseline !== undefined || this.#reached.keys !== undefined;
    const everyMs = isNews ? ADVANCE_EVERY_MS.any : ADVANCE_EVERY_MS.ownAlone;
    return monotonicMs() - this.#advancedAt >= everyMs;
  }

  /** Writes the added transactions as soon as the previous write ends; the next transactions are mapped meanwhile. */
  async #write(): Promise<void> {
    await this.#writing;
    if (this.#reached === this.#written) return;
    const [batch, reached] = [this.#batch, this.#reached];
    this.#begin();
    this.#pace.begin(batch.transactions.length);
    this.#writing = this.#append(batch, reached).then(() => {
      this.#writing = undefined;
    });
    // The next `await this.#writing` rethrows; this only prevents an unhandled rejection.
    this.#writing.catch(() => undefined);
  }

  async #append({ transactions, ...counts }: Batch, reached: Checkpoint): Promise<void> {
    const { appender, dispatch, mapping, resubscribe, room } = this.#options;
    if (transactions.length === 0) {
      await appender.advance(reached);
    } else {
      const append = (): Promise<Appended> =>
        appender.append({ transactions, checkpoint: reached }, { route: mapping().route, room: room() });
      const appended = await append().catch(async (error: unknown) => {
        if (!(error instanceof StaleRoute)) throw error;
        await resubscribe();
        return append();
      });
      dispatch(appended.fresh);
      this.#report(appended, { ...counts, transactions: transactions.length }, reached);
    }
    this.#moved();
  }

  #moved(): void {
    this.#options.onMoved();
    this.#advancedAt = monotonicMs();
  }

  #report(
    appended: Appended,
    { transactions, changes, estimated, cascades }: Counts,
    reached: Checkpoint,
  ): void {
    const committedAtMs = reached.committedAtMs ?? systemClock.now();
    this.#options.onAppended(appended, { transactions, changes, estimated, cascades, committedAtMs });
  }

  /** Begins a new batch. */
  #begin(): void {
    this.#reached = this.#written = withoutKnowledge(this.#reached);
    this.#batch = emptyBatch();
  }
}

/** When the next append may begin. */
class Pace {
  /** When the last append began, by the monotonic clock. */
  #begunAt = -Infinity;
  #ms = PACE_MS.least;

  begin(transactions: number): void {
    this.#ms = Math.min(PACE_MS.most, Math.max(PACE_MS.least, transactions * PACE_MS.eachTransaction));
    this.#begunAt = monotonicMs();
  }

  /** Resolves when the next append may begin; undefined when it may begin now. */
  wait(): Promise<void> | undefined {
    const waitMs = this.#ms - (monotonicMs() - this.#begunAt);
    return waitMs > 0 ? sleep(waitMs) : undefined;
  }
}

/** What is written in one commit. */
interface Batch {
  transactions: AppendedTransaction[];
  events: number;
  changes: number;
  estimated: number;
  cascades: string[];
  /** Whether a transaction since the last move of the checkpoint was not our own. */
  hasOthers: boolean;
}

function emptyBatch(): Batch {
  return { transactions: [], events: 0, changes: 0, estimated: 0, cascades: [], hasOthers: false };
}

/** The schema history is written once, with its checkpoint. */
function withoutKnowledge(checkpoint: Checkpoint): Checkpoint {
  const rest = { ...checkpoint };
  delete rest.baseline;
  delete rest.keys;
  return rest;
}
