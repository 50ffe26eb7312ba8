import { ByteReader } from './byte-reader.ts';
import { ParentRows, type MappedParent, type ParentReading } from './foreign-key/parent-rows.ts';
import { haltOf, HaltError, toTripwire, Tripwire, type Halt } from './halt.ts';
import { changesNothing, eventType, FLAG_ARTIFICIAL, FLAG_IGNORABLE, type LogEvent } from './log-event.ts';
import { classifyStatement, namedTables, opensTransaction } from './query-text.ts';
import { readGtid, readMariadbGtid, readTaggedGtid, type TransactionStart } from './read-gtid.ts';
import { readPayload } from './read-payload.ts';
import { readRows, readTableId, rowOp } from './read-rows.ts';
import { readStatement } from './read-statement.ts';
import { ShownColumns } from './shown-columns.ts';
import { findUnloggedRows } from './unlogged-rows.ts';
import { OutgrownError } from './outgrown.ts';
import { readTableMap, type MappedTable, type TableMapContext } from './table-map.ts';
import type { Baseline, LogPlace, Position, RowEvent, RowOp, TransactionPart } from './types.ts';

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

/** COM_BINLOG_DUMP carries the offset in 32 bits. */
export const MAX_DUMP_OFFSET = 0xffff_ffff;
/** The log's own count of a file's bytes begins anew here. */
const WRAP = 0x1_0000_0000;
/** Sent for the connection alone. */
const notInFile: ReadonlySet<number> = new Set([eventType.heartbeat, eventType.heartbeatV2]);

export interface AssemblerOptions extends TableMapContext {
  position: Position;
  /** Adds a GTID to what is executed and gives the whole set back as text. Null where the server has none. */
  gtidSet: { add(gtid: string): void; toString(): string } | null;
  isWatchedSchema(schema: string): boolean;
  watchedTables(): Iterable<string>;
  /** Transactions whose loss the operator has accepted on record: passed over whole. */
  waived: ReadonlySet<string>;
  /**
   * Watched columns and their kinds as last seen before the position. A column that was there and is gone, or changed its
   * kind, stops the stream. What changes is told with the commit, for the checkpoint to keep.
   */
  baseline: Baseline;
  /**
   * For a survey of the log: told of each transaction that cannot be read, which is then passed over as if its loss were
   * accepted; what was emitted of it before has been told in vain. Without it such a transaction ends the stream.
   */
  onUnreadable?(halt: Halt): void;
  /** Parents whose cascades are to be told where the log does not show them; without it none is looked at. */
  parents?: ParentReading;
  emit(part: TransactionPart): void;
  /** A promise while the buffer behind `emit` is full. */
  room(): Promise<void> | undefined;
}

interface CachedTable {
  /** The table map's bytes: equal bytes need no second reading. */
  raw: Buffer;
  /** null: its rows are not read. */
  table: MappedTable | null;
  /** null: no cascade of it reaches a watched table. */
  parent: MappedParent | null;
}

export class TransactionAssembler {
  readonly #options: AssemblerOptions;
  readonly #tables = new Map<number, CachedTable>();
  #file: string;
  #offset: number;
  /** A dump cannot be asked to start beyond 4 GiB: it starts at the file's begin, and all up to here is passed over. */
  #skipUntil: number;
  #fileCreatedAt: number | undefined;
  /** Position behind the last whole transaction. */
  #committed: Position;
  /** Of the transaction under way; empty between two. */
  #id = '';
  /** Place of an event that stands between two transactions and cannot be passed over. */
  #alone = '';
  #gtid: string | null = null;
  #committedAtMs: number | undefined;
  readonly #shown: ShownColumns;
  #standalone = false;
  #open = false;
  #waived = false;
  #rows: RowEvent[] = [];
  #bytes = 0;
  #ordinal = 0;
  #partial = false;
  readonly #parents: ParentRows | undefined;

  constructor(options: AssemblerOptions) {
    this.#options = options;
    this.#committed = options.position;
    this.#parents = options.parents && new ParentRows(options.parents, options);
    this.#shown = new ShownColumns(options.baseline);
    this.#file = options.position.file;
    this.#offset = options.position.offset;
    this.#fileCreatedAt = options.position.fileCreatedAt;
    this.#skipUntil = options.gtidSet === null && this.#offset > MAX_DUMP_OFFSET ? this.#offset : 0;
  }

  /** How far the log was given in. */
  get place(): LogPlace {
    return { file: this.#file, offset: this.#offset };
  }

  /**
   * Takes the next event of the stream. Returns a promise only for a large compressed transaction: the next event must wait
   * for it. Throws a HaltError, or an OutgrownError.
   */
  handle(event: LogEvent): void | Promise<void> {
    const startOffset = this.#offset;
    this.#advance(event);
    if (this.#skips(event)) return;
    try {
      if (event.type === eventType.transactionPayload) return this.#unpack(event);
      this.#dispatch(event, startOffset);
    } catch (error) {
      if (error instanceof OutgrownError) throw error;
      const isWhole = event.type === eventType.transactionPayload;
      this.#passOver(this.#halted(error, event.timestamp), () =>
        isWhole ? this.#commit(event) : this.#dispatch(event, startOffset),
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

  /**
   * Our own count of the file's bytes: the log's has 32 bits, and is 0 where the server made the event up and inside MariaDB's
   * transactions. What a server leaves out because we have it lies between our count and the log's.
   */
  #advance(event: LogEvent): void {
    if (event.flags & FLAG_ARTIFICIAL || notInFile.has(event.type)) return;
    const isStated = event.logPos !== 0;
    if (!isStated && (!this.#open || event.type === eventType.formatDescription)) return;
    const end = this.#offset + event.size;
    const leftOut = isStated ? (event.logPos - (end % WRAP) + WRAP) % WRAP : 0;
    this.#offset = end + leftOut;
  }

  /** Whether the event stands before the place at which reading goes on. */
  #skips(event: LogEvent): boolean {
    if (this.#skipUntil === 0 || event.type === eventType.rotate) return false;
    if (this.#offset <= this.#skipUntil) return true;
    this.#skipUntil = 0;
    return false;
  }

  #dispatch(event: LogEvent, startOffset: number): void {
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
        this.#start(readGtid(event, false), startOffset);
        return;
      case eventType.anonymousGtid:
        this.#start(readGtid(event, true), startOffset);
        return;
      case eventType.gtidTagged:
        this.#start(readTaggedGtid(event), startOffset);
        return;
      case eventType.mariadbGtid:
        this.#start(readMariadbGtid(event), startOffset);
        return;
      case eventType.xid:
        this.#commit(event);
        return;
      case eventType.query:
      case eventType.mariadbQueryCompressed:
        this.#statement(event);
        return;
      case eventType.rotate:
        this.#rotate(event);
        return;
      case eventType.formatDescription:
        this.#tables.clear();
        this.#fileCreatedAt = event.timestamp;
        return;
      case eventType.xaPrepare:
        this.#xaPrepare(event);
        return;
      default:
        this.#other(event);
    }
  }

  #other(event: LogEvent): void {
    switch (event.type) {
      case eventType.partialUpdateRows:
        if (!this.#waived && this.#tables.get(readTableId(event))?.table) {
          throw new Tripwire(
            'partial-json',
            'the log holds a partial JSON update, which says only what changed inside the value',
            {
              remedy: "SET PERSIST binlog_row_value_options = '';",
            },
          );
        }
        return;
      case eventType.executeLoadQuery:
        this.#statement(event);
        return;
      case eventType.incident:
        if (this.#isWaived(event)) return;
        throw new Tripwire('incident', 'the server logged an incident: changes may be missing from its log', {
          remedy:
            'Find the cause in the server\'s error log, then: odontology-webhooks resume --accept-gap --reason "…"',
        });
      default:
        if (changesNothing.has(event.type) || event.flags & FLAG_IGNORABLE || this.#isWaived(event)) return;
        throw new Tripwire('unknown-event', `the log holds an event of the unknown type ${event.type}`, {
          remedy:
            'Upgrade odontology-webhooks to a version that knows this server, or: odontology-webhooks resume --accept-gap --reason "…"',
        });
    }
  }

  /** Whether a person accepted the loss of what an event stands for: its transaction's, or its own where it stands alone. */
  #isWaived(event: LogEvent): boolean {
    if (this.#id === '') this.#alone = `${this.#file}:${this.#offset - event.size}`;
    return this.#id === '' ? this.#options.waived.has(this.#alone) : this.#waived;
  }

  #start(start: TransactionStart, offset: number): void {
    if (this.#open && (this.#rows.length > 0 || this.#partial)) {
      throw new Tripwire('undecodable', 'a transaction began before the one before it ended', {
        remedy: "Report it with the server's version.",
      });
    }
    // A group without a commit marker (an incident, a statement of no effect) ends where the next begins.
    if (this.#gtid !== null) this.#options.gtidSet?.add(this.#gtid);
    this.#id = start.gtid ?? `${this.#file}:${offset}`;
    this.#gtid = start.gtid;
    this.#committedAtMs = start.committedAtMs;
    this.#standalone = start.standalone;
    this.#waived = this.#options.waived.has(this.#id);
    // Not in mid-transaction: a statement maps all its tables before its rows.
    if (this.#tables.size >= MAX_CACHED_TABLES) this.#tables.clear();
    this.#open = start.opens;
    this.#reset();
  }

  #reset(): void {
    this.#rows = [];
    this.#bytes = 0;
    this.#ordinal = 0;
    this.#partial = false;
    this.#parents?.forget();
  }

  #mapTable(event: LogEvent): void {
    this.#open = true;
    const id = readTableId(event);
    const cached = this.#tables.get(id);
    // Most are the same as before: no view of the bytes is made for those.
    if (cached && cached.raw.compare(event.buffer, event.bodyStart, event.bodyEnd) === 0) return;
    const reader = new ByteReader(event.buffer, event.bodyStart + 8, event.bodyEnd);
    const mapped = this.#waived ? null : readTableMap(reader, this.#options);
    if (mapped) this.#shown.requireKnown(mapped);
    const table = mapped?.isWatched ? mapped : null;
    if (table)
      this.#shown.note(table, this.#options.columnsOf(table.schema.schema, table.schema.name) ?? new Set());
    const raw = Buffer.from(event.buffer.subarray(event.bodyStart, event.bodyEnd));
    // A waived transaction's maps are not kept: the next one must read them.
    if (this.#waived) this.#tables.delete(id);
    else this.#tables.set(id, { raw, table, parent: this.#parents?.map(event) ?? null });
  }

  #addRows(event: LogEvent, op: RowOp): void {
    if (this.#waived) return;
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
    if (this.#bytes >= PART_BYTES) this.#emitPart();
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
    this.#committed = this.#position();
    const baseline = this.#shown.takeChange();
    const part: TransactionPart = {
      id: this.#id,
      rows: this.#rows,
      firstOrdinal: this.#ordinal,
      commit: {
        position: this.#committed,
        committedAtMs: this.#committedAtMs ?? event.timestamp * 1000,
        ...(baseline === undefined ? {} : { baseline }),
      },
      bytes: this.#bytes,
      ddl,
      ...this.#parents?.take(),
    };
    this.#open = false;
    this.#waived = false;
    this.#committedAtMs = undefined;
    this.#id = '';
    this.#gtid = null;
    this.#reset();
    this.#options.emit(part);
  }

  #position(): Position {
    const gtid = this.#options.gtidSet?.toString() ?? null;
    const position = { gtid, file: this.#file, offset: this.#offset };
    return this.#fileCreatedAt === undefined ? position : { ...position, fileCreatedAt: this.#fileCreatedAt };
  }

  #statement(event: LogEvent): void {
    const { schema, text } = readStatement(event);
    const kind = classifyStatement(text);
    switch (kind) {
      case 'begin':
      case 'control':
        this.#open = true;
        return;
      case 'commit':
        this.#commit(event);
        return;
      case 'rollback':
      case 'rollback-to':
        this.#rollback(event, kind);
        return;
      case 'xa-prepare':
      case 'xa-commit':
      case 'xa-rollback':
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

  /** XA COMMIT … ONE PHASE commits at once; a prepared branch commits, or does not, under a transaction of its own later. */
  #xaPrepare(event: LogEvent): void {
    const onePhase = event.buffer[event.bodyStart] !== 0;
    if (!onePhase && (this.#rows.length > 0 || this.#partial)) {
      throw new Tripwire(
        'xa-transaction',
        'rows of a watched table were prepared by an XA transaction whose end is not known',
        {
          remedy:
            'End the XA transaction and keep XA away from watched tables, then: odontology-webhooks resume --accept-gap --reason "…"',
        },
      );
    }
    this.#commit(event);
  }

  #rotate(event: LogEvent): void {
    const reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
    const offset = Number(reader.uint64());
    const file = reader.utf8(reader.remaining);
    if (file !== this.#file) {
      this.#fileCreatedAt = undefined;
      this.#skipUntil = 0;
    }
    this.#file = file;
    this.#offset = offset;
  }

  #unpack(event: LogEvent): void | Promise<void> {
    if (this.#waived) {
      this.#commit(event);
      return;
    }
    const inner = readPayload(event);
    if (!Array.isArray(inner)) return this.#unpackStream(inner, event);
    for (const each of inner) this.#dispatch(each, this.#offset);
  }

  async #unpackStream(inner: AsyncGenerator<LogEvent, void, undefined>, event: LogEvent): Promise<void> {
    try {
      for await (const each of inner) {
        this.#dispatch(each, this.#offset);
        await this.#options.room();
      }
    } catch (error) {
      if (error instanceof OutgrownError) throw error;
      this.#passOver(this.#halted(error, event.timestamp), () => this.#commit(event));
    }
  }

  /** Adds the position to what went wrong in the bytes. Nothing of the row or the statement goes into the message. */
  #halted(error: unknown, timestamp: number): HaltError {
    if (error instanceof HaltError) return error;
    const tripwire = toTripwire(error);
    const id = this.#id === '' ? this.#alone : this.#id;
    const committedAtMs = this.#committedAtMs ?? timestamp * 1_000;
    return new HaltError(
      haltOf(tripwire, this.#committed, id === '' ? undefined : { id, committedAtMs }),
      tripwire === error ? undefined : error,
    );
  }
}
