import { randomUUID } from 'node:crypto';
import ZongJi from '@vlasky/zongji';
import { toConnectionTarget, type DatabaseUrl } from '../../db/connection/database-url.ts';
import { hasReached } from '../position/log-place.ts';
import { memoryOfRows } from '../decode/memory-of-rows.ts';
import type { LogPlace, RowOp } from '../types.ts';
import type {
  Trouble,
  ZongjiColumn,
  ZongjiImage,
  ZongjiRow,
  ZongjiTable,
  ZongjiTransaction,
} from './zongji-log.ts';

const HEARTBEAT_MS = 500;
/**
 * Bytes of memory that the rows of one transaction may take, as our reader counts them; a larger one is left out. Counted by the size
 * of its row events, a transaction of 100,000 short rows took 40 MB.
 */
const MAX_TRANSACTION_BYTES = 8 * 1024 * 1024;

export interface ReadingOptions {
  url: DatabaseUrl;
  /** Of no other reader. */
  serverId: number;
  /** The end of a transaction, or the beginning of a file (offset 4). */
  from: LogPlace;
  /** The end of the last transaction to read. */
  until: LogPlace;
  /** Names of tables by schema, in every spelling that the log may have. */
  tables: Readonly<Record<string, string[]>>;
  onTransaction(transaction: ZongjiTransaction): void;
}

/** `reached`: all up to `until`. `refused`: a connection failed. `closed`: `close` was called before. */
export type ReadingEnd = 'reached' | 'refused' | 'closed';

export interface Reading {
  /** Never rejects. */
  readonly end: Promise<ReadingEnd>;
  close(): void;
}

/**
 * Reads a range of the log with zongji. Heartbeats tell at the end of a quiet log that `until` is reached. The stream does not
 * end by itself: a server that closed it while zongji asks the dictionary about a table made zongji lose what had arrived. A
 * frozen connection is silence for ever: the caller sets the time limit.
 *
 * What zongji cannot read it reports beside the stream, as an `error` or as an event without rows, and then continues: such a
 * transaction is passed on with its trouble.
 */
export function readWithZongji(options: ReadingOptions): Reading {
  const { promise, resolve } = Promise.withResolvers<ReadingEnd>();
  const zongji = new ZongJi({
    ...toConnectionTarget(options.url),
    charset: 'utf8mb4',
    connectTimeout: 10_000,
    dateStrings: true,
    timezone: 'Z',
    jsonStrings: true,
    supportBigNumbers: true,
  });
  let ended = false;
  const finish = (how: ReadingEnd): void => {
    if (ended) return;
    ended = true;
    zongji.removeAllListeners('binlog');
    zongji.stop();
    resolve(how);
  };
  const gathering = new Gathering(options, zongji, () => finish('reached'));
  zongji.on('error', (error: unknown) => {
    if (isOfConnection(error)) finish('refused');
    else gathering.poison(troubleOf(error));
  });
  zongji.on('binlog', (event) => gathering.take(event as unknown as LogEvent));
  zongji.on('ready', () => {
    // zongji queues its dump as soon as this handler returns, behind these.
    for (const statement of sessionSettings())
      (zongji as unknown as Internals).connection?.query(statement, (error) => error && finish('refused'));
  });
  zongji.start({
    serverId: options.serverId,
    filename: options.from.file,
    position: options.from.offset,
    includeSchema: options.tables,
    includeEvents: [
      'tablemap',
      'writerows',
      'updaterows',
      'deleterows',
      'query',
      'xid',
      'xaprepare',
      'transactionpayload',
      'partialupdaterows',
      'heartbeat',
    ],
  });
  return { end: promise, close: () => finish('closed') };
}

function sessionSettings(): string[] {
  const uuid = randomUUID();
  return ['master', 'source'].map(
    (role) =>
      `SET @${role}_heartbeat_period = ${HEARTBEAT_MS * 1_000_000}, ` +
      `@${role === 'master' ? 'slave' : 'replica'}_uuid = '${uuid}'`,
  );
}

/** Members of zongji that its types do not have. */
interface Internals {
  connection: { query(sql: string, done: (error: Error | null) => void): void } | null;
  options: { filename: string };
}

/** An event, with the members of all the kinds that are read. */
interface LogEvent {
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

/** Column types that zongji reads (its lib/common.js): a VECTOR of MySQL, 242, is not among them. */
const readTypes: ReadonlySet<number> = new Set([
  1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18, 19, 140, 141, 245, 246, 247, 248, 249, 250, 251,
  252, 254, 255,
]);

const opOf: Readonly<Record<string, RowOp | undefined>> = {
  WriteRows: 'insert',
  UpdateRows: 'update',
  DeleteRows: 'delete',
};

/** Puts events together to transactions. */
class Gathering {
  readonly #options: ReadingOptions;
  readonly #zongji: Internals;
  readonly #onReached: () => void;
  readonly #tables = new WeakMap<TableEntry, ZongjiTable>();
  #rows: ZongjiRow[] = [];
  #bytes = 0;
  #trouble: Trouble | null = null;

  constructor(options: ReadingOptions, zongji: unknown, onReached: () => void) {
    this.#options = options;
    this.#zongji = zongji as Internals;
    this.#onReached = onReached;
  }

  /** The rows of the transaction that is being read cannot be trusted. */
  poison(trouble: Trouble): void {
    // Of what it does not read at all zongji reports an error first, once, and then the event.
    if (this.#trouble === null || this.#trouble === 'zongji-error') this.#trouble = trouble;
    this.#rows = [];
  }

  take(event: LogEvent): void {
    const type = event.getTypeName();
    const op = opOf[type];
    if (op) this.#add(event, op);
    else if (type === 'Heartbeat') this.#look(event);
    else if (type === 'Xid') this.#close(event);
    else if (type === 'Query') this.#statement(event);
    else if (type === 'PartialUpdateRows') this.poison('partial-json');
    else if (type === 'XaPrepare') this.#closeWith(event, 'xa-transaction');
    // Its commit is inside.
    else if (type === 'TransactionPayload') this.#closeWith(event, 'compressed-transaction');
  }

  #statement(event: LogEvent): void {
    const text = event.query?.trim().toUpperCase() ?? '';
    if (text === 'COMMIT') this.#close(event);
    else if (text === 'ROLLBACK') this.#closeWith(event, 'rolled-back');
    else if (text.startsWith('ROLLBACK')) this.poison('rolled-back');
    // A definition commits by itself; on MariaDB nothing but its position says so. CREATE TABLE … SELECT continues with rows.
    else if (text === 'BEGIN' && this.#rows.length === 0) this.#reset();
    this.#look(event);
  }

  #closeWith(event: LogEvent, trouble: Trouble): void {
    this.poison(trouble);
    this.#close(event);
  }

  #close(event: LogEvent): void {
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

  #look({ nextPosition }: LogEvent): void {
    const place = { file: this.#zongji.options.filename, offset: nextPosition };
    if (hasReached(place, this.#options.until)) this.#onReached();
  }

  #add(event: LogEvent, op: RowOp): void {
    const entry = event.tableMap[event.tableId];
    if (this.#trouble !== null || !entry) return;
    // It does not read the metadata of such a type either, so that it takes the columns behind it for others.
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

/** By zongji's words for what it cannot read. */
function troubleOf(error: unknown): Trouble {
  const text = error instanceof Error ? error.message : '';
  if (text.startsWith('Unsupported type')) return 'unsupported-type';
  if (/^JSON (Opaque )?Type Not Implemented/.test(text)) return 'json-value';
  return 'zongji-error';
}

/** mysql2's errors of a connection carry these; what zongji throws while it decodes does not. */
function isOfConnection(error: unknown): boolean {
  return error instanceof Error && ('fatal' in error || 'sqlState' in error || 'syscall' in error);
}
