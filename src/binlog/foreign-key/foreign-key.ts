/**
 * What a foreign key does to the rows of its table when a row of the parent is deleted or its referenced columns change. InnoDB
 * takes SET DEFAULT as RESTRICT (error 1451 on MySQL 9.7.4, MariaDB 10.11.18 and 11.8.8): it changes no row.
 */
export type KeyAction = 'cascade' | 'set null';

export interface TableName {
  schema: string;
  table: string;
}

/** A foreign key, with what it changes in its table without a statement of its own. */
export interface ForeignKey {
  /** Name of the constraint, unique within its table. */
  name: string;
  /** The table that has the key. */
  child: TableName;
  columns: readonly string[];
  parent: TableName;
  /** Columns of the parent, in the order of `columns`. */
  referenced: readonly string[];
  /** Null where the server refuses to delete a row that is pointed to. */
  onDelete: KeyAction | null;
  onUpdate: KeyAction | null;
}

const name = '`(?:[^`]|``)+`';
/** MariaDB 10.11 does not double a backtick in the names of a key's columns. */
const columnList = '`(?:.+?)`';
/** A line of its own: a comment of a column that reads like a key stands within the column's line. */
const clause = new RegExp(
  `^\\s*CONSTRAINT (${columnList}) FOREIGN KEY \\((${columnList})\\) REFERENCES ((?:${name}\\.)?${name}) \\((${columnList})\\)([A-Z ]*),?$`,
  'gm',
);

/** The foreign keys in a CREATE TABLE as the server prints it. */
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

/** A table's name for people: with its schema where that is not the watched one. */
export function nameTable({ schema, table }: TableName, ours: string): string {
  return schema === ours ? table : `${schema}.${table}`;
}
