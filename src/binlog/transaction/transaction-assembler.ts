import { AppError } from '../../lib/errors.ts';
import type { AssemblerOptions } from './assembler-options.ts';
import { ByteReader } from '../protocol/byte-reader.ts';
import { ParentRows, type MappedParent } from '../foreign-key/parent-rows.ts';
import { haltOf, HaltError, toTripwire, Tripwire, undecodableRemedy } from '../halt.ts';
import { eventType, maySuspend } from '../protocol/event-type.ts';
import { copyLogEvent, FLAG_ARTIFICIAL, type LogEvent } from '../protocol/log-event.ts';
import {
  lostPrepared,
  PreparedTransactions,
  readXaPrepare,
  readXid,
  startsXa,
} from './prepared-transactions.ts';
import { LogCursor } from './log-cursor.ts';
import { memoryOfRows } from '../decode/memory-of-rows.ts';
import { parseMariadbGtids } from '../gtid/gtid.ts';
import { isLaterFile } from '../position/log-place.ts';
import { readGtidList, readTransactionStart, type TransactionStart } from '../gtid/read-gtid.ts';
import { readPayload } from '../protocol/read-payload.ts';
import { readRows, readTableId, rowOp } from '../decode/read-rows.ts';
import { Savepoints } from './savepoints.ts';
import { ShownColumns } from './shown-columns.ts';
import { isPlainBegin, type LoggedStatement } from '../statement/read-statement.ts';
import { isSkipped, unreadableEvent } from '../protocol/unreadable-event.ts';
import { OutgrownError, RetiredDomainError } from './outgrown.ts';
import { readTableMap, type MappedTable } from '../decode/table-map.ts';
import { TransactionTime } from './transaction-time.ts';
import type { LogPlace, Position, RowEvent, RowOp, TransactionPart } from '../types.ts';

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
  readonly #savepoints = new Savepoints();
  /** Tables of rows that have left in parts. */
  readonly #partTables = new Map<string, TableName>();
  readonly #parents: ParentRows | undefined;
  /** Where the transaction under way begins. */
  #startedAt: LogPlace;
  /** It began with XA START: whether it commits now or is only prepared is seen when it ends. */
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
    this.#cursor = new LogCursor(options.position, { byOffset: options.byFile || options.gtidSet === null });
  }

  /** How far the log was given in. */
  get place(): LogPlace {
    return this.#cursor.place;
  }

  /**
   * Takes the next event of the stream. Returns a promise where the next event must wait: for a large compressed transaction, rows
   * of an XA transaction that are read again, a statement about which the source is asked. Throws a HaltError, an OutgrownError, or
   * an AppError that is retryable. The bytes of the event are not read after the call returns.
   */
  handle(arrived: LogEvent): void | Promise<void> {
    const event = maySuspend.has(arrived.type) ? copyLogEvent(arrived) : arrived;
    const startOffset = this.#cursor.place.offset;
    this.#cursor.advance(event, this.#open);
    if (this.#cursor.skips(event)) return;
    try {
      const isWhole = event.type === eventType.transactionPayload;
      const pending = isWhole ? this.#unpack(event) : this.#dispatch(event, startOffset);
      return pending?.catch((error: unknown) => this.#recover(error, event, startOffset));
    } catch (error) {
      this.#recover(error, event, startOffset);
    }
  }

  /** A broken connection is no fault of the log: the next reader comes here again. */
  #recover(error: unknown, event: LogEvent, startOffset: number): void {
    const isPassing = error instanceof AppError && !(error instanceof HaltError);
    if (error instanceof OutgrownError || error instanceof RetiredDomainError || isPassing) throw error;
    const isWhole = event.type === eventType.transactionPayload;
    this.#passOver(this.#halted(error, event), () =>
      isWhole ? this.#commit(event) : void this.#dispatch(event, startOffset),
    );
  }

  /** Where the log is only scanned, continues after the transaction: `again` takes the event as one whose loss is accepted. */
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
      case eventType.mariadbGtidList:
        this.#requireDomains(event);
        return;
      case eventType.xaPrepare:
        return this.#xaPrepare(event);
      default:
        return this.#other(event);
    }
  }

  /**
   * The list at the head of a MariaDB file names every domain that the log has had up to there, except retired ones
   * (FLUSH BINARY LOGS DELETE_DOMAIN_ID): they may be used again under numbers that were read, for other transactions.
   */
  #requireDomains(event: LogEvent): void {
    const { gtidSet, position, trustedFile } = this.#options;
    const { file } = this.#cursor.place;
    if (trustedFile === undefined || !gtidSet || event.flags & FLAG_ARTIFICIAL) return;
    // A dump that begins by GTIDs may show older files, from before a domain was first used.
    if (file === trustedFile || !isLaterFile(file, position.file)) return;
    const listed = new Set(readGtidList(event).map(({ domain }) => domain));
    if (parseMariadbGtids(gtidSet.toString()).some(({ domain }) => !listed.has(domain)))
      throw new RetiredDomainError(file);
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
        remedy: undecodableRemedy,
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
    this.#savepoints.clear();
    this.#partTables.clear();
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
        remedy: undecodableRemedy,
      });
    }
    if (cached.parent) this.#parents?.add(event, op, cached.parent);
    if (!cached.table) return;
    const known = this.#rows.length;
    for (const row of readRows(event, op, cached.table)) this.#rows.push(row);
    const cells = cached.table.schema.columns.length * (op === 'update' ? 2 : 1);
    this.#bytes += memoryOfRows({ bytes: event.size, rows: this.#rows.length - known, cells });
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
    for (const { table } of this.#rows) this.#partTables.set(`${table.schema}.${table.name}`, table);
    this.#rows = [];
    this.#bytes = 0;
  }

  #commit(event: LogEvent, ddl: readonly string[] = [], isUndone = false): void {
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
      ...(isUndone && { isUndone }),
      ...(this.time.isOwn && { isOwn: true }),
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
    if (isPlainBegin(event)) {
      this.#open = true;
      return;
    }
    const { statements } = this.#options;
    const statement = statements.read(event);
    switch (statement.effect) {
      case 'begin':
      case 'control':
        this.#open = true;
        if (startsXa(statement.text())) this.#isXa = this.#options.givesPrepared === undefined;
        return;
      case 'savepoint':
        this.#open = true;
        this.#savepoints.set(statements.savepointOf(statement), this.#ordinal + this.#rows.length);
        return;
      case 'commit':
      case 'xa-prepare':
        this.#commit(event);
        return;
      case 'xa-commit':
        return this.#commitPrepared(event, readXid(statement.text()));
      case 'xa-rollback':
        this.prepared.take(readXid(statement.text()));
        this.#commit(event);
        return;
      case 'rollback':
        return this.#whenUndone(() => {
          this.#parents?.forgetRows();
          this.#rows = [];
          this.#bytes = 0;
          this.#commit(event, [], this.#partial);
        });
      case 'rollback-to':
        return this.#whenUndone(() => {
          const rows = this.#ordinal + this.#rows.length;
          const kept = this.#savepoints.rollBackTo(statements.savepointOf(statement), {
            rows,
            gone: this.#ordinal,
          });
          this.#rows.length = kept - this.#ordinal;
        });
      default:
        return this.#define(event, statement);
    }
  }

  /**
   * Rows before a ROLLBACK do not exist: MariaDB logs them, and the ROLLBACK, where the transaction created or dropped a temporary
   * table. Rows of tables without rollback are in a group of their own, which is verified here.
   */
  #whenUndone(undo: () => void): void | Promise<void> {
    if (this.#waived || (this.#rows.length === 0 && !this.#partial)) {
      undo();
      return;
    }
    const tables = new Map(this.#partTables);
    for (const { table } of this.#rows) tables.set(`${table.schema}.${table.name}`, table);
    return this.#options.statements.requireUndone([...tables.values()]).then(undo);
  }

  #define(event: LogEvent, statement: LoggedStatement): void | Promise<void> {
    const { statements } = this.#options;
    statements.note(statement);
    const { schema, effect, text, opensTransaction } = statement;
    if (effect === 'definition' || effect === 'reference') this.#parents?.define({ schema, text: text() });
    const isAccepted = this.#waived;
    const pending = isAccepted ? undefined : statements.refuse(statement, this.#committed);
    const tables = statements.definedTables(statement);
    const settle = (): void => {
      this.#shown.follow(statements.definitionsOf(statement), {
        isAccepted,
        columnsOf: this.#options.columnsOf,
      });
      // MySQL's CREATE TABLE … SELECT continues with rows; so does MariaDB's, whose group is then not standalone.
      if (opensTransaction || (this.#open && !this.#standalone)) this.#open = true;
      else this.#commit(event, isAccepted ? this.#forgetReplaced(statement, tables) : tables);
    };
    if (pending) return pending.then(settle);
    settle();
  }

  /** A person accepted that tables went. Gives those back that a definition names besides. */
  #forgetReplaced(statement: LoggedStatement, tables: string[]): string[] {
    const replaced = this.#options.statements.replacedTables(statement);
    if (!replaced) return tables;
    this.#shown.forget(replaced.isReplaced);
    return tables.filter((name) => !replaced.isGone(name));
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
    if (!Array.isArray(inner)) return this.#unpackRest(inner);
    for (const [index, each] of inner.entries()) {
      const pending = this.#dispatch(each, this.#cursor.place.offset);
      if (pending) return pending.then(() => this.#unpackRest(inner.slice(index + 1)));
    }
  }

  async #unpackRest(inner: AsyncIterable<LogEvent> | readonly LogEvent[]): Promise<void> {
    for await (const each of inner) {
      await this.#dispatch(each, this.#cursor.place.offset);
      await this.#options.room();
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

type TableName = Pick<RowEvent['table'], 'schema' | 'name'>;
