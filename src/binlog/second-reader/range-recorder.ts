import type { Commit, LogPlace, Position, RowEvent, TransactionPart } from '../types.ts';
import type { ReadTransaction } from './compare/compare-transactions.ts';

export interface RecordLimits {
  /** Recording ends after the transaction that reaches this number of rows. */
  rows: number;
  /** Limit for everything that is kept, in bytes as counted by transaction parts. A transaction that does not fit is skipped. */
  bytes: number;
  /** Recording begins with the first transaction committed at or after this time, milliseconds since 1970 UTC. */
  sinceMs?: number;
}

/** Keeps the watched transactions of a range of the log, as our reader returns them, within limits. */
export class RangeRecorder {
  readonly transactions: ReadTransaction[] = [];
  /** The ends of transactions within the range whose watched rows were not kept. */
  readonly passedOver: LogPlace[] = [];
  /** Watched rows of all transactions that did not fit, including those at either end, which are not part of the range. */
  passedOverRows = 0;
  rows = 0;
  /** By log file, see TransactionPart. */
  readonly endsOfTime: Record<string, string> = {};
  readonly #limits: RecordLimits;
  #bytes = 0;
  #from: LogPlace;
  #until: LogPlace;
  /** The end of the range if only transactions that did not fit follow. */
  #lastFit: LogPlace | undefined;
  #pending: RowEvent[] = [];
  #pendingRows = 0;
  #pendingBytes = 0;
  readonly #waived = new Set<string>();

  constructor(position: Position, limits: RecordLimits) {
    this.#limits = limits;
    this.#from = placeOf(position);
    this.#until = this.#from;
  }

  /** The start of the range: the end of the transaction before the first one that is kept. */
  get from(): LogPlace {
    return this.#from;
  }

  /**
   * The end of the last transaction, excluding final ones that did not fit: the other reader would decode them in vain (40 MB for
   * 100,000 rows).
   */
  get until(): LogPlace {
    return this.#lastFit ?? this.#until;
  }

  get isFull(): boolean {
    return this.rows >= this.#limits.rows;
  }

  add(part: TransactionPart): void {
    // A transaction that was cut off is read again from its beginning.
    if (part.firstOrdinal === 0) this.#forget();
    this.#pendingRows += part.rows.length;
    this.#pendingBytes += part.bytes;
    if (this.#bytes + this.#pendingBytes <= this.#limits.bytes) this.#pending.push(...part.rows);
    if (part.commit && part.endOfTime !== undefined)
      this.endsOfTime[part.commit.position.file] = part.endOfTime;
    if (part.commit) this.#close(part.id, part.commit);
  }

  /** Notes that the reader cannot read this transaction and will return it without rows. */
  waive(id: string): void {
    this.#waived.add(id);
  }

  #forget(): void {
    this.#pending = [];
    this.#pendingRows = 0;
    this.#pendingBytes = 0;
  }

  #close(id: string, { position, committedAtMs }: Commit): void {
    const end = placeOf(position);
    const isEmpty = this.transactions.length === 0 && this.passedOver.length === 0;
    const isEarly = isEmpty && committedAtMs < (this.#limits.sinceMs ?? -Infinity);
    if (this.#waived.has(id)) {
      this.passedOver.push(end);
    } else if (isEarly || this.#pendingRows === 0) {
      if (isEmpty) this.#from = end;
    } else if (this.#pending.length === this.#pendingRows) {
      this.#lastFit = undefined;
      this.transactions.push({ ...end, rows: this.#pending });
      this.rows += this.#pendingRows;
      this.#bytes += this.#pendingBytes;
    } else {
      this.passedOverRows += this.#pendingRows;
      this.#lastFit ??= this.#until;
      if (isEmpty) this.#from = this.#lastFit = end;
      else this.passedOver.push(end);
    }
    this.#until = end;
    this.#forget();
  }
}

const placeOf = ({ file, offset }: Position): LogPlace => ({ file, offset });
