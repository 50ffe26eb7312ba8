import type { BinlogStream } from '../binlog/stream.ts';
import { haltOf, HaltError, CaptureFault } from '../binlog/halt.ts';
import { StaleSchemaError, RetiredDomainError } from '../binlog/transaction/stale-schema.ts';
import type { Baseline, LogPlace, TransactionPart } from '../binlog/types.ts';
import type { Change } from '../change/types.ts';
import type { DomainEvent, MapContext } from '../event/types.ts';
import type { Checkpoint } from '../outbox/types.ts';
import type { CascadeWatch } from './cascade-watch.ts';
import { AppendBatcher, type Arrivals, type BatcherOptions } from './transaction/append-batcher.ts';
import { FollowedSchema, type FollowedSchemaOptions } from './transaction/followed-schema.ts';
import { readTransactions, type Transaction } from './transaction/read-transactions.ts';

type Lookups = Pick<MapContext, 'resolve' | 'reread'>;

export interface CaptureOptions extends BatcherOptions, FollowedSchemaOptions {
  /** For one batch; each look-up runs once within it. */
  lookups(): Lookups;
  /** The position in the log of this server where reading begins, or a position before it. */
  place: LogPlace;
  /** UUID of the server that is read: the first transaction that is read from it makes the checkpoint a position of this server. */
  serverUuid: string;
  cascades: Pick<CascadeWatch, 'follow' | 'reach' | 'eventsOf'>;
  /** Called with everything that the reader returns, before it is mapped. */
  onRead?(parts: readonly TransactionPart[]): void;
}

/**
 * Reads until the reader ends: parts → net changes → events → one commit with the checkpoint → dispatch. Ends when another reader must continue: after a
 * definition that adds columns to read, or before a transaction that has more columns to read. If a retired domain ended the reader, returns the log file
 * whose list lacks this domain, otherwise an empty string. Throws what
 * the reader throws; a HaltError has the position before the transaction that cannot be read.
 */
export async function capture(
  reader: BinlogStream,
  from: Checkpoint,
  options: CaptureOptions,
): Promise<string> {
  const session = new CaptureSession(from, options);
  try {
    for await (const transaction of readTransactions(takeAll(reader, options))) {
      if (!transaction) await session.pause(reader);
      else if (await session.handle(transaction)) return '';
    }
    await session.settle();
    return '';
  } catch (error) {
    if (error instanceof RetiredDomainError) {
      // The checkpoint moves before the file, because the next reader's proof examines the files after it.
      await session.settle();
      return error.file;
    }
    // The proof that a statement was harmless holds only now: after a restart, later definitions may have removed it.
    if (error instanceof HaltError) await session.settle();
    if (!(error instanceof StaleSchemaError)) throw error;
    await session.grow(error.shown);
    return '';
  } finally {
    await session.end();
  }
}

async function* takeAll(
  reader: BinlogStream,
  { onRead }: Pick<CaptureOptions, 'onRead'>,
): AsyncGenerator<TransactionPart[], void, undefined> {
  for (;;) {
    const parts = await reader.take();
    if (parts.length === 0) return;
    onRead?.(parts);
    yield parts;
  }
}

/** Maps one transaction after the other, for as long as one reader lives. */
class CaptureSession {
  readonly #options: CaptureOptions;
  readonly #lineage: string;
  readonly #schema: FollowedSchema;
  readonly #batcher: AppendBatcher;
  /** Counts over the transactions that arrived together. */
  #lookups: Lookups | undefined;

  constructor(from: Checkpoint, options: CaptureOptions) {
    const keys = options.cascades.reach(options.place);
    this.#options = options;
    this.#lineage = from.lineage;
    this.#schema = new FollowedSchema(options);
    // The keys are written with the next move of the checkpoint: a halt must not end before reading continues.
    this.#batcher = new AppendBatcher(keys ? { ...from, keys } : from, options);
  }

  /** True when a new reader must read the next transaction. */
  async handle(transaction: Transaction): Promise<boolean> {
    const { ddl, definition } = transaction.part;
    let isOutgrown = false;
    try {
      if (ddl.length > 0) isOutgrown = await this.#schema.define(ddl, transaction.commit.baseline);
      if (definition) isOutgrown = (await this.#options.cascades.follow(definition)) || isOutgrown;
      await this.#take(transaction);
      isOutgrown = this.#learn() || isOutgrown;
    } catch (error) {
      // Transactions before the unreadable one are written first.
      await this.#batcher.flush();
      throw toHalt(error, transaction, this.#batcher.reached);
    }
    if (isOutgrown) await this.#batcher.flush();
    else await this.#batcher.writeFull();
    return isOutgrown;
  }

  /** Everything that had arrived was handled. */
  async pause(arrivals: Arrivals): Promise<void> {
    this.#lookups = undefined;
    await this.#batcher.pause(arrivals);
  }

  /** Moves the checkpoint past the last mapped transaction, so that other rules do not map it again. */
  async settle(): Promise<void> {
    await this.#batcher.flush();
  }

  /** Records what the log newly showed about the tables, for the next reader. */
  async grow(shown: Baseline): Promise<void> {
    this.#batcher.learn({ baseline: this.#schema.grow(shown) });
    await this.#batcher.flush();
  }

  async end(): Promise<void> {
    await this.#batcher.end();
  }

  /** Records the schema in force after the transaction; true when it has more than the reader knows. */
  #learn(): boolean {
    const baseline = this.#schema.learn(this.#batcher.reached.position);
    if (baseline) this.#batcher.learn({ baseline });
    const keys = this.#options.cascades.reach(this.#batcher.reached.position);
    if (keys) this.#batcher.learn({ keys });
    return baseline !== null;
  }

  async #take(transaction: Transaction): Promise<void> {
    const { id, commit, isEmpty, part } = transaction;
    // The staged transaction must follow the transactions before it.
    if (transaction.isPart) await this.#batcher.flush();
    this.#schema.follow(commit.baseline);
    const context: MapContext = {
      ...(this.#lookups ??= this.#options.lookups()),
      lineage: this.#lineage,
      transactionId: id,
      committedAtMs: commit.committedAtMs,
    };
    const next = { ...this.#batcher.reached, ...commit, serverUuid: this.#options.serverUuid };
    const own = this.#cascadesOf(transaction, context);
    const cascades = own.map(({ entity }) => entity.key);
    // A rolled back transaction may have had rows in earlier parts.
    const isEstimated = commit.isEstimated && (!isEmpty || part.isUndone === true);
    if (transaction.isPart) {
      const { changes, ...staged } = await this.#writeApart(transaction, { context, own, next });
      const counts = { transactions: 1, changes, estimated: isEstimated ? 1 : 0, cascades };
      this.#batcher.noteWritten(staged, counts, next);
      return;
    }
    const changes = transaction.changesAtOnce();
    const events = changes.length > 0 ? await this.#map(changes, context) : [];
    // Only now, because a transaction that could not be mapped must not move the checkpoint.
    this.#batcher.add(
      {
        id,
        events: [...events, ...own],
        changes: changes.length,
        isEstimated,
        isOwn: part.isOwn === true,
        cascades,
      },
      next,
    );
  }

  #cascadesOf({ part, commit }: Transaction, context: MapContext): DomainEvent[] {
    if (!part.parents || part.isUndone) return [];
    return this.#options.cascades.eventsOf(part.parents, { ...context, position: commit.position });
  }

  async #map(changes: readonly Change[], context: MapContext): Promise<DomainEvent[]> {
    const events = await this.#options.mapping().rules.map(changes, context);
    await this.#options.appender.requireFit(events);
    return events;
  }

  /** A huge transaction's events are staged invisibly, and become visible all at once, with the checkpoint. */
  async #writeApart(
    transaction: Transaction,
    { context, own, next }: { context: MapContext; own: readonly DomainEvent[]; next: Checkpoint },
  ): Promise<{ changes: number; events: number; erased: number }> {
    const { appender } = this.#options;
    const { rules, route, webhooks } = this.#options.mapping();
    const counts = { changes: 0, events: 0, erased: 0 };
    const stage = async (events: readonly DomainEvent[]): Promise<void> => {
      const staged = await appender.stage({ id: transaction.id, events }, route);
      counts.events += staged.events;
      counts.erased += staged.erased;
    };
    await appender.discard();
    // Related rows may be in another batch, so look-ups query the source as well.
    const siblings = rules.gatherSiblings(context);
    const part: MapContext = { ...context, isPart: true, siblings };
    for await (const changes of transaction.changes((all) => siblings.add(all))) {
      counts.changes += changes.length;
      const events = await rules.map(changes, part);
      await appender.requireFit(events);
      await stage(events);
    }
    await stage(own);
    await appender.flip(next, webhooks);
    return counts;
  }
}

/** A CaptureFault of the rules or of the live schema, with the position at which it happened. */
function toHalt(error: unknown, { id, commit }: Transaction, reached: Checkpoint): unknown {
  if (!(error instanceof CaptureFault)) return error;
  return new HaltError(haltOf(error, reached.position, { id, committedAtMs: commit.committedAtMs }), error);
}
