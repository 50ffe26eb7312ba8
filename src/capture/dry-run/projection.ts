import type { Row, RowEvent, TableSchema, Watch } from '../../binlog/types.ts';
import { keyOf, sameCell } from '../../change/net-changes.ts';
import type { Change } from '../../change/types.ts';

/** The net changes as a reader of fewer tables and columns sees them. */
export interface Projection {
  /** Adds the transaction's rows, in their order and before its changes are requested. */
  note(rows: readonly RowEvent[]): void;
  project(changes: readonly Change[]): Change[];
  /** Drops the rows before the next transaction. */
  reset(): void;
}

/** The rows for two lists of rules are read once; each list then gets the changes that it would have got alone. */
export function createProjection(watch: Watch): Projection {
  const layouts = new Map<TableSchema, Layout | null>();
  /** Ordinals of rows that this reader does not see, ascending. */
  let unseen: number[] = [];
  let noted = 0;

  function layoutOf(table: TableSchema): Layout | null {
    let layout = layouts.get(table);
    if (layout === undefined) layouts.set(table, (layout = createLayout(table, watch)));
    return layout;
  }

  return {
    note(rows) {
      for (const { table } of rows) {
        if (!layoutOf(table)) unseen.push(noted);
        noted += 1;
      }
    },
    project: (changes) =>
      changes.flatMap((change) => {
        const layout = layoutOf(change.table);
        if (!layout) return [];
        const ordinal = change.ordinal - countBelow(unseen, change.ordinal);
        return reduce(change, layout, ordinal) ?? [];
      }),
    reset() {
      unseen = [];
      noted = 0;
    },
  };
}

interface Layout {
  table: TableSchema;
  /** Indices of its columns in the layout that was read. */
  kept: readonly number[];
}

/** Null for a table that is not watched. */
function createLayout(table: TableSchema, watch: Watch): Layout | null {
  const watched = watch.get(table.name.toLowerCase());
  if (!watched) return null;
  const kept = table.columns.flatMap(({ name }, index) =>
    watched.has(name.toLowerCase()) || table.key.includes(index) ? [index] : [],
  );
  const columns = kept.map((index) => table.columns[index]!);
  const indexOf = new Map(columns.map(({ name }, index) => [name.toLowerCase(), index]));
  return { kept, table: { ...table, columns, indexOf, key: table.key.map((index) => kept.indexOf(index)) } };
}

/** Undefined for an update that leaves all columns of the layout as they were. */
function reduce(change: Change, { table, kept }: Layout, ordinal: number): Change | undefined {
  const take = (row: Row | null): Row | null => row && kept.map((index) => row[index]);
  const [before, after] = [take(change.before), take(change.after)];
  if (change.op === 'update' && after?.every((cell, index) => sameCell(cell, before?.[index])))
    return undefined;
  const key = table.key.length > 0 ? change.key : keyOf(table, after ?? before ?? []);
  return { ...change, table, before, after, key, ordinal };
}

/** How many of the ascending numbers are below one. */
function countBelow(numbers: readonly number[], limit: number): number {
  let low = 0;
  let high = numbers.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (numbers[middle]! < limit) low = middle + 1;
    else high = middle;
  }
  return low;
}
