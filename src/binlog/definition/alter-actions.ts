import type { Lexer } from '../statement/lexer.ts';
import { passWords, readObjectName, type Name, type ObjectName } from '../statement/names.ts';
import type { ParsedStatement } from '../statement/parse-statement.ts';
import { charsetName, readDefinition, type ColumnDefinition } from './column-definition.ts';

/** What an ALTER TABLE does to an existing column. */
export type ColumnAction =
  /** Removes the name: DROP COLUMN, RENAME COLUMN, CHANGE with another name. */
  | { kind: 'remove'; column: Name }
  /** MODIFY, or CHANGE with the same name. */
  | { kind: 'define'; column: Name; definition: ColumnDefinition }
  /** CONVERT TO CHARACTER SET, which affects every text column; null for DEFAULT. */
  | { kind: 'convert'; charset: string | null };

export interface Alteration {
  table: ObjectName;
  actions: readonly ColumnAction[];
}

/**
 * Reads an ALTER TABLE of either server; null for any other statement. All other actions keep every value: new columns, keys,
 * constraints, defaults, visibility, table options (including the default character set), partitions, versioning, and renaming the
 * table (see `findUnloggedRows` for actions that remove rows). MySQL sql/sql_yacc.yy `alter_list_item`, MariaDB `alter_list_item`.
 */
export function readAlteration(statement: ParsedStatement): Alteration | null {
  if (statement.head[0] !== 'ALTER' || statement.head[1] !== 'TABLE') return null;
  const lexer = statement.behindHead();
  lexer.next();
  passWords(lexer, 'IF', 'EXISTS');
  const table = readObjectName(lexer);
  if (!table) return null;
  if (lexer.keyword() === 'WAIT') {
    lexer.next();
    lexer.next();
  }
  passWords(lexer, 'NOWAIT');
  const actions: ColumnAction[] = [];
  while (lexer.type !== 'end') {
    const action = readAction(lexer);
    if (action) actions.push(action);
    passAction(lexer);
  }
  return { table, actions };
}

/** Moves past the comma that ends the current action. */
function passAction(lexer: Lexer): void {
  let depth = 0;
  for (; lexer.type !== 'end'; lexer.next()) {
    const symbol = lexer.symbol();
    if (symbol === '(') depth += 1;
    else if (symbol === ')') depth -= 1;
    else if (symbol === ',' && depth === 0) {
      lexer.next();
      return;
    }
  }
}

function readAction(lexer: Lexer): ColumnAction | null {
  const verb = lexer.keyword();
  switch (verb) {
    case 'DROP':
      lexer.next();
      return readDrop(lexer);
    case 'RENAME':
      lexer.next();
      if (lexer.keyword() !== 'COLUMN') return null;
      passWords(lexer, 'COLUMN', 'IF', 'EXISTS');
      return { kind: 'remove', column: readColumn(lexer) };
    case 'MODIFY':
      lexer.next();
      passWords(lexer, 'COLUMN', 'IF', 'EXISTS');
      return { kind: 'define', column: readColumn(lexer), definition: readDefinition(lexer) };
    case 'CHANGE': {
      lexer.next();
      passWords(lexer, 'COLUMN', 'IF', 'EXISTS');
      const column = readColumn(lexer);
      const now = readColumn(lexer);
      return isSame(column, now)
        ? { kind: 'define', column, definition: readDefinition(lexer) }
        : { kind: 'remove', column };
    }
    case 'CONVERT':
      lexer.next();
      return readConversion(lexer);
    default:
      return null;
  }
}

/** Other things to drop, each with the word that distinguishes it from a column of the same name if that name is not reserved. */
const droppedThings: Readonly<Record<string, string>> = {
  INDEX: '',
  KEY: '',
  PRIMARY: '',
  FOREIGN: '',
  CONSTRAINT: '',
  CHECK: '',
  PARTITION: '',
  PERIOD: 'FOR',
  SYSTEM: 'VERSIONING',
};

function readDrop(lexer: Lexer): ColumnAction | null {
  const behind = droppedThings[lexer.keyword()];
  if (behind === '') return null;
  const ahead = lexer.fork();
  ahead.next();
  if (behind !== undefined && ahead.keyword() === behind) return null;
  passWords(lexer, 'COLUMN', 'IF', 'EXISTS');
  return { kind: 'remove', column: readColumn(lexer) };
}

function readConversion(lexer: Lexer): ColumnAction | null {
  if (lexer.keyword() !== 'TO') return null;
  passWords(lexer, 'TO', 'CHARACTER', 'CHAR', 'SET', 'CHARSET');
  if (lexer.symbol() === '=') lexer.next();
  const isNamed = lexer.type === 'word' || lexer.type === 'string' || lexer.type === 'name';
  const name = isNamed ? charsetName(lexer.name()[0] ?? '') : '';
  return { kind: 'convert', charset: name === '' || name === 'default' ? null : name };
}

/** Reads the name of a column, which may follow those of its schema and table; an unreadable name may be any name. */
function readColumn(lexer: Lexer): Name {
  let name: Name = [];
  while (lexer.type === 'word' || lexer.type === 'name') {
    name = lexer.name();
    lexer.next();
    if (lexer.symbol() !== '.') break;
    lexer.next();
  }
  return name;
}

const isSame = (one: Name, other: Name): boolean =>
  one.length > 0 && one[0]!.toLowerCase() === other[0]?.toLowerCase();
