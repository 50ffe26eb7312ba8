import type { Cell, Column, Row, RowEvent, TableSchema } from '../../src/binlog/types.ts';

/** A table as the reader would describe it; columns written `name kind`, the key by column names. */
export function tableOf(
  name: string,
  columns: readonly string[],
  key: readonly string[] = ['id'],
): TableSchema {
  const parsed = columns.map((column): Column => {
    const [columnName, kind = 'integer'] = column.split(' ');
    return { name: columnName!, kind: kind as Column['kind'] };
  });
  const indexOf = new Map(parsed.map((column, index) => [column.name.toLowerCase(), index]));
  return { schema: 'clinic', name, columns: parsed, key: key.map((part) => indexOf.get(part)!), indexOf };
}

export type Cells = Readonly<Record<string, Cell>>;

/** Cells by name as a row; what is not named is absent from the image. */
export function rowOf(table: TableSchema, cells: Cells): Row {
  return table.columns.map((column) => cells[column.name]);
}

export const insert = (table: TableSchema, after: Cells): RowEvent => ({
  table,
  op: 'insert',
  before: null,
  after: rowOf(table, after),
});

/** `after` names only what differs, as a full image would show it: the rest is taken from `before`. */
export const update = (table: TableSchema, before: Cells, after: Cells): RowEvent => ({
  table,
  op: 'update',
  before: rowOf(table, before),
  after: rowOf(table, { ...before, ...after }),
});

/** An update whose images hold only what is named (binlog_row_image MINIMAL or NOBLOB). */
export const partialUpdate = (table: TableSchema, before: Cells, after: Cells): RowEvent => ({
  table,
  op: 'update',
  before: rowOf(table, before),
  after: rowOf(table, after),
});

export const remove = (table: TableSchema, before: Cells): RowEvent => ({
  table,
  op: 'delete',
  before: rowOf(table, before),
  after: null,
});
