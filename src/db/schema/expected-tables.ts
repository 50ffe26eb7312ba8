import { getTableColumns, is, mysqlCore, MySqlTable, SQL } from './drizzle.ts';
import type { MySqlColumn, MySqlTable as Table } from 'drizzle-orm/mysql-core';
import * as schema from './schema.ts';

/** A column as the migrations create it on one kind of server. */
export interface ExpectedColumn {
  name: string;
  /** As `normalType` writes it. */
  type: string;
  /** Null for a type without one; undefined if it is the collation of the schema, which an operator chose. */
  collation: string | null | undefined;
  isNullable: boolean;
  isAutoIncrement: boolean;
  /** The text after MODIFY or ADD COLUMN. */
  definition: string;
}

export interface ExpectedIndex {
  name: string;
  isUnique: boolean;
  columns: readonly string[];
  /** The statement that creates it again. */
  statement: string;
}

export interface ExpectedTable {
  name: string;
  columns: readonly ExpectedColumn[];
  indexes: readonly ExpectedIndex[];
}

/** Returns the tables of the store as a server of this kind prints them once all migrations have run. */
export function listExpectedTables(isMariaDb: boolean): ExpectedTable[] {
  return Object.values(schema).flatMap((table) => (is(table, MySqlTable) ? [toTable(table, isMariaDb)] : []));
}

function toTable(table: Table, isMariaDb: boolean): ExpectedTable {
  const { name, indexes, primaryKeys } = mysqlCore.getTableConfig(table);
  const columns = Object.values<MySqlColumn>(getTableColumns(table));
  const primary = primaryKeys.flatMap((key) => key.columns).map((column) => column.name);
  if (primary.length === 0) primary.push(...columns.filter((each) => each.primary).map((each) => each.name));
  return {
    name,
    columns: columns.map((column) => toColumn(column, { isMariaDb, isKey: primary.includes(column.name) })),
    indexes: [
      {
        ...{ name: 'PRIMARY', isUnique: true, columns: primary },
        statement: `ALTER TABLE \`${name}\` ADD PRIMARY KEY (${quoted(primary)});`,
      },
      ...indexes.map(({ config: { name: index, columns: parts, unique } }) => {
        const names = parts.map((part) => (is(part, SQL) ? '' : part.name));
        const isUnique = unique === true;
        const statement = `CREATE ${isUnique ? 'UNIQUE ' : ''}INDEX \`${index}\` ON \`${name}\` (${quoted(names)});`;
        return { name: index, isUnique, columns: names, statement };
      }),
    ],
  };
}

const quoted = (names: readonly string[]): string => names.map((name) => `\`${name}\``).join(', ');

function toColumn(
  column: MySqlColumn,
  { isMariaDb, isKey }: { isMariaDb: boolean; isKey: boolean },
): ExpectedColumn {
  const sqlType = column.getSQLType();
  const [written = '', collation] = forServer(sqlType, isMariaDb).split(/ character set \w+ collate /);
  const isAutoIncrement = 'autoIncrement' in column && column.autoIncrement === true;
  const type = normalType(written, isMariaDb);
  const isNullable = !column.notNull && !isKey;
  const generated = textOf(column.generated?.as);
  const value = textOf(column.default);
  const definition = [
    `\`${column.name}\` ${sqlType}`,
    ...(generated === null ? [] : [`GENERATED ALWAYS AS (${generated}) STORED`]),
    ...(isNullable ? [] : ['NOT NULL']),
    ...(isAutoIncrement ? ['AUTO_INCREMENT'] : []),
    ...(value === null ? [] : [`DEFAULT ${value}`]),
  ].join(' ');
  return {
    name: column.name,
    type,
    collation: collation?.trim() ?? collationOf(type, written),
    isNullable,
    isAutoIncrement,
    definition,
  };
}

/** MariaDB stores JSON as text of this collation. */
function collationOf(type: string, written: string): string | null | undefined {
  if (type.startsWith('enum')) return undefined;
  return written === 'json' && type === 'longtext' ? 'utf8mb4_bin' : null;
}

/** Returns the parts of a type that this server reads: MySQL and MariaDB have their own conditional comments. */
function forServer(sqlType: string, isMariaDb: boolean): string {
  const mine = isMariaDb ? 'M!100600' : '!80017';
  return sqlType
    .replaceAll(/\/\*(M?!\d+) (.*?) ?\*\//g, (_all, version, text) => (version === mine ? String(text) : ''))
    .trim();
}

/**
 * A type in one form: by the name that the server keeps, without the display width that MySQL prints before 8.0.19 and MariaDB prints always,
 * and without MariaDB's comments about how it stores the values (`datetime(3) /* mariadb-5.3 *\/` with `mysql56_temporal_format=OFF`).
 */
export function normalType(type: string, isMariaDb: boolean): string {
  if (type === 'boolean') return 'tinyint';
  if (type === 'json' && isMariaDb) return 'longtext';
  return type
    .replaceAll(/\s*\/\*.*?\*\//g, '')
    .replace(/^((?:tiny|small|medium|big)?int)\(\d+\)/i, '$1')
    .replaceAll(/'(?:[^']|'')*'|[^']+/g, (part) => (part.startsWith("'") ? part : part.toLowerCase()));
}

function textOf(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  if (is(value, SQL)) return new mysqlCore.MySqlDialect().sqlToQuery(value).sql;
  return typeof value === 'string' ? `'${value}'` : String(Number(value));
}
