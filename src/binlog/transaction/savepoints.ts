import { CaptureFault } from '../halt.ts';
import { acceptGapCommand } from '../remedy.ts';

/** The savepoints of the current transaction, with the number of watched rows before each. */
export class Savepoints {
  /** In the order in which they were set, by lower-case name. */
  readonly #rows = new Map<string, number>();

  /** Sets a savepoint, which replaces an earlier one of the same name. */
  set(name: string, rows: number): void {
    this.#rows.delete(name.toLowerCase());
    this.#rows.set(name.toLowerCase(), rows);
  }

  /**
   * Returns how many rows remain after a ROLLBACK TO, and removes later savepoints. Throws a CaptureFault if the savepoint is unknown,
   * or if the rollback undoes any of the `gone` rows, which have already been emitted.
   */
  rollBackTo(name: string, { rows, gone }: { rows: number; gone: number }): number {
    const kept = this.#rows.get(name.toLowerCase());
    if (rows === 0 || kept === rows) return rows;
    if (kept === undefined || kept < gone) {
      throw new CaptureFault(
        'undecodable',
        'it is not known which rows of a watched table a ROLLBACK TO a savepoint has undone',
        { remedy: acceptGapCommand('rollback to savepoint') },
      );
    }
    const names = [...this.#rows.keys()];
    for (const later of names.slice(names.indexOf(name.toLowerCase()) + 1)) this.#rows.delete(later);
    return kept;
  }

  clear(): void {
    if (this.#rows.size > 0) this.#rows.clear();
  }
}
