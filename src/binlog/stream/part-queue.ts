import type { TransactionPart } from '../types.ts';

/** Taken parts occupy memory in addition to waiting ones, so this limits one batch to a good size. */
const MAX_TAKEN_BYTES = 4 * 1024 * 1024;

/** Parts that have arrived and have not been taken yet, in order. */
export class PartQueue {
  #parts: TransactionPart[] = [];
  #bytes = 0;
  /** Resolved at the next arrival. */
  #arrival: PromiseWithResolvers<void> | undefined;

  get isEmpty(): boolean {
    return this.#parts.length === 0;
  }

  /** Approximate memory of the waiting parts, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  push(part: TransactionPart): void {
    const last = this.#parts.at(-1);
    // Transactions without watched rows only advance the position, so only the last of them is kept.
    if (last && isBare(last) && isBare(part)) this.#parts[this.#parts.length - 1] = part;
    else this.#parts.push(part);
    this.#bytes += part.bytes;
    this.wake();
  }

  /** Takes at least one part, up to 4 MiB; none if the queue is empty. */
  take(): TransactionPart[] {
    let bytes = 0;
    let count = 0;
    while (count < this.#parts.length && bytes < MAX_TAKEN_BYTES) bytes += this.#parts[count++]!.bytes;
    this.#bytes -= bytes;
    return this.#parts.splice(0, count);
  }

  /** Resolves at the next arrival, or when `wake` is called. */
  async next(): Promise<void> {
    await (this.#arrival ??= Promise.withResolvers()).promise;
  }

  wake(): void {
    this.#arrival?.resolve();
    this.#arrival = undefined;
  }

  clear(): void {
    this.#parts = [];
  }
}

/** Whether a part only advances the position. */
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
