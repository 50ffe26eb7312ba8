import { fileURLToPath } from 'node:url';
import type { MySqlColumn } from 'drizzle-orm/mysql-core';
import {
  getTableColumns,
  getTableName,
  is,
  mysqlCore,
  MySqlTable,
  readMigrationFiles,
  SQL,
} from './drizzle.ts';
import * as schema from './schema.ts';

/*
 * The definitions of the store's tables and views, for comparison with the definitions that a server returns. Servers print definitions in forms of
 * their own: with the schema's name, with parentheses around every term (MySQL) or few (MariaDB), with the character set of a text.
 */

/** The same relative path from src/db and from dist/db. */
export const migrationsFolder = fileURLToPath(new URL('../../../drizzle', import.meta.url));

/** Returns the SELECT of each view that the migrations create, by name. */
export function readViewQueries(): Map<string, string> {
  const views = new Map<string, string>();
  for (const { sql } of readMigrationFiles({ migrationsFolder })) {
    for (const statement of sql) {
      const [, name, query] = /^CREATE (?:OR REPLACE )?VIEW `(\w+)` AS\s+([^;]+)/m.exec(statement) ?? [];
      if (name !== undefined && query !== undefined) views.set(name, query);
    }
  }
  return views;
}

export interface ColumnDefinition {
  table: string;
  column: string;
  /** The value of a row that does not name the column, as `toTokens` writes it; null for NULL or none. */
  value: string | null;
}

/** Returns the defaults and generated values of all columns of the store's tables. */
export function listColumnDefinitions(): ColumnDefinition[] {
  return Object.values(schema).flatMap((table) =>
    is(table, MySqlTable)
      ? Object.values<MySqlColumn>(getTableColumns(table)).map((column) => ({
          table: getTableName(table),
          column: column.name,
          value: textOf(column.generated?.as ?? column.default),
        }))
      : [],
  );
}

function textOf(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  if (is(value, SQL)) return toTokens(new mysqlCore.MySqlDialect().sqlToQuery(value).sql);
  return toTokens(typeof value === 'string' ? value : String(Number(value)));
}

/** The store's tables, also used by servers to qualify a column if the query has no alias for its table. */
export const tableNames: ReadonlySet<string> = new Set(
  Object.values(schema).flatMap((table) => (is(table, MySqlTable) ? [getTableName(table)] : [])),
);

/**
 * Normalizes a query or an expression, whichever server printed it, to its tokens without parentheses, names of the schema, and aliases
 * equal to the column's own name. Queries with any other difference have different tokens. `schemaNames`: spellings of the store's schema.
 */
export function toTokens(sql: string, schemaNames: readonly string[] = []): string {
  const tokens: string[] = [];
  const pattern = /--[^\n]*|'(?:[^']|'')*'|`(?:[^`]|``)*`|[\w$]+|[^\s\w]/g;
  for (const [found] of sql.replaceAll("\\'", "'").matchAll(pattern)) {
    if (found.startsWith('--') || found === '(' || found === ')') continue;
    if (found.startsWith("'")) {
      // The character set of a text: _utf8mb4'open'.
      if (tokens.at(-1)?.startsWith('_') === true) tokens.pop();
      tokens.push(found);
      continue;
    }
    const isName = found.startsWith('`');
    tokens.push(isName ? found.slice(1, -1).replaceAll('``', '`') : found.toLowerCase());
    if (found !== '.') dropAlias(tokens);
  }
  return withoutQualifiers(tokens, schemaNames).join(' ');
}

/** `e . id as id` is `e . id`. */
function dropAlias(tokens: string[]): void {
  if (tokens.at(-2) === 'as' && tokens.at(-3) === tokens.at(-1) && tokens.length > 3) tokens.length -= 2;
}

function withoutQualifiers(tokens: readonly string[], schemaNames: readonly string[]): string[] {
  const isTable = (at: number): boolean => tableNames.has(tokens[at] ?? '');
  return tokens.filter((token, at) => {
    // A schema may precede a table's name: another schema may have the name of one of our tables.
    const qualifies = (place: number): boolean =>
      tokens[place + 1] === '.' &&
      (schemaNames.includes(tokens[place] ?? '') || (isTable(place) && !isTable(place + 2)));
    return !qualifies(at) && !(token === '.' && at > 0 && qualifies(at - 1));
  });
}
