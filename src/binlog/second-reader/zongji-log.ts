import type { RowOp } from '../types.ts';

/** A column as zongji describes it: from the log's own metadata if that is FULL. */
export interface ZongjiColumn {
  name: string;
  /** `decimal(10,2)`; without the labels of an ENUM or SET. */
  type: string;
  /** zongji's name of the character set; null for bytes, undefined for a collation unknown to zongji. */
  charset: string | null | undefined;
}

export interface ZongjiTable {
  schema: string;
  name: string;
  columns: readonly ZongjiColumn[];
}

/** A row image by column name. A column that is not in `present` is not in the log. */
export interface ZongjiImage {
  values: Readonly<Record<string, unknown>>;
  present: Uint8Array;
}

export interface ZongjiRow {
  table: ZongjiTable;
  op: RowOp;
  before: ZongjiImage | null;
  after: ZongjiImage | null;
}

/** Why the rows of a transaction cannot be compared. */
export type Trouble =
  | 'compressed-transaction'
  | 'partial-json'
  | 'xa-transaction'
  | 'rolled-back'
  | 'unsupported-type'
  | 'json-value'
  | 'zongji-error'
  | 'too-large';

/** The watched rows of one transaction as zongji read them, closed by its commit. */
export interface ZongjiTransaction {
  /** Its end: `binlog.000002` and the offset, modulo 4 GiB as in the log. */
  file: string;
  offset: number;
  rows: readonly ZongjiRow[];
  trouble: Trouble | null;
}
