import { memoryOfRows } from '../decode/memory-of-rows.ts';
import type { MappedTable } from '../decode/table-map.ts';
import type { RowEvent, TransactionPart } from '../types.ts';
import { Savepoints } from './savepoints.ts';

/** A transaction with more bytes of rows than this is emitted in parts, which bounds memory independently of its size. */
const PART_BYTES = 4 * 1024 * 1024;

export type TableName = Pick<RowEvent['table'], 'schema' | 'name'>;

/** Watched rows of the current transaction that have not been emitted in a part yet. */
export class RowBuffer {
  readonly #emit: (part: TransactionPart) => void;
  readonly #savepoints = new Savepoints();
  /** Tables of rows that have been emitted. */
  readonly #goneTables = new Map<string, TableName>();
  #rows: RowEvent[] = [];
  #bytes = 0;
  /** Number of rows that have been emitted. */
  #gone = 0;
  /** The rows exceeded a part and were not kept: they are read again at the commit. */
  #isDropped = false;

  constructor(emit: (part: TransactionPart) => void) {
    this.#emit = emit;
  }

  get isEmpty(): boolean {
    return this.#rows.length === 0 && this.#gone === 0;
  }

  /** Whether rows have been emitted in a part. */
  get hasLeft(): boolean {
    return this.#gone > 0;
  }

  get isDropped(): boolean {
    return this.#isDropped;
  }

  /** The buffered rows, for the next part. */
  get content(): Pick<TransactionPart, 'rows' | 'firstOrdinal' | 'bytes'> {
    return { rows: this.#rows, firstOrdinal: this.#gone, bytes: this.#bytes };
  }

  /** Adds the rows of an event with its size in bytes. Returns true when they are enough for a part. */
  add(rows: Iterable<RowEvent>, { schema, isUpdate, bytes }: RowsSize): boolean {
    const known = this.#rows.length;
    for (const row of rows) this.#rows.push(row);
    const cells = schema.columns.length * (isUpdate ? 2 : 1);
    this.#bytes += memoryOfRows({ bytes, rows: this.#rows.length - known, cells });
    return this.#bytes >= PART_BYTES;
  }

  /** Emits the buffered rows as a part of a transaction. */
  emitPart(id: string): void {
    if (this.#rows.length === 0) return;
    this.#emit({ id, ...this.content, commit: null, ddl: [] });
    this.#gone += this.#rows.length;
    for (const { table } of this.#rows) this.#goneTables.set(`${table.schema}.${table.name}`, table);
    this.empty();
  }

  /** Emits rows that were read again, with their own ordinals, as a part of a transaction. */
  passOn(id: string, { rows, firstOrdinal, bytes }: TransactionPart): void {
    if (rows.length === 0) return;
    this.#gone = firstOrdinal + rows.length;
    this.#emit({ id, rows, firstOrdinal, commit: null, bytes, ddl: [] });
  }

  /** Drops the buffered rows; no later rows of this transaction may be added. */
  drop(): void {
    this.empty();
    this.#isDropped = true;
  }

  /** Replaces the buffered rows. */
  replace(rows: RowEvent[], bytes: number): void {
    this.#rows = rows;
    this.#bytes = bytes;
  }

  /** Drops the buffered rows. */
  empty(): void {
    this.replace([], 0);
  }

  setSavepoint(name: string): void {
    this.#savepoints.set(name, this.#gone + this.#rows.length);
  }

  /** Drops the rows after a savepoint. Throws a CaptureFault if it is unknown, or if any of them have been emitted. */
  rollBackTo(name: string): void {
    const rows = this.#gone + this.#rows.length;
    this.#rows.length = this.#savepoints.rollBackTo(name, { rows, gone: this.#gone }) - this.#gone;
  }

  /** Returns the tables of all rows of the transaction. */
  tables(): TableName[] {
    const tables = new Map(this.#goneTables);
    for (const { table } of this.#rows) tables.set(`${table.schema}.${table.name}`, table);
    return [...tables.values()];
  }

  /** Prepares for the rows of another transaction. */
  reset(): void {
    this.empty();
    this.#gone = 0;
    this.#isDropped = false;
    this.#savepoints.clear();
    this.#goneTables.clear();
  }
}

export interface RowsSize extends Pick<MappedTable, 'schema'> {
  isUpdate: boolean;
  /** Size of the event. */
  bytes: number;
}
