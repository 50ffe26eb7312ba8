import type { Commit, RowEvent, TransactionPart } from '../../binlog/types.ts';
import { netChanges } from '../../change/net-changes.ts';
import type { Change } from '../../change/types.ts';
import { SpilledTransaction } from './spilled-transaction.ts';

/** A transaction with up to this many bytes of rows is held in memory; a larger one is written to files. */
const IN_MEMORY_BYTES = 8 * 1024 * 1024;

type LastPart = TransactionPart & { commit: Commit };

/** A whole transaction of the log, with its watched rows in memory or in files. */
export class Transaction {
  readonly part: LastPart;
  readonly #rows: readonly RowEvent[] | SpilledTransaction;

  constructor(part: LastPart, rows: readonly RowEvent[] | SpilledTransaction) {
    this.part = part;
    this.#rows = part.isUndone ? [] : rows;
  }

  get id(): string {
    return this.part.id;
  }

  get commit(): Commit {
    return this.part.commit;
  }

  /** Whether it has no watched row. */
  get isEmpty(): boolean {
    return !(this.#rows instanceof SpilledTransaction) && this.#rows.length === 0;
  }

  /** Whether the net changes come in parts; related changes may be in another part. */
  get isPart(): boolean {
    return this.#rows instanceof SpilledTransaction;
  }

  /** The net changes in order. If they come in parts, `note` is called with all of them before the first part is returned. */
  async *changes(
    note?: (changes: readonly Change[]) => Promise<void>,
  ): AsyncGenerator<Change[], void, undefined> {
    if (this.#rows instanceof SpilledTransaction) yield* this.#rows.changes(note);
    else if (this.#rows.length > 0) yield netChanges(this.#rows);
  }

  /** The net changes at once, of a transaction whose changes do not come in parts. */
  changesAtOnce(): Change[] {
    if (this.#rows instanceof SpilledTransaction) throw new Error('the changes come in parts');
    return this.#rows.length > 0 ? netChanges(this.#rows) : [];
  }
}

export interface TransactionReading {
  /**
   * Called with the rows of each transaction in their order, before it is returned. `isFirst` marks its first rows: earlier rows belong to another
   * transaction, or are read again.
   */
  onRows?(rows: readonly RowEvent[], isFirst: boolean): void;
}

/**
 * Reads one whole transaction after another; each is valid until the next one is requested. Yields null when everything that had arrived was returned: the
 * next transaction may take long. Throws what the parts throw.
 */
export async function* readTransactions(
  parts: AsyncIterable<readonly TransactionPart[]>,
  { onRows }: TransactionReading = {},
): AsyncGenerator<Transaction | null, void, undefined> {
  const pending = new GatheredRows();
  try {
    for await (const arrived of parts) {
      for (const part of arrived) {
        const isFirst = part.firstOrdinal === 0;
        // The previous transaction was cut off: another reader begins it again.
        if (isFirst && !pending.isEmpty) await pending.clear();
        onRows?.(part.rows, isFirst);
        if (isLast(part) && pending.isEmpty) {
          yield new Transaction(part, part.rows);
          continue;
        }
        await pending.add(part);
        if (!isLast(part)) continue;
        yield new Transaction(part, pending.rows);
        await pending.clear();
      }
      yield null;
    }
  } finally {
    await pending.clear();
  }
}

function isLast(part: TransactionPart): part is LastPart {
  return part.commit !== null;
}

/** The rows of one transaction until its commit: in memory while they are few. */
class GatheredRows {
  #rows: RowEvent[] = [];
  #bytes = 0;
  #spilled: SpilledTransaction | undefined;

  get rows(): readonly RowEvent[] | SpilledTransaction {
    return this.#spilled ?? this.#rows;
  }

  get isEmpty(): boolean {
    return !this.#spilled && this.#rows.length === 0;
  }

  async add({ rows, bytes }: TransactionPart): Promise<void> {
    this.#bytes += bytes;
    if (!this.#spilled && this.#bytes > IN_MEMORY_BYTES) {
      this.#spilled = await SpilledTransaction.open();
      await this.#spilled.add(this.#rows);
      this.#rows = [];
    }
    if (this.#spilled) await this.#spilled.add(rows);
    else for (const row of rows) this.#rows.push(row);
  }

  async clear(): Promise<void> {
    this.#rows = [];
    this.#bytes = 0;
    await this.#spilled?.discard();
    this.#spilled = undefined;
  }
}
