import { hash } from 'node:crypto';
import type { Cell, Row, RowEvent, TableSchema } from '../binlog/types.ts';
import type { Change } from './types.ts';

/**
 * Reduces the row events of one transaction to the net change of each row, in the order in which the rows first appear:
 * INSERT then UPDATE is an INSERT with the last image, UPDATEs collapse into one, INSERT then DELETE is nothing, DELETE
 * then INSERT of the same key is an UPDATE, a change whose last image equals the first is nothing. The primary key is the row's
 * identity: an UPDATE that changes it is a DELETE of the old key and an INSERT of the new one, in this order. A row of a table without a primary key is
 * identified by the values of all its watched columns. Rows with equal values are interchangeable, so their net changes still add up.
 *
 * Cells that are absent from the after image of an update are unchanged and taken from the before image; a cell that no image has stays undefined. Pure, and linear in the number of rows.
 *
 * @param firstOrdinal ordinal of `rows[0]` among the transaction's watched rows
 */
export function netChanges(rows: readonly RowEvent[], firstOrdinal = 0): Change[] {
  const [first] = rows;
  // Nearly every transaction of the application writes one watched row, and needs no maps.
  if (first && rows.length === 1 && !changesKey(first)) {
    const change = toChange(first, firstOrdinal);
    return isNoOp(change, false) ? [] : [change];
  }
  const nets: Net[] = [];
  const tables = new Map<string, TableNet>();
  let table: TableSchema | undefined;
  let state: TableNet | undefined;
  for (const [index, row] of rows.entries()) {
    if (row.table !== table || !state) {
      table = row.table;
      state = stateOf(tables, table);
    }
    for (const part of splitKnown(state, row)) {
      const begun = apply(state, part, firstOrdinal + index);
      if (begun) nets.push(begun);
    }
  }
  return nets.filter((net) => !net.undone && !isNoOp(net.change, net.replaced)).map((net) => net.change);
}

/** A row's net change while its transaction is being read. */
interface Net {
  change: Change;
  /** An older net change under the same key: only a table without a primary key can have equal rows. */
  under: Net | undefined;
  /** DELETE then INSERT: absent cells of the new row are defaults that the log does not name, not the old values. */
  replaced: boolean;
  /** INSERT then DELETE. */
  undone: boolean;
}

/** The rows of one table that the transaction has touched, by the key they have now. */
interface TableNet {
  live: Map<string, Net>;
  deleted: Map<string, Net>;
}

function stateOf(tables: Map<string, TableNet>, table: TableSchema): TableNet {
  const name = `${table.schema}.${table.name}`;
  let state = tables.get(name);
  if (!state) tables.set(name, (state = { live: new Map(), deleted: new Map() }));
  return state;
}

/**
 * An UPDATE that changes the primary key, as the DELETE of the old key and the INSERT of the new one; any other row event
 * alone. Cells that are absent from the new row are taken from the old one.
 */
export function splitKeyChange(row: RowEvent): readonly RowEvent[] {
  if (!changesKey(row)) return [row];
  const { table, before, after } = row;
  return [
    { table, op: 'delete', before, after: null },
    { table, op: 'insert', before: null, after: fillAbsent(after ?? [], before ?? []) },
  ];
}

function changesKey({ table, before, after }: RowEvent): boolean {
  if (!before || !after) return false;
  for (const index of table.key)
    if (after[index] !== undefined && !sameCell(after[index], before[index])) return true;
  return false;
}

/** The same, with the old row completed from earlier events of the transaction. */
function splitKnown(state: TableNet, row: RowEvent): readonly RowEvent[] {
  if (!changesKey(row)) return [row];
  const known = state.live.get(keyOf(row.table, row.before ?? []))?.change.after ?? [];
  return splitKeyChange({ ...row, after: fillAbsent(row.after ?? [], known) });
}

/** Applies one row event to its table. Returns the net change that begins with the event, if any. */
function apply(state: TableNet, row: RowEvent, ordinal: number): Net | undefined {
  const known = row.before ? pop(state.live, keyOf(row.table, row.before)) : undefined;
  if (known) {
    if (row.after) update(state, known, row);
    else remove(state, known);
    return undefined;
  }
  if (row.op === 'insert') {
    const replacing = pop(state.deleted, keyOf(row.table, row.after ?? []));
    if (replacing) {
      replace(state, replacing, row);
      return undefined;
    }
  }
  const net: Net = { change: toChange(row, ordinal), under: undefined, replaced: false, undone: false };
  push(row.op === 'delete' ? state.deleted : state.live, net);
  return net;
}

function update(state: TableNet, net: Net, row: RowEvent): void {
  const { change } = net;
  const previous = change.after ?? [];
  if (change.before && !net.replaced) change.before = learn(change.before, previous, row.before ?? []);
  change.after = fillAbsent(fillAbsent(row.after ?? [], previous), row.before ?? []);
  change.table = row.table;
  change.key = keyOf(row.table, change.after);
  push(state.live, net);
}

function remove(state: TableNet, net: Net): void {
  const { change } = net;
  if (!change.before) {
    net.undone = true;
    return;
  }
  change.op = 'delete';
  change.after = null;
  change.key = keyOf(change.table, change.before);
  push(state.deleted, net);
}

function replace(state: TableNet, net: Net, row: RowEvent): void {
  net.change.op = 'update';
  net.change.table = row.table;
  net.change.after = row.after;
  net.replaced = true;
  push(state.live, net);
}

function push(nets: Map<string, Net>, net: Net): void {
  net.under = nets.get(net.change.key);
  nets.set(net.change.key, net);
}

function pop(nets: Map<string, Net>, key: string): Net | undefined {
  const net = nets.get(key);
  if (!net) return undefined;
  if (net.under) nets.set(key, net.under);
  else nets.delete(key);
  return net;
}

function toChange({ table, op, before, after }: RowEvent, ordinal: number): Change {
  const filled = after && before ? fillAbsent(after, before) : after;
  return { table, op, key: keyOf(table, filled ?? before ?? []), before, after: filled, ordinal };
}

function isNoOp({ op, before, after }: Change, replaced: boolean): boolean {
  if (op !== 'update' || !before || !after) return false;
  for (let i = 0; i < after.length; i += 1) {
    if (!sameCell(after[i], before[i]) || (replaced && after[i] === undefined)) return false;
  }
  return true;
}

/** Whether two cells hold the same value; absent equals only absent. */
export function sameCell(a: Cell, b: Cell): boolean {
  if (a === b) return true;
  return a instanceof Uint8Array && b instanceof Uint8Array && Buffer.compare(a, b) === 0;
}

/** `row` with its missing cells taken from `source`; `row` itself when no cell is missing. */
function fillAbsent(row: Row, source: Row): Row {
  return row.includes(undefined) ? row.map((cell, i) => (cell === undefined ? source[i] : cell)) : row;
}

/** A first image, completed with cells from a later event of the row that were not changed in between. */
function learn(before: Row, between: Row, later: Row): Row {
  if (!before.includes(undefined)) return before;
  return before.map((cell, i) => (cell === undefined && between[i] === undefined ? later[i] : cell));
}

/** The primary key as text; see `Change.key`. */
export function keyOf(table: TableSchema, row: Row): string {
  const { key } = table;
  if (key.length === 1) return cellText(row[key[0]!]);
  if (key.length === 0) return hash('sha256', row.map(escaped).join(','), 'hex').slice(0, 32);
  return key.map((index) => escaped(row[index])).join(',');
}

/** One of several cells as text, with commas and backslashes escaped. */
function escaped(cell: Cell): string {
  if (cell === null) return '\\N';
  if (cell === undefined) return '\\U';
  return typeof cell === 'string' ? cell.replaceAll(/[\\,]/g, '\\$&') : cellText(cell);
}

/** A cell as the text of a key: bytes in hex. */
export function cellText(cell: Cell): string {
  if (cell instanceof Uint8Array) return Buffer.from(cell).toString('hex');
  return cell === null || cell === undefined ? '' : String(cell);
}
