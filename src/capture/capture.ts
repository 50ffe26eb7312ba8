import type { BinlogStream } from '../binlog/stream.ts';
import { haltOf, HaltError, Tripwire } from '../binlog/halt.ts';
import { mergeBaselines, OutgrownError, RetiredDomainError } from '../binlog/transaction/outgrown.ts';
import type { Baseline, LogPlace, RowEvent, TransactionPart } from '../binlog/types.ts';
import { netChanges } from '../change/net-changes.ts';
import type { Change } from '../change/types.ts';
import type { DomainEvent, MapContext, Rules } from '../event/types.ts';
import { monotonicMs, sleep, systemClock } from '../lib/clock.ts';
import type { AppendedTransaction, Appender } from '../outbox/append/append.ts';
import type { Appended } from '../outbox/append/place-events.ts';
import type { Router } from '../outbox/append/fan-out.ts';
import type { Checkpoint, ClaimedDelivery, Room, Subscription } from '../outbox/types.ts';
import type { CascadeWatch } from './cascade-watch.ts';
import { isInForce, learnSchema, type LiveSchema } from './live-schema.ts';
import { SpilledTransaction } from './transaction/spilled-transaction.ts';

/** A burst commits so many events together; a lone one commits at once. */
const BATCH_EVENTS = 1_000;
/**
 * Two appends begin at least so far apart, unless a batch is full: what comes faster shares its commit, and spares the server one.
 * The pace slackens with the load, by so much for each transaction of the batch before: at 1,000 changes a second there are 17
 * commits, below 333 each change has its own.
 */
const PACE_MS = { least: 3, most: 60, eachTransaction: 3 };
/** Up to so many bytes of rows a transaction is held in memory; a larger one goes through files. */
const IN_MEMORY_BYTES = 8 * 1024 * 1024;
/**
 * Transactions without an event move the checkpoint only so often; our own alone (one every 2 s) less often: to read them again after
 * a crash costs nothing, and each move is 1.8 KB of binlog for an account that cannot choose what is logged.
 */
const ADVANCE_EVERY_MS = { any: 5_000, ownAlone: 30_000 };

/** Everything that one transaction is mapped with: taken anew at every transaction, so that a reload falls between two. */
export interface Mapping {
  rules: Rules;
  route: Router;
  webhooks: readonly Subscription[];
}

export interface CaptureOptions {
  appender: Appender;
  mapping(): Mapping;
  /** For one batch: look-ups are asked once within it. */
  lookups(): Pick<MapContext, 'resolve' | 'reread'>;
  room(): Room;
  dispatch(fresh: readonly ClaimedDelivery[]): void;
  /** Where reading begins in the log of this server, or a place before it. */
  place: LogPlace;
  /** Of the server that is read: with the first transaction that is read from it, the checkpoint is one of it. */
  serverUuid: string;
  /** What the log has shown of the watched tables up to where reading begins. */
  baseline: Baseline;
  /** As it was when the reader was opened. */
  live: LiveSchema;
  /**
   * A definition named watched tables: looks at the live schema again, and throws a Tripwire when it no longer fits. Null when
   * there is more to read than the reader was opened for.
   */
  redefine(tables: readonly string[], baseline: Baseline): Promise<LiveSchema | null>;
  cascades: Pick<CascadeWatch, 'follow' | 'reach' | 'eventsOf'>;
  /** Everything that the reader returns, before it is mapped. */
  onRead?(parts: readonly TransactionPart[]): void;
  /** Told of every move of the checkpoint. */
  onMoved(): void;
  /** Told of every append: metrics. */
  onAppended(appended: Appended, batch: AppendedBatch): void;
}

/** What an append had, for metrics. */
export interface AppendedBatch {
  transactions: number;
  changes: number;
  /** Transactions whose commit time is estimated. */
  estimated: number;
  committedAtMs: number;
  /** Parents of its events `capture.unlogged_cascade`, one entry an event. */
  cascades: readonly string[];
}

/**
 * Reads until the reader ends: parts → net changes → events → one commit with the checkpoint → dispatch. Ends by itself where
 * another reader must continue: after a definition that adds columns to read, before a transaction that has more to read.
 * Returns the file of the log whose list lacks a retired domain where that ended the reader, otherwise an empty string. Throws what
 * the reader throws; a HaltError has the position before the transaction that cannot be read.
 */
export async function capture(
  reader: BinlogStream,
  from: Checkpoint,
  options: CaptureOptions,
): Promise<string> {
  const session = new CaptureSession(from, options);
  try {
    for (;;) {
      const parts = await reader.take();
      if (parts.length === 0) {
        await session.settle();
        return '';
      }
      options.onRead?.(parts);
      if (await session.handle(parts, reader)) return '';
    }
  } catch (error) {
    if (error instanceof RetiredDomainError) {
      // The checkpoint moves before the file: the next reader's proof looks at the files behind it.
      await session.settle();
      return error.file;
    }
    // The proof that a statement was harmless holds now: after a restart, later definitions may have removed it.
    if (error instanceof HaltError) await session.settle();
    if (!(error instanceof OutgrownError)) throw error;
    await session.grow(error.shown);
    return '';
  } finally {
    await session.abandon();
  }
}

class CaptureSession {
  readonly #options: CaptureOptions;
  #checkpoint: Checkpoint;
  /** Position behind the last transaction that was mapped. `#checkpoint` is that of the last batch that was begun to be written. */
  #reached: Checkpoint;
  #baseline: Baseline;
  /** Null once it is known what it has. */
  #live: LiveSchema | null;
  /** Long ago: so that the first progress after a start is written at once. */
  #advancedAt = -Infinity;
  /** Whether a transaction since the last move of the checkpoint was not our own. */
  #hasOthers = false;
  /** When the last append began, by the monotonic clock. */
  #begunAt = -Infinity;
  #paceMs = PACE_MS.least;
  #transactions: AppendedTransaction[] = [];
  #events = 0;
  #changes = 0;
  #cascades: string[] = [];
  /** Transactions of the batch whose commit time is estimated. */
  #estimated = 0;
  #partial: RowEvent[] = [];
  #partialBytes = 0;
  #spilled: SpilledTransaction | undefined;
  /** The append under way, or the one that failed: then nothing may be written behind it. */
  #writing: Promise<void> | undefined;

  constructor(from: Checkpoint, options: CaptureOptions) {
    const keys = options.cascades.reach(options.place);
    // Written with the next move: a halt must not end before reading continues.
    this.#checkpoint = keys ? { ...from, keys } : from;
    this.#reached = this.#checkpoint;
    this.#options = options;
    this.#baseline = options.baseline;
    this.#live = options.live;
  }

  /** True when a new reader must read what comes next. */
  async handle(parts: readonly TransactionPart[], reader: More): Promise<boolean> {
    const lookups = this.#options.lookups();
    for (const part of parts) {
      let outgrown = false;
      try {
        if (part.ddl.length > 0) outgrown = await this.#redefine(part);
        if (part.definition) outgrown = (await this.#options.cascades.follow(part.definition)) || outgrown;
        await this.#take(part, lookups);
        if (part.commit) {
          outgrown = this.#learn() || outgrown;
          this.#noteKeys();
        }
      } catch (error) {
        // What came before the unreadable transaction is written first.
        await this.#flush();
        throw toHalt(error, part, this.#reached);
      }
      if (outgrown) {
        await this.#flush();
        return true;
      }
      if (this.#events >= BATCH_EVENTS) await this.#write();
    }
    if (this.#events > 0 && (await this.#isGrowing(reader))) return false;
    if (this.#events > 0 || this.#isDue()) await this.#flush();
    await this.#writing;
    return false;
  }

  /** Moves the checkpoint behind the last transaction that was mapped: other rules must not judge it again. */
  async settle(): Promise<void> {
    await this.#flush();
  }

  /** Notes what the log shows beyond what was known of the tables, for the reader that is opened next. */
  async grow(shown: Baseline): Promise<void> {
    this.#note(mergeBaselines(this.#baseline, shown));
    await this.#flush();
  }

  #note(baseline: Baseline): void {
    this.#baseline = baseline;
    this.#reached = { ...this.#reached, baseline };
  }

  #noteKeys(): void {
    const keys = this.#options.cascades.reach(this.#reached.position);
    if (keys) this.#reached = { ...this.#reached, keys };
  }

  async #redefine({ ddl, commit }: TransactionPart): Promise<boolean> {
    this.#live = await this.#options.redefine(ddl, commit?.baseline ?? this.#baseline);
    return this.#live === null;
  }

  /** Looks whether reading has come so far that the live schema is in force; true when that shows more than the reader knows. */
  #learn(): boolean {
    if (!this.#live || !isInForce(this.#live, this.#reached.position)) return false;
    const place = this.#reached.position;
    try {
      const learned = learnSchema(this.#live, { place, baseline: this.#baseline });
      this.#live = null;
      if (learned) this.#note(learned);
      return learned !== null;
    } catch (error) {
      throw error instanceof Tripwire ? new HaltError(haltOf(error, place)) : error;
    }
  }

  /** Forgets a transaction that was cut in the middle: it is read again from its beginning. */
  async abandon(): Promise<void> {
    // The next session must not write beside it.
    await this.#writing?.catch(() => undefined);
    await this.#forget();
  }

  /** Drops the rows of a transaction that were gathered. */
  async #forget(): Promise<void> {
    this.#partial = [];
    this.#partialBytes = 0;
    await this.#spilled?.discard();
    this.#spilled = undefined;
  }

  async #take(part: TransactionPart, lookups: Pick<MapContext, 'resolve' | 'reread'>): Promise<void> {
    if (part.commit === null || this.#spilled || this.#partial.length > 0) {
      await this.#gather(part);
    }
    const { commit } = part;
    if (commit === null) return;
    if (!part.isOwn) this.#hasOthers = true;
    this.#baseline = commit.baseline ?? this.#baseline;
    const hasRows = this.#spilled !== undefined || this.#partial.length > 0 || part.rows.length > 0;
    if (commit.isEstimated && hasRows) this.#estimated += 1;
    const context: MapContext = {
      ...lookups,
      lineage: this.#checkpoint.lineage,
      transactionId: part.id,
      committedAtMs: commit.committedAtMs,
    };
    const next: Checkpoint = { ...this.#reached, ...commit, serverUuid: this.#options.serverUuid };
    if (part.isUndone) {
      await this.#forget();
      this.#reached = next;
      return;
    }
    const { position } = commit;
    const own = part.parents ? this.#options.cascades.eventsOf(part.parents, { ...context, position }) : [];
    if (this.#spilled) {
      await this.#finishSpilled(this.#spilled, { context, next, own });
      return;
    }
    const rows = this.#partial.length > 0 ? this.#partial : part.rows;
    const events = rows.length > 0 ? await this.#map(rows, context) : [];
    this.#add(part.id, [...events, ...own]);
    this.#noteCascades(own);
    this.#partial = [];
    this.#partialBytes = 0;
    // Only now: a transaction that could not be mapped must not move the checkpoint.
    this.#reached = next;
  }

  async #map(rows: readonly RowEvent[], context: MapContext): Promise<DomainEvent[]> {
    const changes = netChanges(rows);
    this.#changes += changes.length;
    if (changes.length === 0) return [];
    const events = await this.#options.mapping().rules.map(changes, context);
    await this.#options.appender.requireFit(events);
    return events;
  }

  #noteCascades(own: readonly DomainEvent[]): void {
    for (const { entity } of own) this.#cascades.push(entity.key);
  }

  #add(id: string, events: readonly DomainEvent[]): void {
    if (events.length === 0) return;
    this.#transactions.push({ id, events });
    this.#events += events.length;
  }

  /** Keeps the rows of a transaction that comes in parts, in memory while they are few. */
  async #gather(part: TransactionPart): Promise<void> {
    this.#partialBytes += part.bytes;
    if (!this.#spilled && this.#partialBytes > IN_MEMORY_BYTES) {
      // The staging takes its place in the log behind what came before it.
      await this.#flush();
      this.#spilled = await SpilledTransaction.open();
      await this.#spilled.add(this.#partial);
      this.#partial = [];
    }
    if (this.#spilled) await this.#spilled.add(part.rows);
    else for (const row of part.rows) this.#partial.push(row);
  }

  /** A huge transaction's events are staged invisibly, and become visible all at once. */
  async #finishSpilled(
    spilled: SpilledTransaction,
    { context, next, own }: { context: MapContext; next: Checkpoint; own: readonly DomainEvent[] },
  ): Promise<void> {
    const { appender } = this.#options;
    const { rules, route, webhooks } = this.#options.mapping();
    let events = 0;
    let erased = 0;
    const stage = async (part: readonly DomainEvent[]): Promise<void> => {
      const staged = await appender.stage({ id: context.transactionId, events: part }, route);
      events += staged.events;
      erased += staged.erased;
    };
    await appender.discard();
    // Rows that belong together may be in another batch: what looks for them asks the source as well.
    const siblings = rules.gatherSiblings(context);
    const part: MapContext = { ...context, isPart: true, siblings };
    const map = async (changes: readonly Change[]): Promise<DomainEvent[]> => {
      this.#changes += changes.length;
      const mapped = await rules.map(changes, part);
      await appender.requireFit(mapped);
      return mapped;
    };
    const note = (changes: readonly Change[]): Promise<void> => siblings.add(changes);
    for await (const mapped of spilled.mapped(map, note)) await stage(mapped);
    await stage(own);
    this.#noteCascades(own);
    await appender.flip(next, webhooks);
    this.#reached = next;
    await this.abandon();
    this.#partialBytes = 0;
    this.#tell(
      { events, copies: 0, deliveries: 0, erased, fresh: [] },
      {
        transactions: 1,
        changes: this.#changes,
        estimated: this.#estimated,
        cascades: this.#cascades,
        reached: next,
      },
    );
    this.#begin();
    this.#moved();
  }

  /**
   * Whether the batch keeps growing: the last append is under way or began just now, and more has come before the next may begin.
   * What comes is mapped at once: rows that wait are copied again and again by the garbage collector (a third of the time).
   */
  async #isGrowing(reader: More): Promise<boolean> {
    for (;;) {
      const early = this.#writing ?? this.#untilPace();
      if (!early) return false;
      await Promise.race([early, reader.untilMore()]);
      if (reader.hasMore()) return true;
    }
  }

  #untilPace(): Promise<void> | undefined {
    const waitMs = this.#paceMs - (monotonicMs() - this.#begunAt);
    return waitMs > 0 ? sleep(waitMs) : undefined;
  }

  #isDue(): boolean {
    if (this.#reached === this.#checkpoint) return false;
    const isNews =
      this.#hasOthers || this.#reached.baseline !== undefined || this.#reached.keys !== undefined;
    const everyMs = isNews ? ADVANCE_EVERY_MS.any : ADVANCE_EVERY_MS.ownAlone;
    return monotonicMs() - this.#advancedAt >= everyMs;
  }

  /** Writes all that was mapped. */
  async #flush(): Promise<void> {
    await this.#write();
    await this.#writing;
  }

  /** Begins to write what was mapped, as soon as what came before it is written: the next transactions are mapped meanwhile. */
  async #write(): Promise<void> {
    await this.#writing;
    if (this.#reached === this.#checkpoint) return;
    const batch = {
      transactions: this.#transactions,
      changes: this.#changes,
      cascades: this.#cascades,
      estimated: this.#estimated,
      reached: this.#reached,
    };
    this.#paceMs = Math.min(
      PACE_MS.most,
      Math.max(PACE_MS.least, this.#transactions.length * PACE_MS.eachTransaction),
    );
    this.#begin();
    this.#begunAt = monotonicMs();
    this.#writing = this.#append(batch).then(() => {
      this.#writing = undefined;
    });
    // The next `await this.#writing` rethrows; this only prevents an unhandled rejection.
    this.#writing.catch(() => undefined);
  }

  async #append({ transactions, ...counts }: Batch): Promise<void> {
    const { appender, dispatch, mapping, room } = this.#options;
    const { reached } = counts;
    if (transactions.length === 0) {
      await appender.advance(reached);
    } else {
      const appended = await appender.append(
        { transactions, checkpoint: reached },
        { route: mapping().route, room: room() },
      );
      dispatch(appended.fresh);
      this.#tell(appended, { transactions: transactions.length, ...counts });
    }
    this.#moved();
  }

  #moved(): void {
    this.#options.onMoved();
    this.#advancedAt = monotonicMs();
  }

  #tell(
    appended: Appended,
    { reached, ...batch }: Omit<AppendedBatch, 'committedAtMs'> & { reached: Checkpoint },
  ): void {
    const committedAtMs = reached.committedAtMs ?? systemClock.now();
    this.#options.onAppended(appended, { ...batch, committedAtMs });
  }

  /** Begins a new batch behind what was mapped. */
  #begin(): void {
    this.#reached = withoutKnowledge(this.#reached);
    this.#checkpoint = this.#reached;
    this.#hasOthers = false;
    this.#transactions = [];
    this.#events = 0;
    this.#changes = 0;
    this.#cascades = [];
    this.#estimated = 0;
  }
}

/** Whether more of the log has arrived. */
type More = Pick<BinlogStream, 'hasMore' | 'untilMore'>;

/** What is written in one commit. */
interface Batch {
  transactions: readonly AppendedTransaction[];
  changes: number;
  cascades: readonly string[];
  estimated: number;
  reached: Checkpoint;
}

/** What is known of the tables is written once, with the checkpoint that it belongs to. */
function withoutKnowledge(checkpoint: Checkpoint): Checkpoint {
  const rest = { ...checkpoint };
  delete rest.baseline;
  delete rest.keys;
  return rest;
}

/** A Tripwire of the rules or of the live schema, with the place where it happened. */
function toHalt(error: unknown, { id, commit }: TransactionPart, reached: Checkpoint): unknown {
  if (!(error instanceof Tripwire)) return error;
  return new HaltError(haltOf(error, reached.position, { id, committedAtMs: commit?.committedAtMs ?? null }));
}
