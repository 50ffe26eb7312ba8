/** The nouns of capture: where we are, whose log it is, what a row looked like. */

export type Flavour = 'mysql' | 'mariadb';

/**
 * Where reading continues. `gtid` is everything executed up to here (a MySQL GTID set, a MariaDB GTID position), null where
 * the server has none (MySQL with gtid_mode=OFF); `file` and `offset` are the end of the last whole transaction.
 */
export interface Position {
  gtid: string | null;
  file: string;
  /** Bytes into `file`, 64 bits of our own counting: the log's own field wraps at 4 GiB. */
  offset: number;
  /**
   * When `file` was begun, seconds since 1970 UTC: the timestamp of its format description. A RESET or a restored backup gives
   * the same names (and GTIDs) again, but not these. Not there when it was not seen.
   */
  fileCreatedAt?: number;
}

/** A place in the source's log. */
export type LogPlace = Pick<Position, 'file' | 'offset'>;

/** Kinds of columns by what their values look like, whatever width they have on disk. */
export type ColumnKind =
  | 'integer'
  | 'decimal'
  | 'float'
  | 'bit'
  | 'year'
  | 'date'
  | 'time'
  | 'datetime'
  | 'timestamp'
  | 'text'
  | 'binary'
  | 'enum'
  | 'set'
  | 'json'
  | 'geometry'
  | 'uuid'
  | 'inet';

export interface Column {
  name: string;
  kind: ColumnKind;
}

/** A column as the log or the data dictionary showed it last. */
export interface ShownColumn {
  kind: ColumnKind;
  /** In the words of the data dictionary: `decimal(10,2) unsigned`. Left out where it is not known. */
  type?: string;
  /** Left out where it is not known, and of a type without one. */
  charset?: string;
  isNotNull?: true;
  isKey?: true;
  isAutoIncrement?: true;
  isGenerated?: true;
  /** A definition has converted the text since, to a character set that the log has not shown yet. */
  isUnproved?: true;
  /** Copies that were made of the table since it is known, and whose column of this name keeps each value: see `CopyDefinition`. */
  keptIn?: readonly string[];
  /** Such copies whose column of this name may have other values. */
  lostIn?: readonly string[];
  /** With a column of the key: the keys that the table had before, in the words of `keyText`. */
  formerKeys?: readonly string[];
}

/** The columns that were read of each table, as last seen: by lower-case table and column. */
export type Baseline = Readonly<Record<string, Readonly<Record<string, ShownColumn>>>>;

/** A table as it was when the row was written, reduced to the columns that a rule or a filter names, plus its key. */
export interface TableSchema {
  schema: string;
  name: string;
  columns: readonly Column[];
  /** Indices into `columns` of the primary key, in key order; empty when the table has none. */
  key: readonly number[];
  /** Index into `columns` by lower-case column name. */
  indexOf: ReadonlyMap<string, number>;
  /** The column that ends a row's validity, where the log shows a system-versioned table of MariaDB. */
  rowEnd?: string;
}

/**
 * One value as it stood in the log, aligned with `TableSchema.columns`:
 * integer, bit, year → number while safe, else decimal string; decimal → string, exact; float → number;
 * date/time/datetime/timestamp → MySQL's own text (timestamp in UTC); text, enum, set, json, uuid, inet → string;
 * binary, geometry → bytes; SQL NULL → null; not in the row image → undefined.
 */
export type Cell = string | number | Uint8Array | null | undefined;

export type Row = readonly Cell[];

export type RowOp = 'insert' | 'update' | 'delete';

/** One row change of a watched table, exactly as logged. */
export interface RowEvent {
  table: TableSchema;
  op: RowOp;
  /** null on insert. */
  before: Row | null;
  /** null on delete. */
  after: Row | null;
}

export interface CommitTime {
  /** Milliseconds since 1970 UTC (whole seconds where the server logs no finer). */
  committedAtMs: number;
  /**
   * The log has no time that can be believed: this one depends on when the transaction was read. An event with it must be recorded
   * before it is sent, and keeps the recorded time.
   */
  isEstimated: boolean;
}

/** What the end of a transaction has. */
export interface Commit extends CommitTime {
  /** Where to continue after it. */
  position: Position;
  /** A moment that the server's clock had passed before what follows was committed, ms since 1970 UTC (see LogClock). */
  passedMs: number | null;
  /** Where this transaction was the first to show a table, or a change of its columns: everything seen up to it. */
  baseline?: Baseline;
}

/** Rows of a parent that were deleted or re-keyed in a transaction whose log does not show what foreign keys changed by that. */
export interface ParentChange {
  schema: string;
  table: string;
  op: 'delete' | 'update';
  /** Of an update: the referenced columns (lower case) that changed. */
  columns: readonly string[];
}

/** A definition statement that may have changed foreign keys or triggers. */
export interface KeyDefinition {
  /** Every name and word of the statement, lower case: compared with names of tables and triggers, and kept nowhere. */
  names: ReadonlySet<string>;
  /** Whether it makes a trigger or drops one; null for another definition. */
  trigger: 'create' | 'drop' | null;
}

/**
 * A transaction, or a piece of one: most come as a single part with its commit; a huge one comes as many, the last of
 * which has the commit. A transaction without a watched row comes as a commit with no rows.
 */
export interface TransactionPart {
  /** GTID, or `file:offset` of its start. The same for all parts. */
  id: string;
  rows: RowEvent[];
  /** Ordinal of `rows[0]` among the transaction's watched rows. */
  firstOrdinal: number;
  commit: Commit | null;
  /** With the commit of a transaction that was rolled back in the end: what its earlier parts brought did not happen. */
  isUndone?: true;
  /** With the commit of a transaction that our own sessions wrote: into the store, on the source server. */
  isOwn?: true;
  /** Watched tables that a definition statement of this transaction names: their live schema must be looked at again. */
  ddl: readonly string[];
  /** With the commit: parents whose cascades the log does not show; left out for none. */
  parents?: readonly ParentChange[];
  /** With the commit: what the keys and triggers must be looked at again for; left out for nothing. */
  definition?: KeyDefinition;
  /** With the commit, where the file has rows of a system-versioned table: the row_end of its current rows. */
  endOfTime?: string;
  /** About what the part takes in memory: the measure of the buffer. */
  bytes: number;
}

/** Which tables of the source's schema are read, and which of their columns leave the reader (lower-case names). */
export type Watch = ReadonlyMap<string, ReadonlySet<string>>;

/** A column as the data dictionary describes it now: what rules are checked against. */
export interface SourceColumn extends Column {
  nullable: boolean;
  /** The labels of an ENUM or SET, in order; null for any other kind. */
  labels: readonly string[] | null;
  /** Of a type that applications keep true and false in: TINYINT (BOOLEAN is a name of it) and BIT. */
  mayBeFlag?: true;
}

export interface SourceTable {
  /** As the server spells it. */
  name: string;
  columns: readonly SourceColumn[];
  /** Column names of the primary key, in key order; empty when the table has none. */
  key: readonly string[];
  /** The log has changes of tables alone. */
  isView?: boolean;
  /** Of tables whose names differ in letter case alone, all the names; left out where there is one. */
  namesakes?: readonly string[];
}

/** The tables of the source's schema as they are now, by lower-case name. */
export type SourceSchema = ReadonlyMap<string, SourceTable>;
