import type { Lexer } from '../statement/lexer.ts';
import { typeName, type ColumnType } from './column-type.ts';

/** A column as MODIFY, CHANGE or CREATE TABLE defines it. */
export interface ColumnDefinition {
  /** Null if it cannot be read for certain. */
  type: ColumnType | null;
  /** The character set in the statement; null if the table's default applies. */
  charset: string | null;
  isNotNull: boolean;
  isAutoIncrement: boolean;
  isGenerated: boolean;
}

/** Reads a definition from its type to the comma or closing parenthesis after it. */
export function readDefinition(lexer: Lexer): ColumnDefinition {
  // SERIAL is BIGINT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE.
  const isSerial = lexer.keyword() === 'SERIAL';
  const definition: ColumnDefinition = {
    type: readType(lexer),
    charset: null,
    isNotNull: isSerial,
    isAutoIncrement: isSerial,
    isGenerated: false,
  };
  let depth = 0;
  for (; lexer.type !== 'end'; lexer.next()) {
    const symbol = lexer.symbol();
    if ((symbol === ',' || symbol === ')') && depth === 0) break;
    if (symbol === '(') depth += 1;
    else if (symbol === ')') depth -= 1;
    else if (depth === 0) readAttribute(lexer, definition);
  }
  return definition;
}

/** The first words of types whose names have several words, with the words that may follow. */
const longTypes: Readonly<Record<string, readonly string[]>> = {
  double: ['precision'],
  char: ['varying', 'byte'],
  character: ['varying'],
  nchar: ['varying', 'varchar'],
  national: ['char', 'character', 'varchar', 'varcharacter', 'varying'],
  long: ['varchar', 'varcharacter', 'varbinary', 'char', 'character', 'varying'],
};

function readType(lexer: Lexer): ColumnType | null {
  if (lexer.type !== 'word') return null;
  let words = lexer.keyword().toLowerCase();
  const more = longTypes[words] ?? [];
  lexer.next();
  for (let word = lexer.keyword().toLowerCase(); more.includes(word); word = lexer.keyword().toLowerCase()) {
    words += ` ${word}`;
    lexer.next();
  }
  const base = typeName(words);
  const labels = base === 'enum' || base === 'set' ? readLabels(lexer) : null;
  if (labels === undefined) return null;
  const args = labels === null ? readArgs(lexer) : [];
  return args && sized({ base, args, labels, isUnsigned: words === 'serial' });
}

/** Reads the numbers in parentheses; null if they contain anything else. */
function readArgs(lexer: Lexer): number[] | null {
  if (lexer.symbol() !== '(') return [];
  const args: number[] = [];
  while (lexer.next() !== 'end' && lexer.symbol() !== ')') {
    if (lexer.symbol() === ',') continue;
    const number = Number(lexer.keyword());
    if (lexer.type !== 'word' || !Number.isInteger(number)) return null;
    args.push(number);
  }
  lexer.next();
  return args;
}

/** Reads the members of an ENUM or SET; undefined if any member is not a plain literal. */
function readLabels(lexer: Lexer): string[] | undefined {
  const labels: string[] = [];
  if (lexer.symbol() !== '(') return undefined;
  while (lexer.next() !== 'end' && lexer.symbol() !== ')') {
    if (lexer.symbol() === ',') continue;
    const label = lexer.type === 'string' ? lexer.name()[0] : undefined;
    // Escaped characters, and literals in another character set or in hexadecimal, are not supported.
    if (label === undefined || label.includes('\\')) return undefined;
    // The servers drop trailing spaces.
    labels.push(label.replace(/ +$/, ''));
  }
  lexer.next();
  return labels;
}

/** TEXT(n) and BLOB(n) are the smallest type that holds n characters. The statement does not determine it for every character set. */
const isSizedLob = ({ base, args }: ColumnType): boolean =>
  args.length > 0 && (base === 'text' || base === 'blob');

function sized(type: ColumnType): ColumnType | null {
  if (isSizedLob(type)) return null;
  if (type.base !== 'float' || type.args.length !== 1) return type;
  return { ...type, base: type.args[0]! > 24 ? 'double' : 'float', args: [] };
}

function readAttribute(lexer: Lexer, definition: ColumnDefinition): void {
  switch (lexer.keyword()) {
    case 'UNSIGNED':
    case 'ZEROFILL':
      if (definition.type) definition.type = { ...definition.type, isUnsigned: true };
      return;
    case 'NOT':
      lexer.next();
      if (lexer.keyword() === 'NULL') definition.isNotNull = true;
      return;
    case 'PRIMARY':
    case 'KEY':
      definition.isNotNull = true;
      return;
    case 'UNIQUE':
      if (peek(lexer).keyword() === 'KEY') lexer.next();
      return;
    case 'SERIAL':
      definition.isNotNull = true;
      definition.isAutoIncrement = true;
      return;
    case 'AUTO_INCREMENT':
      definition.isAutoIncrement = true;
      return;
    case 'AS':
    case 'GENERATED':
      definition.isGenerated = true;
      return;
    case 'CHARSET':
    case 'CHARACTER':
      definition.charset = readCharset(lexer);
      return;
    case 'ASCII':
      definition.charset = 'latin1';
      return;
    case 'UNICODE':
      definition.charset = 'ucs2';
      return;
    case 'BYTE':
      definition.charset = 'binary';
      return;
    case 'COLLATE':
      lexer.next();
      definition.charset ??= charsetOfCollation(lexer.name()[0] ?? '');
      return;
    // The word after each of these is a name or a value.
    case 'COMMENT':
    case 'AFTER':
    case 'DEFAULT':
      if (peek(lexer).type !== 'symbol') lexer.next();
  }
}

function peek(lexer: Lexer): Lexer {
  const ahead = lexer.fork();
  ahead.next();
  return ahead;
}

function readCharset(lexer: Lexer): string | null {
  if (lexer.keyword() === 'CHARACTER') lexer.next();
  lexer.next();
  const name = lexer.name()[0];
  return name === undefined ? null : charsetName(name);
}

/** Returns the data dictionary's name of a character set. */
export function charsetName(name: string): string {
  const lower = name.toLowerCase();
  return lower === 'utf8' ? 'utf8mb3' : lower;
}

/** MariaDB's uca1400 collations exist for several character sets, and their names contain none. */
function charsetOfCollation(collation: string): string | null {
  const [charset = ''] = collation.split('_');
  return charset === '' || charset.toLowerCase() === 'uca1400' ? null : charsetName(charset);
}
