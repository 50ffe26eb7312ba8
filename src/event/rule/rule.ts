import type { RowOp, SourceColumn, SourceTable, TableSchema } from '../../binlog/types.ts';
import type { Scalar } from '../mapping/match.ts';
import type { JsonValue } from '../../lib/exact-json.ts';

/** A rule that fits the schema: every name in it is an existing table or column, in lower case, or null if it does not exist. */
export interface Rule {
  type: string;
  table: SourceTable;
  ops: ReadonlySet<RowOp>;
  /** Columns of parent rows that conditions, key and data read like columns of the row itself. */
  borrowed: readonly JoinedColumns[];
  conditions: readonly Condition[];
  /** At least one of these must change; null when the rule names none. */
  columns: readonly SourceColumn[] | null;
  /** The column that names the entity; null for the primary key. */
  key: string | null;
  /** Names the patient whose data the event carries; null for an event about no patient. */
  subject: Source | null;
  data: readonly Field[];
}

export interface JoinedColumns {
  /** With its name in the rule. */
  column: SourceColumn;
  /** A look-up of one column, through one parent or several. */
  source: Source;
}

export interface Field {
  name: string;
  source: Source;
}

export interface Condition {
  /** null counts as NULL. */
  column: string | null;
  checks: readonly Check[];
}

export type Check =
  | { verb: 'becomes' | 'leaves' | 'is' | 'was'; values: AcceptedValues }
  | { verb: 'changes'; wanted: boolean }
  | { verb: 'falls_to' | 'rises_to'; threshold: number | string | ColumnName };

export interface AcceptedValues {
  negated: boolean;
  listed: readonly (Scalar | ColumnName)[];
}

/** Another column of the row; null if it does not exist. */
export interface ColumnName {
  column: string | null;
}

export type Source =
  /** A column or table that does not exist. */
  | { kind: 'nothing' }
  | { kind: 'column'; column: SourceColumn; old: boolean; path: readonly string[] }
  | { kind: 'commit-time' }
  | { kind: 'changed'; columns: readonly SourceColumn[] }
  | { kind: 'literal'; value: JsonValue }
  | { kind: 'first'; sources: readonly Source[] }
  | { kind: 'translate'; source: Source; words: ReadonlyMap<string, Scalar> }
  | { kind: 'part'; part: 'date' | 'time'; column: SourceColumn }
  /** The number with the opposite sign. */
  | { kind: 'minus'; column: SourceColumn }
  | { kind: 'fields'; fields: readonly Field[] }
  | { kind: 'find'; find: Find }
  | { kind: 'sibling'; sibling: Sibling };

/** A look-up of one row (a parent) or many (children). */
export interface Find {
  many: boolean;
  table: SourceTable;
  /** Column there → what it must equal. */
  by: readonly {
    column: string;
    equals: { column: SourceColumn; old: boolean } | { value: string | number };
  }[];
  /** The layout of the rows read: the columns of `by` and `select`, and the primary key. */
  layout: TableSchema;
  /** Taken from each row found. */
  select: Source;
}

/** A look-up among the rows of another table that the same transaction inserted or updated. */
export interface Sibling {
  table: SourceTable;
  /** Column there → column of the changed row that it equals. */
  by: readonly { column: SourceColumn; equals: { column: SourceColumn; old: boolean } }[];
  /** Column there → the accepted values. */
  where: readonly { column: SourceColumn; values: readonly (string | number)[] }[];
  /** The columns that `select` names: rows that differ in one of them disagree. */
  layout: TableSchema;
  select: Source;
}
