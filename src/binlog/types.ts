/** The basic types of capture: positions, servers, and rows. */

export type Flavour = 'mysql' | 'mariadb';

/**
 * Where reading continues. `gtid` is the set executed so far (a MySQL GTID set, a MariaDB GTID position), null if the server has none
 * (MySQL with gtid_mode=OFF); `file` and `offset` are the end of the last complete transaction.
 */
export interface Position {
  gtid: string | null;
  file: string;
  /** Bytes into `file`, as our own 64-bit count: the log's own field wraps at 4 GiB. */
  offset: number;
  /**
   * When `file` was begun, seconds since 1970 UTC: the timestamp of its format description. After a RESET or a restored backup the same
   * names (and GTIDs) occur again, but with other timestamps. Omitted if it was not seen.
   */
  fileCreatedAt?: number;
}

/** A place in the source's log. */
export type LogPlace = Pick<Position, 'file' | 'offset'>;

/** Kinds of columns by the form of their values, independent of their width on disk. */
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

/** A column as last shown by the log or the data dictionary. */
export interface ShownColumn {
  kind: ColumnKind;
  /** In the data dictionary's notation: `decimal(10,2) unsigned`. Omitted if unknown. */
  type?: string;
  /** Omitted if unknown, and for a type without a character set. */
  charset?: string;
  isNotNull?: true;
  isKey?: true;
  isAutoIncrement?: true;
  isGenerated?: true;
  /** A later definition converted the text to a character set that the log has not shown yet. */
  isUnproved?: true;
  /** Known copies of the table whose column of this name keeps each value: see `CopyDefinition`. */
  keptIn?: readonly string[];
  /** Known copies whose column of this name may have other values. */
  lostIn?: readonly string[];
  /** On columns of the key: the table's earlier keys, in the form of `keyText`. */
  formerKeys?: readonly string[];
}

/** The columns read from each table, as last seen: by lower-case table and column. */
export type Baseline = Readonly<Record<string, Readonly<Record<string, ShownColumn>>>>;

/** A table as it was when the row was written, reduced to its key and the columns that a rule or a filter names. */
export interface TableSchema {
  schema: string;
  name: string;
  columns: readonly Column[];
  /** Indices into `columns` of the primary key, in key order; empty when the table has none. */
  key: readonly number[];
  /** Index into `columns` by lower-case column name. */
  indexOf: ReadonlyMap<string, number>;
  /** The row_end column, if the log shows a system-versioned table of MariaDB. */
  rowEnd?: string;
}

/**
 * One value as stored in the log, aligned with `TableSchema.columns`:
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
  /** Null on insert. */
  before: Row | null;
  /** Null on delete. */
  after: Row | null;
}

export interface CommitTime {
  /** Milliseconds since 1970 UTC (whole seconds if the server logs no fractions). */
  committedAtMs: number;
  /**
   * The log contains no trustworthy time: this one depends on when the transaction was read. An event with it must be recorded before
   * it is sent, and keeps the recorded time.
   */
  isEstimated: boolean;
}

/** Properties of the end of a transaction. */
export interface Commit extends CommitTime {
  /** Where to continue after it. */
  position: Position;
  /** A moment that the server's clock had passed before later events were committed, ms since 1970 UTC (see LogClock). */
  passedMs: number | null;
  /** Present if this transaction was the first to show a table, or a change of its columns: the state up to and including it. */
  baseline?: Baseline;
}

/** Deleted or re-keyed rows of a parent, in a transaction whose log does not show what foreign keys changed as a result. */
export interface ParentChange {
  schema: string;
  table: string;
  op: 'delete' | 'update';
  /** For an update: the referenced columns (lower case) that changed. */
  columns: readonly string[];
}

/** A definition statement that may have changed foreign keys or triggers. */
export interface KeyDefinition {
  /** Every name and word of the statement, lower case: compared with names of tables and triggers, and never stored. */
  names: ReadonlySet<string>;
  /** Whether it creates or drops a trigger; null for another definition. */
  trigger: 'create' | 'drop' | null;
}

/**
 * A transaction, or a part of one: most transactions are a single part with its commit; a huge one is many parts, the last of which has
 * the commit. A transaction without watched rows is a commit without rows.
 */
export interface TransactionPart {
  /** GTID, or `file:offset` of its start. The same for all parts. */
  id: string;
  rows: RowEvent[];
  /** Ordinal of `rows[0]` among the transaction's watched rows. */
  firstOrdinal: number;
  commit: Commit | null;
  /** With the commit of a transaction that was finally rolled back: the changes in its earlier parts did not happen. */
  isUndone?: true;
  /** With the commit of a transaction that our own sessions wrote: into the store, on the source server. */
  isOwn?: true;
  /** Watched tables that a definition statement of this transaction names: their live schema must be read again. */
  ddl: readonly string[];
  /** With the commit: parents whose cascades the log does not show; omitted if there are none. */
  parents?: readonly ParentChange[];
  /** With the commit: a definition after which keys and triggers must be read again; omitted if there is none. */
  definition?: KeyDefinition;
  /** With the commit, if the file has rows of a system-versioned table: the row_end of its current rows. */
  endOfTime?: string;
  /** Approximate memory of the part, in bytes: the measure for the buffer. */
  bytes: number;
}

/** The tables of the source's schema to read, and which of their columns the reader returns (lower-case names). */
export type Watch = ReadonlyMap<string, ReadonlySet<string>>;

/** A column as the data dictionary currently describes it: rules are checked against it. */
export interface SourceColumn extends Column {
  nullable: boolean;
  /** The labels of an ENUM or SET, in order; null for any other kind. */
  labels: readonly string[] | null;
  /** Set for types in which applications store true and false: TINYINT (BOOLEAN is a synonym) and BIT. */
  mayBeFlag?: true;
}

export interface SourceTable {
  /** As the server spells it. */
  name: string;
  columns: readonly SourceColumn[];
  /** Column names of the primary key, in key order; empty when the table has none. */
  key: readonly string[];
  /** The log contains changes of tables only. */
  isView?: boolean;
  /** If the names of several tables differ only in letter case: all these names; otherwise omitted. */
  namesakes?: readonly string[];
}

/** The current tables of the source's schema, by lower-case name. */
export type SourceSchema = ReadonlyMap<string, SourceTable>;
