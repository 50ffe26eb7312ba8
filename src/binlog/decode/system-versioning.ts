import { columnType, type ColumnSpec } from './column-spec.ts';
import { Tripwire } from '../halt.ts';
import { acceptGapCommand } from '../remedy.ts';
import type { ColumnShape } from './table-map-columns.ts';

/**
 * The columns, lower case, of a table that is not system-versioned now, or `any` where they are not known; null for a table that is
 * system-versioned now, undefined for one that is not known. Not its key alone: the key may have been another one when the log was
 * written, but DROP SYSTEM VERSIONING drops the columns of the period (measured on 10.11.19 and 11.8.8: the servers demand it).
 */
export type PlainColumns = ReadonlySet<string> | 'any' | null | undefined;

/** What shows in a table map whether the table keeps its history. */
export interface VersioningContext {
  /** Column indices of the primary key. */
  key: readonly number[];
  /** See TableHints. */
  plainColumns: PlainColumns;
}

/**
 * The index of the row_end column of a system-versioned table of MariaDB, whatever its name, or -1. The log shows it: the server adds
 * row_end to the primary key as its last part, and both ends of the period are TIMESTAMP(6) NOT NULL (measured on 10.11.18 and
 * 11.8.8). So each row is read as of the definition that it was written under, and no reconnect is needed after an ALTER TABLE.
 * An ordinary table may have such a key; then the data dictionary decides. Throws a Tripwire where that does not know the table.
 */
export function findRowEnd(
  table: string,
  specs: readonly (ColumnSpec & ColumnShape)[],
  { key, plainColumns }: VersioningContext,
): number {
  const named = (name: string): number => specs.findIndex((spec) => spec.name.toLowerCase() === name);
  const periods = specs.filter(isPeriod).length;
  if (periods < 2) return -1;
  const last = key.at(-1);
  const implicit = isPeriodAt(specs, named('row_start')) ? named('row_end') : -1;
  const rowEnd = key.length === 0 ? implicit : last!;
  if (rowEnd >= 0 && !isPeriodAt(specs, rowEnd)) return -1;
  if (rowEnd >= 0 && rowEnd === implicit) return isPlain(plainColumns, 'row_end') ? -1 : rowEnd;
  if (rowEnd >= 0 && plainColumns !== undefined)
    return plainColumns === 'any' || isPlain(plainColumns, specs[rowEnd]!.name) ? -1 : rowEnd;
  if (rowEnd < 0 && plainColumns) return -1;
  throw new Tripwire('unsupported-type', `the log does not say whether ${table} is system-versioned`, {
    table,
    remedy: acceptGapCommand('system versioning not known'),
  });
}

const isPlain = (plainColumns: PlainColumns, column: string): boolean =>
  typeof plainColumns === 'object' && plainColumns !== null && plainColumns.has(column.toLowerCase());

const isPeriod = ({ type, meta, nullable }: ColumnShape): boolean =>
  type === columnType.timestamp2 && meta[0] === 6 && !nullable;

function isPeriodAt(specs: readonly ColumnShape[], index: number): boolean {
  const spec = specs[index];
  return spec !== undefined && isPeriod(spec);
}
