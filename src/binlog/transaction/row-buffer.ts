import { memoryOfRows } from '../decode/memory-of-rows.ts';
import type { MappedTable } from '../decode/table-map.ts';
import type { RowEvent, TransactionPart } from '../types.ts';
import { Savepoints } from './savepoints.ts';

/** Beyond so many bytes of rows a transaction leaves in parts, so that its size does not bound our memory. */
const PART_BYTES = 4 * 1024 * 1024;

export type TableName = Pick<RowEvent['table'], 'schema' | 'name'>;

/** Watched rows of the transaction under way: the ones here have not left in a part yet. */
export class RowBuffer {
  readonly #emit: (part: TransactionPart) => void;
  readonly #savepoints = new Savepoints();
  /** Tables of rows that have left in parts. */
  readonly #goneTables = new Map<string, TableName>();
  #rows: RowEvent[] = [];
  #bytes = 0;
  /** How many rows have left in parts. */
  #gone = 0;
  /** They outgrew a part and were not kept: they are read again at the commit. */
  #isDropped = false;

  constructor(emit: (part: TransactionPart) => void) {
    this.#emit = emit;
  }

  get isEmpty(): boolean {
    return this.#rows.length === 0 && this.#gone === 0;
  }

  /** Whether rows have left in a part. */
  get hasLeft(): boolean {
    return this.#gone > 0;
  }

  get isDropped(): boolean {
    return this.#isDropped;
  }

  /** What is here, for the part that is emitted next. */
  get content(): Pick<TransactionPart, 'rows' | 'firstOrdinal' | 'bytes'> {
    return { rows: this.#rows, firstOrdinal: this.#gone, bytes: this.#bytes };
  }

  /** Adds the rows of an event of so many bytes. Returns true when they are enough for a part. */
  add(rows: Iterable<RowEvent>, { schema, isUpdate, bytes }: RowsSize): boolean {
    const known = this.#rows.length;
    for (const row of rows) this.#rows.push(row);
    const cells = schema.columns.length * (isUpdate ? 2 : 1);
    this.#bytes += memoryOfRows({ bytes, rows: this.#rows.length - known, cells });
    return this.#bytes >= PART_BYTES;
  }

  /** Emits what is here as a part of a transaction. */
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

  /** Drops what is here, and what comes of this transaction is not to be added. */
  drop(): void {
    this.empty();
    this.#isDropped = true;
  }

  /** Puts rows in the place of what is here. */
  replace(rows: RowEvent[], bytes: number): void {
    this.#rows = rows;
    this.#bytes = bytes;
  }

  /** Drops what is here. */
  empty(): void {
    this.replace([], 0);
  }

  setSavepoint(name: string): void {
    this.#savepoints.set(name, this.#gone + this.#rows.length);
  }

  /** Drops the rows behind a savepoint. Throws a CaptureFault where it is unknown or some of them have left. */
  rollBackTo(name: string): void {
    const rows = this.#gone + this.#rows.length;
    this.#rows.length = this.#savepoints.rollBackTo(name, { rows, gone: this.#gone }) - this.#gone;
  }

  /** The tables of all rows of the transaction. */
  tables(): TableName[] {
    const tables = new Map(this.#goneTables);
    for (const { table } of this.#rows) tables.set(`${table.schema}.${table.name}`, table);
    return [...tables.values()];
  }

  /** The next rows are of another transaction. */
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
  /** Of the event. */
  bytes: number;
}
