import { readRows, readTableId } from '../decode/read-rows.ts';
import type { ParentRows } from '../foreign-key/parent-rows.ts';
import { undecodable } from '../halt.ts';
import type { LogEvent } from '../protocol/log-event.ts';
import type { RowOp } from '../types.ts';
import type { Group } from './group.ts';
import type { RowBuffer } from './row-buffer.ts';
import type { TableCache } from './table-cache.ts';

/** The state to which the rows of an event are added. */
export interface RowTarget {
  tables: TableCache;
  rows: RowBuffer;
  parents: ParentRows | undefined;
}

/** A statement that changed nothing ends with an event of this table id, for which there is no table map. */
const dummyTableId = 0xffffff;

/**
 * Adds the rows of an event to the current transaction, and emits a part when the buffer is full. Throws a CaptureFault if no table map
 * announced the table.
 */
export function addRows(
  event: LogEvent,
  op: RowOp,
  group: Group,
  { tables, rows, parents }: RowTarget,
): void {
  if (group.isWaived || rows.isDropped) return;
  const id = readTableId(event);
  const cached = tables.get(id);
  if (!cached) {
    if (id === dummyTableId) return;
    throw undecodable(`rows of table id ${id} came without their table map`);
  }
  if (cached.parent) parents?.add(event, op, cached.parent);
  if (!cached.table) return;
  const { schema } = cached.table;
  const size = { schema, isUpdate: op === 'update', bytes: event.size };
  if (!rows.add(readRows(event, op, cached.table), size)) return;
  if (group.isXa) rows.drop();
  else rows.emitPart(group.id);
}
