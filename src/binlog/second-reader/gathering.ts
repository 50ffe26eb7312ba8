import { memoryOfRows } from '../decode/memory-of-rows.ts';
import { hasReached } from '../position/log-place.ts';
import type { LogPlace, RowOp } from '../types.ts';
import type {
  Trouble,
  ZongjiColumn,
  ZongjiImage,
  ZongjiRow,
  ZongjiTable,
  ZongjiTransaction,
} from './zongji-log.ts';

/**
 * Memory limit for the rows of one transaction, in bytes, estimated as in our reader; larger transactions are left out. Estimated by
 * the size of its row events alone, a transaction of 100,000 short rows took 40 MB.
 */
const MAX_TRANSACTION_BYTES = 8 * 1024 * 1024;

export interface GatheringOptions {
  /** The end of the last transaction to read. */
  until: LogPlace;
  onTransaction(transaction: ZongjiTransaction): void;
}

/** Members of zongji that its types lack. */
export interface ZongjiInternals {
  connection: { query(sql: string, done: (error: Error | null) => void): void } | null;
  options: { filename: string };
}

/** An event, with the members of all event types that are read. */
export interface ZongjiEvent {
  getTypeName(): string;
  nextPosition: number;
  size: number;
  query?: string;
  tableId: number;
  tableMap: Record<number, TableEntry | undefined>;
  columns_present_bitmap: Buffer;
  columns_present_bitmap2?: Buffer;
  rows: Record<string, unknown>[];
}

interface TableEntry {
  parentSchema: string;
  tableName: string;
  columns: { type: number }[];
  columnSchemas: {
    COLUMN_NAME: string;
    COLUMN_TYPE: string;
    CHARACTER_SET_NAME: string | null | undefined;
  }[];
}

/** Column types that zongji reads (its lib/common.js): MySQL's VECTOR, 242, is not among them. */
const readTypes: ReadonlySet<number> = new Set([
  1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 140, 141, 245, 246, 247, 248, 249, 250, 251,
  252, 254, 255,
]);

const opOf: Readonly<Record<string, RowOp | undefined>> = {
  WriteRows: 'insert',
  UpdateRows: 'update',
  DeleteRows: 'delete',
};

/** Gathers zongji's events into transactions. */
export class Gathering {
  readonly #options: GatheringOptions;
  readonly #zongji: ZongjiInternals;
  readonly #onReached: () => void;
  readonly #tables = new WeakMap<TableEntry, ZongjiTable>();
  #rows: ZongjiRow[] = [];
  #bytes = 0;
  #trouble: Trouble | null = null;

  constructor(options: GatheringOptions, zongji: ZongjiInternals, onReached: () => void) {
    this.#options = options;
    this.#zongji = zongji;
    this.#onReached = onReached;
  }

  /** Marks the rows of the current transaction as unreliable and drops them. */
  poison(trouble: Trouble): void {
    // For an event that it cannot read at all, zongji first reports an error, once, and then the event, which has the precise reason.
    if (this.#trouble === null || this.#trouble === 'zongji-error') this.#trouble = trouble;
    this.#rows = [];
  }

  take(event: ZongjiEvent): void {
    const type = event.getTypeName();
    const op = opOf[type];
    if (op) this.#add(event, op);
    else if (type === 'Heartbeat') this.#look(event);
    else if (type === 'Xid') this.#close(event);
    else if (type === 'Query') this.#statement(event);
    else if (type === 'PartialUpdateRows') this.poison('partial-json');
    else if (type === 'XaPrepare') this.#closeWith(event, 'xa-transaction');
    // Its commit is inside the payload.
    else if (type === 'TransactionPayload') this.#closeWith(event, 'compressed-transaction');
  }

  #statement(event: ZongjiEvent): void {
    const text = event.query?.trim().toUpperCase() ?? '';
    if (text === 'COMMIT') this.#close(event);
    else if (text === 'ROLLBACK') this.#closeWith(event, 'rolled-back');
    else if (text.startsWith('ROLLBACK')) this.poison('rolled-back');
    // A definition commits implicitly; on MariaDB only its position shows this. CREATE TABLE … SELECT continues with rows.
    else if (text === 'BEGIN' && this.#rows.length === 0) this.#reset();
    this.#look(event);
  }

  #closeWith(event: ZongjiEvent, trouble: Trouble): void {
    this.poison(trouble);
    this.#close(event);
  }

  #close(event: ZongjiEvent): void {
    const transaction = {
      file: this.#zongji.options.filename,
      offset: event.nextPosition,
      rows: this.#rows,
      trouble: this.#trouble,
    };
    this.#reset();
    this.#options.onTransaction(transaction);
    this.#look(event);
  }

  #reset(): void {
    this.#rows = [];
    this.#bytes = 0;
    this.#trouble = null;
  }

  #look({ nextPosition }: ZongjiEvent): void {
    const place = { file: this.#zongji.options.filename, offset: nextPosition };
    if (hasReached(place, this.#options.until)) this.#onReached();
  }

  #add(event: ZongjiEvent, op: RowOp): void {
    const entry = event.tableMap[event.tableId];
    if (this.#trouble !== null || !entry) return;
    // zongji does not read the metadata of such a type either, and so misreads the columns after it.
    if (!entry.columns.every(({ type }) => readTypes.has(type))) {
      this.poison('unsupported-type');
      return;
    }
    const images = op === 'update' ? 2 : 1;
    const cells = images * entry.columns.length;
    this.#bytes += memoryOfRows({ bytes: event.size, rows: event.rows.length, cells });
    if (this.#bytes > MAX_TRANSACTION_BYTES) {
      this.poison('too-large');
      return;
    }
    const table = this.#tableOf(entry);
    const first = bits(event.columns_present_bitmap, table.columns.length);
    const second = event.columns_present_bitmap2
      ? bits(event.columns_present_bitmap2, table.columns.length)
      : first;
    const image = (values: unknown, present: Uint8Array): ZongjiImage => ({
      values: values as ZongjiImage['values'],
      present,
    });
    for (const row of event.rows) {
      if (op === 'update') {
        const { before, after } = row;
        this.#rows.push({ table, op, before: image(before, first), after: image(after, second) });
      } else {
        const only = image(row, first);
        this.#rows.push({
          table,
          op,
          before: op === 'delete' ? only : null,
          after: op === 'insert' ? only : null,
        });
      }
    }
  }

  #tableOf(entry: TableEntry): ZongjiTable {
    const known = this.#tables.get(entry);
    if (known) return known;
    const table = {
      schema: entry.parentSchema,
      name: entry.tableName,
      columns: entry.columnSchemas.map((column): ZongjiColumn => ({
        name: column.COLUMN_NAME,
        type: column.COLUMN_TYPE.replace(/^(enum|set)\(.*$/s, '$1'),
        charset: column.CHARACTER_SET_NAME,
      })),
    };
    this.#tables.set(entry, table);
    return table;
  }
}

function bits(bitmap: Buffer, count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => (bitmap[i >> 3]! >> (i & 7)) & 1);
}
