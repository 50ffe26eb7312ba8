import type { Cell, Row, TableSchema } from '../../binlog/types.ts';
import { cellText } from '../../change/net-changes.ts';
import type { Change } from '../../change/types.ts';
import type { RowContext } from './condition.ts';
import { compareNumbers } from './match.ts';
import type { Find } from '../rule/rule.ts';
import type { LookupRows, MapContext } from '../types.ts';

/** The rows that a look-up finds, as `find.layout` describes them: at most one for a parent, in key order for children. */
export type RowLookup = (
  find: Find,
  by: Readonly<Record<string, string | number>>,
  scope: RowContext,
) => Promise<readonly Row[]>;

type FindContext = Pick<MapContext, 'resolve' | 'isPart'>;

/**
 * Look-ups for one transaction. Rows that the transaction itself wrote are taken from its changes, because the source may have changed
 * since; other rows are read from the source. A parent comes from one of the two. Children come from the transaction alone if it inserted
 * or deleted their parent and has any of them; otherwise the source is queried and the transaction's own rows replace those of the result.
 */
export function createRowLookup(
  changes: readonly Change[],
  { resolve, isPart = false }: FindContext,
): RowLookup {
  let tables: Map<string, Change[]> | undefined;
  const indices = new Map<Find, Map<string, Image[]>>();

  const changesOf = (table: string): readonly Change[] => {
    tables ??= Map.groupBy(changes, (change) => change.table.name.toLowerCase());
    return tables.get(table.toLowerCase()) ?? [];
  };

  /** The rows that the transaction changed, by the key of the look-up: the index is built once, so that 10,000 look-ups stay linear. */
  const imagesOf = (find: Find, key: string): readonly Image[] => {
    let index = indices.get(find);
    if (!index) indices.set(find, (index = indexImages(find, changesOf(find.table.name))));
    return index.get(key) ?? [];
  };

  async function ask(find: Find, by: Readonly<Record<string, string | number>>): Promise<Row[]> {
    const select = find.layout.columns.map((column) => column.name);
    const rows = await resolve({ table: find.table.name, by, select, many: find.many });
    return rows.map((row) => toRow(row, find.layout));
  }

  return async (find, by, scope) => {
    const touched = imagesOf(find, find.by.map(({ column }) => cellText(by[column])).join('\0'));
    const wanted = touched.filter(({ gone }) => !gone || scope.op === 'delete');
    if (wanted.some(({ row }) => row.includes(undefined))) return ask(find, by);
    if (!find.many) return wanted.length > 0 ? [wanted[0]!.row] : ask(find, by);
    if (wanted.length > 0 && scope.op !== 'update' && !isPart) return inKeyOrder(wanted, find.layout);
    const asked = await ask(find, by);
    // Without a key, rows of the two images cannot be matched.
    if (find.layout.key.length === 0) return asked;
    const changed = new Set(changesOf(find.table.name).flatMap(keysOf));
    const kept = asked
      .map((row): Image => ({ row, key: keyText(row, find.layout), gone: false }))
      .filter(({ key }) => !changed.has(key));
    return inKeyOrder([...kept, ...wanted], find.layout);
  };
}

/** A row that the transaction changed: its last state, or the state before its deletion. */
interface Image {
  row: Row;
  key: string;
  gone: boolean;
}

function indexImages(find: Find, changes: readonly Change[]): Map<string, Image[]> {
  const index = new Map<string, Image[]>();
  for (const change of changes) {
    const image = change.after ?? change.before ?? [];
    const row = find.layout.columns.map((column) => {
      const at = change.table.indexOf.get(column.name.toLowerCase());
      return at === undefined ? undefined : image[at];
    });
    const key = find.by.map(({ column }) => cellText(row[find.layout.indexOf.get(column)!])).join('\0');
    const images = index.get(key);
    const entry = { row, key: keyText(row, find.layout), gone: change.after === null };
    if (images) images.push(entry);
    else index.set(key, [entry]);
  }
  return index;
}

/** The keys under which the source may have a row that the transaction changed: its key before and its key after. */
function keysOf({ table, before, after }: Change): string[] {
  return [before, after].flatMap((row) => (row ? keyText(row, table) : []));
}

const keyText = (row: Row, { key }: TableSchema): string =>
  JSON.stringify(key.map((index) => cellText(row[index])));

function toRow(row: LookupRows[number], layout: TableSchema): Row {
  return layout.columns.map((column) => row[column.name.toLowerCase()] ?? null);
}

function inKeyOrder(images: readonly Image[], { key }: TableSchema): Row[] {
  return images
    .map(({ row }) => row)
    .toSorted((a, b) => {
      for (const index of key) {
        const order = compareCells(a[index], b[index]);
        if (order !== 0) return order;
      }
      return 0;
    });
}

function compareCells(a: Cell, b: Cell): number {
  const order = compareNumbers(a, b);
  if (order !== undefined) return order;
  const [x, y] = [cellText(a), cellText(b)];
  return x === y ? 0 : x < y ? -1 : 1;
}
