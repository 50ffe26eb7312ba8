import { ByteReader } from '../protocol/byte-reader.ts';
import { eventType } from '../protocol/event-type.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import { inflateEnvelope } from '../protocol/inflate.ts';
import type { MappedTable } from './table-map.ts';
import type { Cell, Row, RowEvent, RowOp } from '../types.ts';

const ops: Readonly<Record<number, RowOp>> = {
  [eventType.writeRowsV1]: 'insert',
  [eventType.writeRows]: 'insert',
  [eventType.mariadbWriteRowsCompressedV1]: 'insert',
  [eventType.mariadbWriteRowsCompressed]: 'insert',
  [eventType.updateRowsV1]: 'update',
  [eventType.updateRows]: 'update',
  [eventType.mariadbUpdateRowsCompressedV1]: 'update',
  [eventType.mariadbUpdateRowsCompressed]: 'update',
  [eventType.deleteRowsV1]: 'delete',
  [eventType.deleteRows]: 'delete',
  [eventType.mariadbDeleteRowsCompressedV1]: 'delete',
  [eventType.mariadbDeleteRowsCompressed]: 'delete',
};

const withExtraData: ReadonlySet<number> = new Set([
  eventType.writeRows,
  eventType.updateRows,
  eventType.deleteRows,
  eventType.mariadbWriteRowsCompressed,
  eventType.mariadbUpdateRowsCompressed,
  eventType.mariadbDeleteRowsCompressed,
]);

/** Flags of a rows event, after its table id (MySQL libs/mysql/binlog/event/rows_event.h, MariaDB sql/log_event.h). */
export const ROWS_FLAG = {
  /**
   * No cascade ran outside the log: 0x02 NO_FOREIGN_KEY_CHECKS, 0x10 USE_SQL_FOREIGN_KEY (MySQL 9.6+: the server executed and logged
   * the cascade, not InnoDB). Seen on MySQL 9.7.4, MariaDB 10.11.18 and 11.8.8.
   */
  noSilentCascade: 0x02 | 0x10,
} as const;

/** Returns the operation of a rows event; undefined if the event has no rows. */
export function rowOp(type: number): RowOp | undefined {
  return ops[type];
}

/** The table id of a rows event, or of a table map. */
export function readTableId(event: LogEvent): number {
  return event.buffer.readUIntLE(event.bodyStart, 6);
}

/**
 * Reads every row of a rows event, at least one. Throws a RangeError for a row that ends early or late. `INSERT INTO t () VALUES ()`
 * with binlog_row_image=MINIMAL logs a row without columns, which takes no bytes.
 */
export function readRows(event: LogEvent, op: RowOp, table: MappedTable): RowEvent[] {
  let reader = new ByteReader(event.buffer, event.bodyStart, event.bodyEnd);
  reader.skip(8);
  if (withExtraData.has(event.type)) reader.skip(reader.uint16() - 2);
  const columns = reader.lengthEncoded();
  if (columns !== table.columnCount)
    throw new RangeError(`${columns} columns in the rows, ${table.columnCount} in the table map`);
  const first = presentColumns(reader, columns);
  const second = op === 'update' ? presentColumns(reader, columns) : first;
  if (event.type >= eventType.mariadbWriteRowsCompressedV1)
    reader = new ByteReader(inflateEnvelope(reader.bytes(reader.remaining)));
  const rows: RowEvent[] = [];
  do {
    const startsAt = reader.offset;
    const row = readRow(reader, table, first);
    const after = op === 'update' ? readRow(reader, table, second) : row;
    const found = toRowEvent(table, {
      op,
      before: op === 'insert' ? null : row,
      after: op === 'delete' ? null : after,
    });
    if (found) rows.push(found);
    // A row image without columns has no bytes; it is then the only row.
    if (reader.offset === startsAt) break;
  } while (reader.remaining > 0);
  if (reader.remaining > 0) throw new RangeError(`${reader.remaining} bytes after a row without any`);
  return rows;
}

interface Present {
  /** One byte per column: 1 when it is in the row image. */
  flags: Uint8Array;
  nullBytes: number;
}

function presentColumns(reader: ByteReader, columns: number): Present {
  const bitmap = reader.bytes((columns + 7) >> 3);
  const flags = new Uint8Array(columns);
  let count = 0;
  for (let i = 0; i < columns; i += 1) {
    if (bitmap[i >> 3]! & (1 << (i & 7))) {
      flags[i] = 1;
      count += 1;
    }
  }
  return { flags, nullBytes: (count + 7) >> 3 };
}

/** A column that is not in the image remains undefined: absent is not null. */
function readRow(reader: ByteReader, table: MappedTable, { flags, nullBytes }: Present): Row {
  const { reads, skips, targets } = table;
  const nullsAt = reader.offset;
  reader.skip(nullBytes);
  const row = new Array<Cell>(table.schema.columns.length).fill(undefined);
  let present = 0;
  for (let i = 0; i < skips.length; i += 1) {
    if (flags[i] === 0) continue;
    const isNull = reader.buffer[nullsAt + (present >> 3)]! & (1 << (present & 7));
    present += 1;
    const read = reads[i];
    if (isNull) {
      if (read) row[targets[i]!] = null;
    } else if (read) {
      row[targets[i]!] = read(reader);
    } else {
      skips[i]!(reader);
    }
  }
  return row;
}

/**
 * In a MariaDB system-versioned table a DELETE is logged as an update that ends the row, and an UPDATE also inserts the historical row.
 * So the operation depends on whether each image is current, that is, whether its row_end is the end of time.
 */
function toRowEvent(table: MappedTable, event: Omit<RowEvent, 'table'>): RowEvent | null {
  const whole = { table: table.schema, ...event };
  if (table.rowEnd < 0) return whole;
  const isCurrent = (row: Row): boolean => row[table.rowEnd] === table.endOfTime;
  const before = event.before && isCurrent(event.before) ? event.before : null;
  // An image without row_end leaves it unchanged.
  const isUntouched = event.after !== null && event.after[table.rowEnd] === undefined && before !== null;
  const after = event.after && (isUntouched || isCurrent(event.after)) ? event.after : null;
  if (before && after) return { ...whole, op: 'update' };
  if (after) return { ...whole, op: 'insert', before: null };
  return before ? { ...whole, op: 'delete', after: null } : null;
}
