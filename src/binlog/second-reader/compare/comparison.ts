import type { LogPlace } from '../../types.ts';
import { misreadings, troubles, type MisreadingId } from '../misreadings.ts';
import type { Trouble } from '../zongji-log.ts';

/** How two readers differ in one column. Never contains a value. */
export interface Difference {
  /** `schema.table` */
  table: string;
  /** Null if only one of the readers returned a whole row. */
  column: string | null;
  /** `decimal(10,2)`; `row` for a whole row, `operation` if one reader returned INSERT and the other UPDATE. */
  type: string;
  /** Number of cells, or of rows. */
  count: number;
  /** The end of the first transaction with this difference. */
  at: LogPlace;
}

/** Why something was not compared. */
export type LeftOutReason =
  Trouble | MisreadingId | 'not-logged' | 'row-without-bytes' | 'not-kept' | 'unread';

export interface LeftOut {
  reason: LeftOutReason;
  /** Null for rows of several tables. */
  table: string | null;
  /** Null for whole rows. */
  column: string | null;
  type: string | null;
  count: number;
}

export interface TableCount {
  rows: number;
  cells: number;
}

/** The result of comparing a range of the log as read by two readers. */
export interface Comparison {
  /** By `schema.table`. */
  tables: Record<string, TableCount>;
  differences: Difference[];
  leftOut: LeftOut[];
}

/** Counts while two readings are compared. */
export class Tally {
  readonly #tables: Record<string, TableCount> = {};
  readonly #differences = new Map<string, Difference>();
  readonly #leftOut = new Map<string, LeftOut>();

  /** Counts rows, and cells that both readers read identically. */
  count(table: string, rows: number, cells: number): void {
    const counted = (this.#tables[table] ??= { rows: 0, cells: 0 });
    counted.rows += rows;
    counted.cells += cells;
  }

  differ(what: Omit<Difference, 'count'>, count = 1): void {
    const key = JSON.stringify([what.table, what.column, what.type]);
    const known = this.#differences.get(key);
    if (known) known.count += count;
    else this.#differences.set(key, { ...what, count });
  }

  leaveOut(what: Omit<LeftOut, 'count'>, count = 1): void {
    if (count === 0) return;
    const key = JSON.stringify([what.reason, what.table, what.column, what.type]);
    const known = this.#leftOut.get(key);
    if (known) known.count += count;
    else this.#leftOut.set(key, { ...what, count });
  }

  result(): Comparison {
    return {
      tables: structuredClone(this.#tables),
      differences: [...this.#differences.values()].map((each) => ({ ...each })),
      leftOut: [...this.#leftOut.values()].map((each) => ({ ...each })),
    };
  }
}

const others = {
  'not-logged': 'the log does not have the column in this row (binlog_row_image)',
  'row-without-bytes': 'zongji does not notice a row of which the log has no column',
  'not-kept': 'the transaction does not fit into the memory that the comparison may take',
  unread: 'zongji did not get so far',
} as const;

/** Explains in words why something was not compared. */
export function explainLeftOut(reason: LeftOutReason): string {
  const all: Readonly<Record<LeftOutReason, string | { why: string }>> = {
    ...misreadings,
    ...troubles,
    ...others,
  };
  const why = all[reason];
  return typeof why === 'string' ? why : why.why;
}
