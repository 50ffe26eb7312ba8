import { AppError } from '../lib/errors.ts';
import type { AssemblerOptions } from './assembler-options.ts';
import { ByteReader } from './byte-reader.ts';
import { ParentRows, type MappedParent } from './foreign-key/parent-rows.ts';
import { haltOf, HaltError, toTripwire, Tripwire } from './halt.ts';
import { eventType } from './event-type.ts';
import type { LogEvent } from './log-event.ts';
import {
  lostPrepared,
  PreparedTransactions,
  readXaPrepare,
  readXid,
  startsXa,
} from './prepared-transactions.ts';
import { classifyStatement, namedTables, opensTransaction } from './query-text.ts';
import { LogCursor } from './log-cursor.ts';
import { readTransactionStart, type TransactionStart } from './read-gtid.ts';
import { readPayload } from './read-payload.ts';
import { readRows, readTableId, rowOp } from './read-rows.ts';
import { readStatement } from './read-statement.ts';
import { ShownColumns } from './shown-columns.ts';
import { findUnloggedRows } from './unlogged-rows.ts';
import { isSkipped, unreadableEvent } from './unreadable-event.ts';
import { OutgrownError } from './outgrown.ts';
import { readTableMap, type MappedTable } from './table-map.ts';
import { TransactionTime } from './transaction-time.ts';
import type { LogPlace, Position, RowEvent, RowOp, TransactionPart } from './types.ts';

/*
 * One transaction after another, out of one event after another:
 *
 *            gtid                 BEGIN, rows                    xid, COMMIT
 *   idle ───────────▶ started ───────────────▶ open ───────────────────────▶ idle (a part with its commit)
 *                        │                       │ rows beyond partBytes ──▶ open (a part without one)
 *                        └─ definition statement ┴───────────────────────────▶ idle (its tables in `ddl`)
 *
 * Whatever cannot be read for certain throws a HaltError that names the position before the transaction; what another reader can
 * read, an OutgrownError.
 */

/** Beyond so many bytes of rows a transaction leaves in parts, so that its size does not bound our memory. */
const PART_BYTES = 4 * 1024 * 1024;
/** What a decoded row and each of its values take in memory besides their bytes: a short row takes ten times its log. */
const ROW_BYTES = 100;
const CELL_BYTES = 32;

/** Table maps are kept while a server uses the same ids; a restart or many ALTERs must not let them grow for ever. */
const MAX_CACHED_TABLES = 2_000;

interface CachedTable {
  /** The table map's bytes: equal bytes need no second reading. */
  raw: Buffer;
  /** null: its rows are not read. */
  table: MappedTable | null;
  isOurs: boolean;
  /** null: no cascade of it reaches a watched table. */
  parent: MappedParent | null;
}

export class TransactionAssembler {
  readonly #options: AssemblerOptions;
  readonly #tables = new Map<number, CachedTable>();
  readonly #cursor: LogCursor;
  /** Position behind the last whole transaction. */
  #committed: Position;
  /** Of the transaction under way; empty between two. */
  #id = '';
  /** Place of an event that stands between two transactions and cannot be passed over. */
  #alone = '';
  #gtid: string | null = null;
  readonly time: TransactionTime;
  readonly #shown: ShownColumns;
  #standalone = false;
  #open = false;
  #waived = false;
  #rows: RowEvent[] = [];
  #bytes = 0;
  #ordinal = 0;
  #partial = false;
  readonly #parents: ParentRows | undefined;
  /** Where the transaction under way begins. */
  #startedAt: LogPlace;
  /** It began with XA START: whether it commits now or is only prepared shows at its end. */
  #isXa = false;
  /** An XA transaction outgrew a part: its rows are read again when it commits. */
  #isDropped = false;
  readonly prepared = new PreparedTransactions();
  /** Parents of the group that the transaction under way commits. */
  #preparedParents: TransactionPart['parents'];

  constructor(options: AssemblerOptions) {
    this.#options = options;
    this.#committed = options.position;
    this.time = new TransactionTime(options);
    this.#parents = options.parents && new ParentRows(options.parents, options);
    this.#startedAt = options.position;
    this.#shown = new ShownColumns(options.baseline);
    this.#cursor = new LogCursor(options.position, { byOffset: options.gtidSet === null });
  }

  /** How far the log was given in. */
  get place(): LogPlace {
    return this.#cursor.place;
  }

  /**
   * Takes the next event of the stream. Returns a promise only for a large compressed transaction: the next event must wait
   * for it. Throws a HaltError, or an OutgrownError.
   */
  handle(event: LogEvent): void | Promise<void> {
    const startOffset = this.#cursor.place.offset;
    this.#cursor.advance(event, this.#open);
    if (this.#cursor.skips(event)) return;
    try {
      if (event.type === eventType.transactionPayload) return this.#unpack(event);
      return this.#dispatch(event, startOffset);
    } catch (error) {
      if (error instanceof OutgrownError) throw error;
      const isWhole = event.type === eventType.transactionPayload;
      this.#passOver(this.#halted(error, event), () =>
        isWhole ? this.#commit(event) : void this.#dispatch(event, startOffset),
      );
    }
  }

  /** Where the log is only surveyed, goes on behind the transaction: `again` takes the event as one whose loss is accepted. */
  #passOver(error: HaltError, again: () => void): void {
    const { onUnreadable } = this.#options;
    const { transactionId, reason } = error.halt;
    // A definition stands for all that comes after it.
    if (!onUnreadable || transactionId === null || reason === 'column-changed') throw error;
    onUnreadable(error.halt);
    if (this.#id === '') return;
    this.#waived = true;
    this.#reset();
    again();
  }

  #dispatch(event: LogEvent, startOffset: number): void | Promise<void> {
    const op = rowOp(event.type);
    if (op) {
      this.#addRows(event, op);
      return;
    }
    switch (event.type) {
      case eventType.tableMap:
        this.#mapTable(event);
        return;
      case eventType.gtid:
      case eventType.anonymousGtid:
      case eventType.gtidTagged:
      case eventType.mariadbGtid:
        this.#start(readTransactionStart(event), startOffset, event);
        return;
      case eventType.xid:
        this.#commit(event);
        return;
      case eventType.query:
      case eventType.mariadbQueryCompressed:
        return this.#statement(event);
      case eventType.rotate:
        this.#cursor.rotate(event);
        return;
      case eventType.formatDescription:
        this.#tables.clear();
        this.#cursor.begin(event);
        this.time.beginFile(event);
        return;
      case eventType.xaPrepare:
        return this.#xaPrepare(event);
      default:
        return this.#other(event);
    }
  }

  #other(event: LogEvent): void | Promise<void> {
    if (event.type === eventType.executeLoadQuery) return this.#statement(event);
    if (isSkipped(event)) return;
    if (event.type === eventType.partialUpdateRows) {
      if (this.#waived || !this.#tables.get(readTableId(event))?.table) return;
    } else if (this.#isWaived(event)) return;
    throw unreadableEvent(event.type);
  }

  /** Whether a person accepted the loss of what an event stands for: its transaction's, or its own where it stands alone. */
  #isWaived(event: LogEvent): boolean {
    if (this.#id === '') {
      const { file, offset } = this.#cursor.place;
      this.#alone = `${file}:${offset - event.size}`;
    }
    return this.#id === '' ? this.#options.waived.has(this.#alone) : this.#waived;
  }

  #start(start: TransactionStart, offset: number, event: LogEvent): void {
    if (this.#open && (this.#rows.length > 0 || this.#partial)) {
      throw new Tripwire('undecodable', 'a transaction began before the one before it ended', {
        remedy: "Report it with the server's version.",
      });
    }
    // A group without a commit marker (an incident, a statement of no effect) ends where the next begins.
    if (this.#gtid !== null) this.#options.gtidSet?.add(this.#gtid);
    this.#startedAt = this.#cursor.eventPlace;
    this.#id = start.gtid ?? `${this.#startedAt.file}:${offset}`;
    this.#gtid = start.gtid;
    this.time.begin(start, event, this.#startedAt);
    this.#standalone = start.standalone;
    this.#waived = this.#options.waived.has(this.#id);
    // Not in mid-transaction: a statement maps all its tables before its rows.
    if (this.#tables.size >= MAX_CACHED_TABLES) this.#tables.clear();
    this.#open = start.opens;
    this.#isXa = start.prepares && this.#options.givesPrepared === undefined;
    this.#reset();
  }

  #reset(): void {
    this.#rows = [];
    this.#bytes = this.#ordinal = 0;
    this.#partial = false;
    this.#parents?.forget();
    this.#isDropped = false;
    this.#preparedParents = undefined;
  }

  #mapTable(event: LogEvent): void {
    this.#open = true;
    const id = readTableId(event);
    const cached = this.#tables.get(id);
    // Most are the same as before: no view of the bytes is made for those.
    if (cached && cached.raw.compare(event.buffer, event.bodyStart, event.bodyEnd) === 0) {
      if (cached.isOurs) this.time.passOwn();
      return;
    }
    const reader = new ByteReader(event.buffer, event.bodyStart + 8, event.bodyEnd);
    const mapped = this.#waived ? null : readTableMap(reader, this.#options);
    if (mapped) this.#shown.requireKnown(mapped);
    const table = mapped?.isWatched ? mapped : null;
    if (table)
      this.#shown.note(table, this.#options.columnsOf(table.schema.schema, table.schema.name) ?? new Set());
    const raw = Buffer.from(event.buffer.subarray(event.bodyStart, event.bodyEnd));
    const isOurs = this.time.passOwnMap(event);
    // A waived transaction's maps are not kept: the next one must read them.
    if (this.#waived) this.#tables.delete(id);
    else this.#tables.set(id, { raw, table, isOurs, parent: this.#parents?.map(event) ?? null });
  }

  #addRows(event: LogEvent, op: RowOp): void {
    if (this.#waived || this.#isDropped) return;
    const id = readTableId(event);
    const cached = this.#tables.get(id);
    if (!cached) {
      // The dummy id only ends a statement that changed nothing.
      if (id === 0xffffff) return;
      throw new Tripwire('undecodable', `rows of table id ${id} came without their table map`, {
        remedy: 'Restart the daemon: it reads the transaction again.',
      });
    }
    if (cached.parent) this.#parents?.add(event, op, cached.parent);
    if (!cached.table) return;
    const known = this.#rows.length;
    for (const row of readRows(event, op, cached.table)) this.#rows.push(row);
    const cells = cached.table.schema.columns.length * (op === 'update' ? 2 : 1);
    this.#bytes += event.size + (this.#rows.length - known) * (ROW_BYTES + CELL_BYTES * cells);
    if (this.#bytes < PART_BYTES) return;
    if (!this.#isXa) {
      this.#emitPart();
      return;
    }
    this.#rows = [];
    this.#bytes = 0;
    this.#isDropped = true;
  }

  #emitPart(): void {
    if (this.#rows.length === 0) return;
    this.#partial = true;
    this.#options.emit({
      id: this.#id,
      rows: this.#rows,
      firstOrdinal: this.#ordinal,
      commit: null,
      bytes: this.#bytes,
      ddl: [],
    });
    this.#ordinal += this.#rows.length;
    this.#rows = [];
    this.#bytes = 0;
  }

  #commit(event: LogEvent, ddl: readonly string[] = []): void {
    if (this.#gtid !== null) this.#options.gtidSet?.add(this.#gtid);
    this.#committed = this.#cursor.position(this.#options.gtidSet?.toString() ?? null);
    const baseline = this.#shown.takeChange();
    const part: TransactionPart = {
      id: this.#id,
      rows: this.#rows,
      firstOrdinal: this.#ordinal,
      commit: {
        position: this.#committed,
        ...this.time.at(event),
        passedMs: this.time.passedMs,
        ...(baseline === undefined ? {} : { baseline }),
      },
      bytes: this.#bytes,
      ddl,
      ...this.#parents?.take(),
      ...(this.#preparedParents && { parents: this.#preparedParents }),
    };
    this.#open = false;
    this.#isXa = false;
    this.#waived = false;
    this.#id = '';
    this.#gtid = null;
    this.#reset();
    this.#options.emit(part);
  }

  #statement(event: LogEvent): void | Promise<void> {
    const { schema, text } = readStatement(event);
    const kind = classifyStatement(text);
    switch (kind) {
      case 'begin':
      case 'control':
        this.#open = true;
        if (startsXa(text)) this.#isXa = this.#options.givesPrepared === undefined;
        return;
      case 'commit':
        this.#commit(event);
        return;
      case 'rollback':
      case 'rollback-to':
        this.#rollback(event, kind);
        return;
      case 'xa-prepare':
        this.#commit(event);
        return;
      case 'xa-commit':
        return this.#commitPrepared(event, readXid(text));
      case 'xa-rollback':
        this.prepared.take(readXid(text));
        this.#commit(event);
        return;
      case 'truncate':
      case 'ddl':
        this.#define(event, { schema, text });
        return;
      case 'dml':
        this.#refuseStatement(schema, text);
        if (this.#standalone || !this.#open) this.#commit(event);
    }
  }

  /** A group that ends in ROLLBACK was logged because a table without transactions took part: its rows are not certain. */
  #rollback(event: LogEvent, kind: 'rollback' | 'rollback-to'): void {
    if (this.#rows.length > 0 || this.#partial) {
      throw new Tripwire(
        'undecodable',
        'rows of a watched table stand in a transaction that was rolled back in part',
        {
          remedy:
            'Make every watched table ENGINE=InnoDB, then: odontology-webhooks resume --accept-gap --reason "…"',
        },
      );
    }
    if (kind === 'rollback-to') return;
    this.#parents?.forgetRows();
    this.#commit(event);
  }

  #define(event: LogEvent, statement: { schema: string; text: string }): void {
    const { watchedTables, isWatchedSchema } = this.#options;
    this.#parents?.define(statement);
    const concerns = isWatchedSchema(statement.schema) || this.#mentionsWatchedSchema(statement.text);
    let tables = concerns ? namedTables(statement.text, watchedTables()) : [];
    if (this.#waived) tables = this.#forgetDropped(statement, tables);
    else this.#refuseUnloggedRows(statement);
    // MySQL's CREATE TABLE … SELECT goes on with rows; so does MariaDB's, whose group is then not standalone.
    if (opensTransaction(statement.text) || (this.#open && !this.#standalone)) {
      this.#open = true;
      return;
    }
    this.#commit(event, tables);
  }

  /** Rows that come or go without row events: their changes cannot be told, and afterwards nothing shows that they are missing. */
  #refuseUnloggedRows({ schema, text }: { schema: string; text: string }): void {
    const unlogged = findUnloggedRows(text);
    if (!unlogged) return;
    const { columnsOf, isWatchedSchema } = this.#options;
    const hit = unlogged.tables.find((named) => {
      const database = named.schema ?? schema;
      return named.table === null
        ? isWatchedSchema(database)
        : columnsOf(database, named.table) !== undefined;
    });
    if (!hit) return;
    const name = [hit.schema ?? schema, ...(hit.table === null ? [] : [hit.table])].join('.');
    throw new Tripwire(
      'truncate',
      `${unlogged.statement} took rows of ${name} away, or brought some, without logging them`,
      {
        ...(hit.table === null ? {} : { table: name }),
        remedy: `odontology-webhooks resume --accept-gap --reason "${unlogged.statement}" -- and use DELETE in future`,
      },
    );
  }

  /** A person accepted that tables went. Gives those back that a definition names besides. */
  #forgetDropped({ schema, text }: { schema: string; text: string }, tables: string[]): string[] {
    const unlogged = findUnloggedRows(text);
    if (!unlogged || !/^(DROP|CREATE)/.test(unlogged.statement)) return tables;
    const gone = unlogged.tables.filter((named) => this.#options.isWatchedSchema(named.schema ?? schema));
    const isGone = (name: string): boolean =>
      gone.some(({ table }) => table === null || table.toLowerCase() === name.toLowerCase());
    this.#shown.forget(isGone);
    return unlogged.statement.startsWith('DROP') ? tables.filter((name) => !isGone(name)) : tables;
  }

  #mentionsWatchedSchema(text: string): boolean {
    const words = text.match(/[\p{L}\p{N}_$]+/gu) ?? [];
    return words.some((word) => this.#options.isWatchedSchema(word));
  }

  #refuseStatement(schema: string, text: string): void {
    if (this.#waived) return;
    if (!this.#options.isWatchedSchema(schema) && !this.#mentionsWatchedSchema(text)) return;
    throw new Tripwire(
      'statement-format',
      'a change to the watched schema is logged as a statement, not as rows',
      {
        remedy:
          'SET PERSIST binlog_format = \'ROW\'; -- and look for sessions that set it otherwise; then: odontology-webhooks resume --accept-gap --reason "…"',
      },
    );
  }

  /** The end of an XA transaction's rows: XA COMMIT … ONE PHASE commits them at once, XA PREPARE leaves their fate open. */
  #xaPrepare(event: LogEvent): void | Promise<void> {
    const { xid, isOnePhase } = readXaPrepare(event);
    const { givesPrepared } = this.#options;
    if (givesPrepared !== undefined && givesPrepared !== xid) throw lostPrepared();
    const place = this.#startedAt;
    if (isOnePhase && this.#isDropped) return this.#commitReread(event, { xid, place });
    if (!isOnePhase && givesPrepared === undefined) {
      const rows = this.#isDropped ? undefined : this.#rows;
      this.prepared.add(xid, { place, rows, bytes: this.#bytes, parents: this.#parents?.take().parents });
      this.#reset();
    }
    this.#commit(event);
  }

  /** XA COMMIT: the rows that were prepared under the xid are this transaction's. */
  #commitPrepared(event: LogEvent, xid: string): void | Promise<void> {
    const prepared = this.prepared.take(xid);
    if (!this.#waived && !prepared?.rows && this.#options.rereadPrepared)
      return this.#commitReread(event, { xid, place: prepared?.place });
    if (!this.#waived && prepared?.rows) {
      this.#rows = prepared.rows;
      this.#bytes = prepared.bytes;
      this.#preparedParents = prepared.parents;
    }
    this.#commit(event);
  }

  async #commitReread(event: LogEvent, found: { xid: string; place: LogPlace | undefined }): Promise<void> {
    const wanted = { ...found, end: this.#startedAt, baseline: this.#shown.known };
    try {
      this.#reset();
      if (!(await this.#options.rereadPrepared?.(wanted, (part) => this.#giveReread(part))))
        throw lostPrepared();
      this.#commit(event);
    } catch (error) {
      // A broken connection is no fault of the log: the next reader comes here again.
      if (error instanceof OutgrownError || (error instanceof AppError && !(error instanceof HaltError)))
        throw error;
      this.#passOver(this.#halted(error, event), () => this.#commit(event));
    }
  }

  /** A part of what was read again, as one of the transaction under way. */
  #giveReread({ rows, firstOrdinal, bytes, parents }: TransactionPart): void {
    this.#preparedParents = parents;
    if (rows.length === 0) return;
    this.#partial = true;
    this.#ordinal = firstOrdinal + rows.length;
    this.#options.emit({ id: this.#id, rows, firstOrdinal, commit: null, bytes, ddl: [] });
  }

  #unpack(event: LogEvent): void | Promise<void> {
    if (this.#waived) {
      this.#commit(event);
      return;
    }
    const inner = readPayload(event);
    if (!Array.isArray(inner)) return this.#unpackStream(inner, event);
    // Only an XA transaction's last event has to be waited for.
    for (const each of inner) {
      const pending = this.#dispatch(each, this.#cursor.place.offset);
      if (pending) return pending;
    }
  }

  async #unpackStream(inner: AsyncGenerator<LogEvent, void, undefined>, event: LogEvent): Promise<void> {
    try {
      for await (const each of inner) {
        await this.#dispatch(each, this.#cursor.place.offset);
        await this.#options.room();
      }
    } catch (error) {
      if (error instanceof OutgrownError) throw error;
      this.#passOver(this.#halted(error, event), () => this.#commit(event));
    }
  }

  /** Adds the position to what went wrong in the bytes. Nothing of the row or the statement goes into the message. */
  #halted(error: unknown, event: LogEvent): HaltError {
    const id = this.#id === '' ? this.#alone : this.#id;
    const { committedAtMs } = this.time.at(event);
    if (error instanceof HaltError) {
      // Found in the group that an XA COMMIT had read again: it is the commit whose loss can be accepted.
      const span = { fromMs: committedAtMs, untilMs: committedAtMs };
      return new HaltError({ ...error.halt, position: this.#committed, transactionId: id, span }, error);
    }
    const tripwire = toTripwire(error);
    return new HaltError(
      haltOf(tripwire, this.#committed, id === '' ? undefined : { id, committedAtMs }),
      tripwire === error ? undefined : error,
    );
  }
}
