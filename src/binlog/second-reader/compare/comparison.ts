import type { LogPlace } from '../../types.ts';
import { misreadings, troubles, type MisreadingId } from '../misreadings.ts';
import type { Trouble } from '../zongji-log.ts';

/** What two readers say differently of one column. Never a value. */
export interface Difference {
  /** `schema.table` */
  table: string;
  /** Null where a whole row is there for one of the two only. */
  column: string | null;
  /** `decimal(10,2)`; `row` for a whole row, `operation` where one says INSERT and the other UPDATE. */
  type: string;
  /** How many cells, or rows. */
  count: number;
  /** The end of the first transaction that has it. */
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

/** What was compared of a range of the log, by two readers. */
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

  /** Rows with this number of cells that both read alike. */
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

/** Why something was left out, for people. */
export function explainLeftOut(reason: LeftOutReason): string {
  const all: Readonly<Record<LeftOutReason, string | { why: string }>> = {
    ...misreadings,
    ...troubles,
    ...others,
  };
  const why = all[reason];
  return typeof why === 'string' ? why : why.why;
}
