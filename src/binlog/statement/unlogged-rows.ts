import type { Lexer } from './lexer.ts';
import { findRenamed, isUntouched, type FoldName, type Move } from './renamed-tables.ts';
import { passWords, readObjectName, readObjectNames, type Name, type ObjectName } from './names.ts';
import type { ParsedStatement } from './parse-statement.ts';

/** A statement that removes rows from tables, or adds some, without logging row events for them. */
export interface UnloggedRows {
  /** `TRUNCATE`, `DROP TABLE`: for the message. */
  statement: string;
  tables: readonly ObjectName[];
  /** The tables whose names belong to another table afterwards, or to none: nothing known about them remains valid. */
  replaced?: readonly ReplacedTable[];
  /** The partitions that are dropped or emptied, if the statement affects only partitions. */
  partitions?: PartitionLoss;
}

export interface ReplacedTable {
  name: ObjectName;
  isGone: boolean;
}

export interface PartitionLoss {
  verb: 'DROP' | 'TRUNCATE';
  names: readonly Name[];
}

/** Engines that keep every row, also across a restart. Others store no rows, or show rows stored elsewhere. */
const keepingEngines: ReadonlySet<string> = new Set([
  'INNODB',
  'MYISAM',
  'ARIA',
  'ROCKSDB',
  'TOKUDB',
  'NDB',
  'NDBCLUSTER',
  'ARCHIVE',
  'CSV',
]);

/** Engines whose new tables are empty. Others may show rows immediately. */
const emptyEngines: ReadonlySet<string> = new Set([
  ...keepingEngines,
  'MEMORY',
  'HEAP',
  'BLACKHOLE',
  'COLUMNSTORE',
]);

/**
 * Returns what a definition does to rows without logging them; null if it changes no rows. Supports the forms of both servers: a form
 * that neither server accepts cannot occur in a log.
 */
export function findUnloggedRows(statement: ParsedStatement, fold: FoldName): UnloggedRows | null {
  const lexer = statement.behindHead();
  lexer.next();
  switch (statement.head.slice(0, 2).join(' ')) {
    case 'DROP TABLE':
    case 'DROP TABLES':
      passWords(lexer, 'IF', 'EXISTS');
      return statement.isTemporary ? null : replaced('DROP TABLE', readObjectNames(lexer), { isGone: true });
    case 'DROP DATABASE':
    case 'DROP SCHEMA':
      return wholeSchema('DROP DATABASE', lexer);
    case 'CREATE DATABASE':
    case 'CREATE SCHEMA':
      return statement.isOrReplace ? wholeSchema('CREATE OR REPLACE DATABASE', lexer) : null;
    case 'CREATE TABLE':
    case 'CREATE SEQUENCE':
      return ofNewTable(statement, lexer);
    case 'ALTER TABLE':
      return ofAlteredTable(statement, lexer, fold);
    case 'RENAME TABLE':
    case 'RENAME TABLES':
      return ofMoves('RENAME TABLE', readMoves(statement), fold);
    default:
      return statement.head[0] === 'TRUNCATE' ? ofTruncate(lexer) : null;
  }
}

function ofTruncate(lexer: Lexer): UnloggedRows {
  passWords(lexer, 'TABLE', 'IF', 'EXISTS');
  const table = readObjectName(lexer);
  return { statement: 'TRUNCATE', tables: table ? [table] : [] };
}

function wholeSchema(statement: string, lexer: Lexer): UnloggedRows {
  passWords(lexer, 'IF', 'NOT', 'EXISTS');
  const schema = readObjectName(lexer)?.object ?? null;
  return replaced(statement, [{ schema, object: null }], { isGone: true });
}

function ofNewTable({ isOrReplace, isTemporary, head }: ParsedStatement, lexer: Lexer): UnloggedRows | null {
  if (isTemporary) return null;
  passWords(lexer, 'IF', 'NOT', 'EXISTS');
  const table = readObjectName(lexer);
  if (!table) return null;
  if (isOrReplace) return replaced(`CREATE OR REPLACE ${head[1] ?? 'TABLE'}`, [table], { isGone: false });
  const options = readOptions(lexer);
  const showsRows = options.hasUnion || options.engines.some((engine) => !emptyEngines.has(engine));
  return showsRows ? { statement: 'CREATE TABLE … ENGINE', tables: [table] } : null;
}

function ofAlteredTable({ isIgnoring }: ParsedStatement, lexer: Lexer, fold: FoldName): UnloggedRows | null {
  passWords(lexer, 'IF', 'EXISTS');
  const table = readObjectName(lexer);
  if (!table) return null;
  if (isIgnoring) return { statement: 'ALTER IGNORE TABLE', tables: [table] };
  const { engines, hasUnion, renamedTo, others, partitions, movesRows } = readOptions(lexer);
  if (engines.some((engine) => !keepingEngines.has(engine)) || hasUnion) {
    return { statement: 'ALTER TABLE … ENGINE', tables: [table] };
  }
  if (movesRows || partitions) {
    return {
      statement: 'ALTER TABLE … PARTITION or TABLESPACE',
      tables: [table, ...others],
      ...(partitions && !movesRows ? { partitions } : {}),
    };
  }
  return renamedTo ? ofMoves('ALTER TABLE … RENAME', [{ from: table, to: renamedTo }], fold) : null;
}

function ofMoves(statement: string, moves: readonly Move[], fold: FoldName): UnloggedRows | null {
  const renamed = findRenamed(moves, fold).filter((each) => !isUntouched(each));
  if (renamed.length === 0) return null;
  return {
    statement,
    tables: renamed.map(({ name }) => name),
    replaced: renamed.map(({ name, replacement }) => ({ name, isGone: replacement === null })),
  };
}

function replaced(statement: string, tables: ObjectName[], { isGone }: { isGone: boolean }): UnloggedRows {
  return { statement, tables, replaced: tables.map((name) => ({ name, isGone })) };
}

/** Returns the steps of a RENAME TABLE, or of an ALTER TABLE that renames. */
export function readMoves(statement: ParsedStatement): Move[] {
  const lexer = statement.behindHead();
  lexer.next();
  if (statement.head[0] === 'ALTER') {
    passWords(lexer, 'IF', 'EXISTS');
    const from = readObjectName(lexer);
    const to = from && readOptions(lexer).renamedTo;
    return from && to ? [{ from, to }] : [];
  }
  const moves: Move[] = [];
  passWords(lexer, 'TABLE', 'TABLES', 'IF', 'EXISTS');
  for (let from = readObjectName(lexer); from !== null; from = readObjectName(lexer)) {
    while (lexer.type === 'word' && lexer.keyword() !== 'TO') lexer.next();
    lexer.next();
    const to = readObjectName(lexer);
    if (to === null) break;
    moves.push({ from, to });
    if (lexer.symbol() !== ',') break;
    lexer.next();
  }
  return moves;
}

/** The clauses after the table's name in a CREATE or ALTER TABLE that affect rows. */
interface TableOptions {
  engines: string[];
  hasUnion: boolean;
  renamedTo: ObjectName | null;
  /** The other table of an EXCHANGE or CONVERT. */
  others: ObjectName[];
  partitions: PartitionLoss | null;
  /** Rows are moved to or from another place: EXCHANGE, CONVERT, IMPORT, DISCARD. */
  movesRows: boolean;
}

/** After these words ENGINE is the name of a column. */
const beforeNames: ReadonlySet<string> = new Set([
  'ADD',
  'COLUMN',
  'CHANGE',
  'MODIFY',
  'DROP',
  'ALTER',
  'AFTER',
  'EXISTS',
  'TO',
  'KEY',
  'INDEX',
]);

function readOptions(lexer: Lexer): TableOptions {
  const options: TableOptions = {
    engines: [],
    hasUnion: false,
    renamedTo: null,
    others: [],
    partitions: null,
    movesRows: false,
  };
  let depth = 0;
  let before = '';
  while (lexer.type !== 'end') {
    const symbol = lexer.symbol();
    const word = depth === 0 ? lexer.keyword() : '';
    lexer.next();
    if (symbol === '(') depth += 1;
    else if (symbol === ')') depth -= 1;
    else if (word !== '') readOption({ lexer, word, before }, options);
    before = word;
  }
  return options;
}

/** The lexer is positioned after the word. */
function readOption(
  { lexer, word, before }: { lexer: Lexer; word: string; before: string },
  options: TableOptions,
): void {
  const next = lexer.keyword();
  switch (word) {
    case 'ENGINE':
    case 'TYPE':
      if (beforeNames.has(before) || (word === 'TYPE' && lexer.symbol() !== '=')) return;
      if (lexer.symbol() === '=') lexer.next();
      options.engines.push(
        (lexer.type === 'string' || lexer.type === 'name' ? unquoted(lexer) : lexer.keyword()) || '?',
      );
      return;
    case 'UNION':
      options.hasUnion = true;
      return;
    case 'RENAME':
      if (next === 'COLUMN' || next === 'INDEX' || next === 'KEY') return;
      passWords(lexer, 'TO', 'AS');
      if (lexer.symbol() === '=') lexer.next();
      options.renamedTo = readObjectName(lexer);
      return;
    case 'DROP':
    case 'TRUNCATE':
      if (next === 'PARTITION') options.partitions = readPartitions(lexer, word);
      return;
    case 'EXCHANGE':
    case 'CONVERT':
    case 'DISCARD':
    case 'IMPORT':
      if (next !== 'PARTITION' && next !== 'TABLE' && next !== 'TABLESPACE') return;
      options.movesRows = true;
      readOtherTable(lexer, options);
  }
}

/** Reads the name of an engine written in quotes. */
function unquoted(lexer: Lexer): string {
  return lexer.name()[0]?.toUpperCase() ?? '?';
}

function readPartitions(lexer: Lexer, verb: 'DROP' | 'TRUNCATE'): PartitionLoss {
  lexer.next();
  passWords(lexer, 'IF', 'EXISTS');
  const names = readObjectNames(lexer).map(({ object }) => object ?? []);
  return { verb, names };
}

/** `EXCHANGE PARTITION p WITH TABLE other`, `CONVERT PARTITION p TO TABLE other`, `CONVERT TABLE other TO PARTITION p`. */
function readOtherTable(lexer: Lexer, options: TableOptions): void {
  while (lexer.type !== 'end' && lexer.keyword() !== 'TABLE' && lexer.symbol() !== ',') lexer.next();
  if (lexer.keyword() !== 'TABLE') return;
  lexer.next();
  const other = readObjectName(lexer);
  if (other) options.others.push(other);
}
