import { readTableId } from '../decode/read-rows.ts';
import { endOfTimeIn, type EndOfTime } from '../decode/system-versioning.ts';
import { readTableMap, type MappedTable, type TableMapContext } from '../decode/table-map.ts';
import type { MappedParent, ParentRows } from '../foreign-key/parent-rows.ts';
import { ByteReader } from '../protocol/byte-reader.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import type { SchemaHistory } from './schema-history.ts';
import type { TransactionTime } from './transaction-time.ts';

/** Table maps are kept while the server uses the same ids; this limit bounds the cache after a restart or many ALTERs. */
const MAX_CACHED_TABLES = 2_000;

interface CachedTable {
  /** The table map's bytes: a table map with equal bytes is not read again. */
  raw: Buffer;
  /** Null: its rows are not read. */
  table: MappedTable | null;
  isOurs: boolean;
  /** Null: no cascade from it reaches a watched table. */
  parent: MappedParent | null;
}

export interface TableCacheOptions {
  context: TableMapContext;
  shown: SchemaHistory;
  time: TransactionTime;
  parents: ParentRows | undefined;
}

/** The tables that the log has described, by the table ids that rows events use. */
export class TableCache {
  readonly #options: TableCacheOptions;
  readonly #tables = new Map<number, CachedTable>();
  /** For the current file; undefined before the first one begins. */
  #endOfTime: EndOfTime | undefined;
  #hasVersioned = false;

  constructor(options: TableCacheOptions) {
    this.#options = options;
  }

  get(id: number): CachedTable | undefined {
    return this.#tables.get(id);
  }

  /** See TransactionPart. */
  get endOfTime(): EndOfTime | undefined {
    return this.#hasVersioned ? this.#endOfTime : undefined;
  }

  /** Begins a file of the log with its format description: table ids and the server's version may change. */
  beginFile(description: LogEvent): void {
    const { flavour, hasShortTimestamps } = this.#options.context;
    this.#tables.clear();
    this.#hasVersioned = false;
    if (flavour === 'mariadb') this.#endOfTime = endOfTimeIn(description, hasShortTimestamps);
  }

  /** Called when a transaction begins, not within one, because a statement maps all its tables before its rows. */
  limit(): void {
    if (this.#tables.size >= MAX_CACHED_TABLES) this.#tables.clear();
  }

  /** Reads a table map, unless its transaction is waived. Throws a CaptureFault or a StaleSchemaError (see SchemaHistory). */
  map(event: LogEvent, isWaived: boolean): void {
    const { context, shown, time, parents } = this.#options;
    const id = readTableId(event);
    const cached = this.#tables.get(id);
    // Most table maps are unchanged, so compare before creating a view of the bytes.
    if (cached && cached.raw.compare(event.buffer, event.bodyStart, event.bodyEnd) === 0) {
      if (cached.isOurs) time.passOwn();
      return;
    }
    const endOfTime = this.#endOfTime;
    const reader = new ByteReader(event.buffer, event.bodyStart + 8, event.bodyEnd);
    const mapped = isWaived ? null : readTableMap(reader, context, endOfTime);
    if (mapped && mapped.rowEnd >= 0) this.#hasVersioned = true;
    if (mapped) shown.requireKnown(mapped);
    const table = mapped?.isWatched ? mapped : null;
    if (table) shown.note(table, context.columnsOf(table.schema.schema, table.schema.name) ?? new Set());
    const raw = Buffer.from(event.buffer.subarray(event.bodyStart, event.bodyEnd));
    const isOurs = time.passOwnMap(event);
    // A waived transaction's maps are not kept, because the next transaction must read them.
    if (isWaived) this.#tables.delete(id);
    else this.#tables.set(id, { raw, table, isOurs, parent: parents?.map(event, endOfTime) ?? null });
  }
}
