import type { Row, RowOp, TableSchema } from '../binlog/types.ts';

/** The net change of one row within one transaction: what the rules see. */
export interface Change {
  table: TableSchema;
  op: RowOp;
  /**
   * The primary key as text: parts joined by a comma (`45`, `7,2`), a comma or backslash within a part of text escaped by a
   * backslash, bytes in hex; for a table without a primary key, a hash of the row.
   */
  key: string;
  /** null on insert. */
  before: Row | null;
  /** null on delete. */
  after: Row | null;
  /**
   * Where the key first appeared among the transaction's watched rows: with key and type it makes the event id. The DELETE and the INSERT of one key
   * change share it; the DELETE comes first.
   */
  ordinal: number;
}
