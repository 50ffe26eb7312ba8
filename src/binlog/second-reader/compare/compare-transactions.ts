import type { Column, LogPlace, Row, RowEvent } from '../../types.ts';
import { isSameValue } from './compare-cell.ts';
import type { Comparison, LeftOutReason, Tally } from './comparison.ts';
import { explainDisagreement } from '../misreadings.ts';
import type { ZongjiImage, ZongjiRow, ZongjiTransaction } from '../zongji-log.ts';

/** The watched rows of one transaction as our reader returned them. */
export interface ReadTransaction extends LogPlace {
  rows: readonly RowEvent[];
}

export interface Readings {
  /** Transactions with at least one watched row each, in log order. */
  transactions: readonly ReadTransaction[];
  /** The ends of transactions that our reader skipped, or that are not kept: they are not compared. */
  passedOver: readonly LogPlace[];
  /** Watched rows in the transactions that were not kept. */
  notKept: number;
  /**
   * The row_end columns, lower case, of MariaDB's system-versioned tables, by lower-case table name: more than one if the table was
   * altered in between.
   */
  rowEnds: Readonly<Record<string, readonly string[]>>;
  /** The row_end of a current row by log file: zongji does not read which version wrote the file. */
  endsOfTime: Readonly<Record<string, string>>;
  /** Character sets from the data dictionary, by lower-case table and column; null for bytes. */
  charsets: Readonly<Record<string, Readonly<Record<string, string | null>>>>;
}

/** Compares zongji's transactions, in any order, with those of our reader, matched by their end. */
export class TransactionComparer {
  readonly #readings: Readings;
  readonly #tally: Tally;
  readonly #awaited: Map<string, ReadTransaction>;
  readonly #passedOver: ReadonlySet<string>;

  constructor(readings: Readings, tally: Tally) {
    this.#readings = readings;
    this.#tally = tally;
    this.#awaited = new Map(readings.transactions.map((each) => [nameOf(each), each]));
    this.#passedOver = new Set(readings.passedOver.map(nameOf));
  }

  take(theirs: ZongjiTransaction): void {
    const name = nameOf(theirs);
    const ours = this.#awaited.get(name);
    this.#awaited.delete(name);
    if (this.#passedOver.has(name)) return;
    if (theirs.trouble !== null) {
      this.#leaveOut(theirs.trouble, ours?.rows.length ?? 0);
      return;
    }
    const ourTables = Map.groupBy(ours?.rows ?? [], ({ table }) => `${table.schema}.${table.name}`);
    const theirTables = Map.groupBy(this.#current(theirs), ({ table }) => `${table.schema}.${table.name}`);
    for (const table of new Set([...ourTables.keys(), ...theirTables.keys()]))
      this.#compareTable(table, ourTables.get(table) ?? [], {
        rows: theirTables.get(table) ?? [],
        at: theirs,
      });
  }

  /** Ends the comparison: our remaining transactions were not compared. */
  end(): Comparison {
    let rows = 0;
    for (const each of this.#awaited.values()) rows += each.rows.length;
    this.#leaveOut('unread', rows);
    this.#leaveOut('not-kept', this.#readings.notKept);
    this.#awaited.clear();
    return this.#tally.result();
  }

  #leaveOut(reason: LeftOutReason, rows: number): void {
    this.#tally.leaveOut({ reason, table: null, column: null, type: null }, rows);
  }

  #compareTable(
    table: string,
    ours: readonly RowEvent[],
    theirs: { rows: readonly ZongjiRow[]; at: LogPlace },
  ): void {
    const at = { file: theirs.at.file, offset: theirs.at.offset };
    if (ours.length !== theirs.rows.length) {
      const empty = ours.filter(isWithoutBytes).length;
      if (theirs.rows.length + empty === ours.length)
        this.#tally.leaveOut({ reason: 'row-without-bytes', table, column: null, type: null }, ours.length);
      else
        this.#tally.differ(
          { table, column: null, type: 'row', at },
          Math.abs(ours.length - theirs.rows.length),
        );
      return;
    }
    for (const [i, row] of ours.entries()) this.#compareRow(table, row, theirs.rows[i]!, at);
  }

  #compareRow(table: string, ours: RowEvent, theirs: ZongjiRow, at: LogPlace): void {
    const isSameShape =
      ours.op === theirs.op &&
      (ours.before === null) === (theirs.before === null) &&
      (ours.after === null) === (theirs.after === null);
    if (!isSameShape) {
      this.#tally.differ({ table, column: null, type: 'operation', at });
      return;
    }
    let cells = 0;
    for (const image of ['before', 'after'] as const) {
      const row = ours[image];
      const other = theirs[image];
      if (row && other) cells += this.#compareImage(table, { ours, row, theirs, other }, at);
    }
    this.#tally.count(table, 1, cells);
  }

  /** Returns the number of equal cells. */
  #compareImage(
    table: string,
    { ours, row, theirs, other }: { ours: RowEvent; row: Row; theirs: ZongjiRow; other: ZongjiImage },
    at: LogPlace,
  ): number {
    let same = 0;
    for (const [i, column] of ours.table.columns.entries()) {
      const index = theirs.table.columns.findIndex(({ name }) => name === column.name);
      if (index < 0) {
        this.#tally.differ({ table, column: column.name, type: 'column', at });
        continue;
      }
      if (this.#compareCell(table, { column, cell: row[i], theirs, other, index }, at)) same += 1;
    }
    return same;
  }

  #compareCell(table: string, { column, cell, theirs, other, index }: CellPair, at: LogPlace): boolean {
    const described = theirs.table.columns[index]!;
    const where = { table, column: column.name, type: described.type };
    const isPresent = other.present[index] === 1;
    if (cell === undefined && !isPresent) {
      this.#tally.leaveOut({ reason: 'not-logged', ...where });
      return false;
    }
    const value = other.values[column.name];
    if (cell !== undefined && isPresent && isSameValue(column.kind, cell, value)) return true;
    const charset = this.#readings.charsets[theirs.table.name.toLowerCase()]?.[column.name.toLowerCase()];
    const found = { kind: column.kind, column: described, charset, ours: cell, theirs: value };
    const reason = isPresent && cell !== undefined ? explainDisagreement(found) : undefined;
    if (reason) this.#tally.leaveOut({ reason, ...where });
    else this.#tally.differ({ ...where, at });
    return false;
  }

  /** Removes the historical rows that MariaDB logs for a system-versioned table: our reader returns only current rows. */
  #current({ rows, file }: ZongjiTransaction): readonly ZongjiRow[] {
    const endOfTime = this.#readings.endsOfTime[file];
    if (endOfTime === undefined) return rows;
    return rows.flatMap((row) => {
      const rowEnds = this.#readings.rowEnds[row.table.name.toLowerCase()];
      return rowEnds === undefined ? row : (currentRow(row, { rowEnds, endOfTime }) ?? []);
    });
  }
}

interface CellPair {
  column: Column;
  cell: Row[number];
  theirs: ZongjiRow;
  other: ZongjiImage;
  /** Index of the column in zongji's table. */
  index: number;
}

/** Zongji reads the seconds as a signed number: 2^32 - 1, the end of time since MariaDB 11.5, becomes a second before 1970. */
const misreadEnd: Readonly<Record<string, string>> = {
  '2106-02-07 06:28:15.999999': '1969-12-31 23:59:59.999999',
};

function currentRow(
  row: ZongjiRow,
  { rowEnds, endOfTime }: { rowEnds: readonly string[]; endOfTime: string },
): ZongjiRow | null {
  const { columns } = row.table;
  const name = columns.find((column) => rowEnds.includes(column.name.toLowerCase()))?.name;
  if (name === undefined) return row;
  const ends = [endOfTime, misreadEnd[endOfTime]];
  const current = (image: ZongjiImage | null): ZongjiImage | null =>
    image !== null && ends.includes(String(image.values[name])) ? image : null;
  const before = current(row.before);
  const after = current(row.after);
  if (before && after) return { ...row, op: 'update', before, after };
  if (after) return { ...row, op: 'insert', before: null, after };
  return before && { ...row, op: 'delete', before, after: null };
}

/** A row without any column in the log, which zongji does not notice. */
const isWithoutBytes = ({ before, after }: RowEvent): boolean =>
  [before, after].every((image) => image === null || image.every((cell) => cell === undefined));

/** Log offsets are stored modulo 4 GiB. */
const nameOf = ({ file, offset }: LogPlace): string => `${file}:${offset % 2 ** 32}`;
