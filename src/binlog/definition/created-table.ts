import type { Lexer } from '../statement/lexer.ts';
import { readObjectName, type Name, type ObjectName } from '../statement/names.ts';
import type { ParsedStatement } from '../statement/parse-statement.ts';
import { readDefinition, type ColumnDefinition } from './column-definition.ts';

export interface CreatedTable {
  table: ObjectName;
  /** The table of CREATE TABLE … LIKE. */
  like: ObjectName | null;
  /** The columns that the statement defines. */
  columns: readonly { name: Name; definition: ColumnDefinition }[];
  /** CREATE TABLE … SELECT: the table may have more columns. */
  selects: boolean;
}

/** Reads a CREATE TABLE; null for other statements, and with IF NOT EXISTS, because the table may then be an older one. */
export function readCreatedTable({ head, behindHead }: ParsedStatement): CreatedTable | null {
  if (head[0] !== 'CREATE' || head[1] !== 'TABLE') return null;
  const lexer = behindHead();
  lexer.next();
  if (lexer.keyword() === 'IF') return null;
  const table = readObjectName(lexer);
  if (!table) return null;
  if (lexer.symbol() === '(') {
    lexer.next();
    if (lexer.keyword() !== 'LIKE') {
      const columns = readColumns(lexer);
      return { table, like: null, columns, selects: readSelect(lexer) };
    }
  }
  if (lexer.keyword() !== 'LIKE') return { table, like: null, columns: [], selects: readSelect(lexer) };
  lexer.next();
  return { table, like: readObjectName(lexer), columns: [], selects: false };
}

/** Words that begin a definition in the parentheses that is not a column. */
const otherThings: ReadonlySet<string> = new Set([
  'PRIMARY',
  'KEY',
  'INDEX',
  'UNIQUE',
  'FULLTEXT',
  'SPATIAL',
  'VECTOR',
  'CONSTRAINT',
  'FOREIGN',
  'CHECK',
  'PERIOD',
]);

/** Reads from after the opening parenthesis to after the closing one. */
function readColumns(lexer: Lexer): CreatedTable['columns'] {
  const columns: { name: Name; definition: ColumnDefinition }[] = [];
  while (lexer.type !== 'end') {
    const isColumn = lexer.type === 'name' || (lexer.type === 'word' && !otherThings.has(lexer.keyword()));
    const name = lexer.name();
    if (isColumn) lexer.next();
    const definition = readDefinition(lexer);
    if (isColumn) columns.push({ name, definition });
    const isLast = lexer.symbol() === ')';
    lexer.next();
    if (isLast) break;
  }
  return columns;
}

/** Whether a SELECT follows the table's options. */
function readSelect(lexer: Lexer): boolean {
  for (; lexer.type !== 'end'; lexer.next()) if (lexer.keyword() === 'SELECT') return true;
  return false;
}
