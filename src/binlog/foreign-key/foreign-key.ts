/**
 * What a foreign key does to the rows of its table when a row of the parent is deleted or its referenced columns change. InnoDB treats
 * SET DEFAULT as RESTRICT (error 1451 on MySQL 9.7.4, MariaDB 10.11.18 and 11.8.8): it changes no row.
 */
export type KeyAction = 'cascade' | 'set null';

export interface TableName {
  schema: string;
  table: string;
}

/** A foreign key, and the changes it makes in its table without a separate statement. */
export interface ForeignKey {
  /** Name of the constraint, unique within its table. */
  name: string;
  /** The table that has the key. */
  child: TableName;
  columns: readonly string[];
  parent: TableName;
  /** Columns of the parent, in the order of `columns`. */
  referenced: readonly string[];
  /** Null if the server refuses to delete a referenced row. */
  onDelete: KeyAction | null;
  onUpdate: KeyAction | null;
}

const name = '`(?:[^`]|``)+`';
/** MariaDB 10.11 does not double a backtick in the names of a key's columns. */
const columnList = '`(?:.+?)`';
/** Matches whole lines: a column comment that looks like a key is part of the column's line. */
const clause = new RegExp(
  `^\\s*CONSTRAINT (${columnList}) FOREIGN KEY \\((${columnList})\\) REFERENCES ((?:${name}\\.)?${name}) \\((${columnList})\\)([A-Z ]*),?$`,
  'gm',
);

/** Reads the foreign keys from a CREATE TABLE in the server's format. */
export function parseForeignKeys(child: TableName, definition: string): ForeignKey[] {
  return [...definition.matchAll(clause)].map(
    ([, constraint = '', columns = '', parent = '', referenced = '', actions = '']) => {
      const [table = '', schema = child.schema] = namesIn(parent).toReversed();
      return {
        name: columnsIn(constraint)[0]!,
        child,
        columns: columnsIn(columns),
        parent: { schema, table },
        referenced: columnsIn(referenced),
        onDelete: actionIn(actions, 'DELETE'),
        onUpdate: actionIn(actions, 'UPDATE'),
      };
    },
  );
}

function namesIn(text: string): string[] {
  return [...text.matchAll(/`((?:[^`]|``)+)`/g)].map(([, each = '']) => each.replaceAll('``', '`'));
}

function columnsIn(list: string): string[] {
  return list
    .slice(1, -1)
    .split(/`, ?`/)
    .map((each) => each.replaceAll('``', '`'));
}

function actionIn(actions: string, event: 'DELETE' | 'UPDATE'): KeyAction | null {
  const found = new RegExp(`ON ${event} (CASCADE|SET NULL)`).exec(actions)?.[1];
  return found === undefined ? null : (found.toLowerCase() as KeyAction);
}

/** Returns a table's name for messages: with its schema unless that is the watched schema. */
export function nameTable({ schema, table }: TableName, ours: string): string {
  return schema === ours ? table : `${schema}.${table}`;
}
