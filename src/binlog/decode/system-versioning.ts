import { columnType, type ColumnSpec } from './column-spec.ts';
import { CaptureFault } from '../halt.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import { acceptGapCommand } from '../remedy.ts';
import { isAtLeast, parseServerVersion } from '../source/server-version.ts';
import type { ColumnShape } from './table-map-columns.ts';

/**
 * The columns, lower case, of a table that is currently not system-versioned, or `any` if they are unknown; null for a table that is
 * currently system-versioned, undefined for a table that is unknown. The key alone is not enough: it may have been different when the
 * log was written, but DROP SYSTEM VERSIONING drops the columns of the period (measured on 10.11.19 and 11.8.8: the servers demand it).
 */
export type PlainColumns = ReadonlySet<string> | 'any' | null | undefined;

/** The parts of a table map that show whether a table is system-versioned. */
export interface VersioningContext {
  /** Column indices of the primary key. */
  key: readonly number[];
  /** See TableHints. */
  plainColumns: PlainColumns;
}

/**
 * The row_end of a current row, which is the server's last TIMESTAMP, in UTC. A server of 11.5 or later treats a row that ends in 2038
 * as historical, and writes none of its own until `ALTER TABLE … FORCE`, which mariadb-upgrade runs, has changed it.
 */
const endsOfTime = {
  before11_5: '2038-01-19 03:14:07.999999',
  since11_5: '2106-02-07 06:28:15.999999',
} as const;

export type EndOfTime = (typeof endsOfTime)[keyof typeof endsOfTime];

/**
 * Returns the end of time for the binlog file that a format description begins. It depends on the version that wrote the file, so that
 * files from before an upgrade are read correctly. `hasShortTimestamps`: see SourceIdentity; with it, the end is in 2038 in every
 * version. The body is the version of the format (2 bytes) and the version of the server, 50 bytes filled with zeros (MariaDB
 * sql/log_event.h, Format_description_log_event). Throws a RangeError without a version.
 */
export function endOfTimeIn(description: LogEvent, hasShortTimestamps = false): EndOfTime {
  const { buffer, bodyStart } = description;
  const text = buffer.toString('latin1', bodyStart + 2, bodyStart + 52).replace(/\0.*$/s, '');
  if (!/^\d+\.\d+\.\d+/.test(text)) throw new RangeError('a format description without a version');
  const isLate = !hasShortTimestamps && isAtLeast(parseServerVersion(text), '11.5.0');
  return isLate ? endsOfTime.since11_5 : endsOfTime.before11_5;
}

/**
 * Returns the index of the row_end column of a system-versioned MariaDB table, whatever its name, or -1. The log shows it: the server
 * adds row_end to the primary key as its last part, and both ends of the period are TIMESTAMP(6) NOT NULL (measured on 10.11.18 and
 * 11.8.8). So each row is read with the definition it was written under, and an ALTER TABLE requires no reconnect. An ordinary table
 * may have such a key; then the data dictionary decides. Throws a CaptureFault if the data dictionary does not know the table.
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
  throw new CaptureFault('unsupported-type', `the log does not say whether ${table} is system-versioned`, {
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
