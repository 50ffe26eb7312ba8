import type { RowEvent, TransactionPart } from '../../binlog/types.ts';
import { netChanges } from '../../change/net-changes.ts';
import type { Change } from '../../change/types.ts';
import { SpilledTransaction } from './spilled-transaction.ts';

/** Up to so many bytes of rows a transaction is held in memory; a larger one goes through a file. */
const IN_MEMORY_BYTES = 8 * 1024 * 1024;

/** The rows of one transaction after another, each kept until its commit: in memory while they are few. */
export class GatheredRows {
  #rows: RowEvent[] = [];
  #bytes = 0;
  #count = 0;
  #spilled: SpilledTransaction | undefined;

  /** Whether the net changes come in parts: what belongs together may be in another one. */
  get isPart(): boolean {
    return this.#spilled !== undefined;
  }

  get isEmpty(): boolean {
    return this.#count === 0;
  }

  async add({ rows, bytes, isUndone }: TransactionPart): Promise<void> {
    if (isUndone) {
      await this.clear();
      return;
    }
    this.#bytes += bytes;
    this.#count += rows.length;
    if (!this.#spilled && this.#bytes > IN_MEMORY_BYTES) {
      this.#spilled = await SpilledTransaction.open();
      await this.#spilled.add(this.#rows);
      this.#rows = [];
    }
    if (this.#spilled) await this.#spilled.add(rows);
    else for (const row of rows) this.#rows.push(row);
  }

  /** The transaction's net changes. Where they come in parts, `note` is given all of them before the first part. */
  async *netChanges(
    note: (changes: readonly Change[]) => Promise<void>,
  ): AsyncGenerator<Change[], void, undefined> {
    if (this.#spilled) yield* this.#spilled.mapped((changes) => Promise.resolve(changes), note);
    else if (this.#rows.length > 0) yield netChanges(this.#rows);
  }

  /** Makes room for the next transaction. */
  async clear(): Promise<void> {
    this.#rows = [];
    this.#bytes = 0;
    this.#count = 0;
    await this.#spilled?.discard();
    this.#spilled = undefined;
  }
}
