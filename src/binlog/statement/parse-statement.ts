import type { LexicalRules } from './lexical-rules.ts';
import { Lexer } from './lexer.ts';
import { effectOf, MAX_HEAD_WORDS, type StatementEffect } from './statement-kinds.ts';

/** The beginning of a statement of the log, understood. */
export interface ParsedStatement {
  effect: StatementEffect;
  /** The words that say what it is; of CREATE, ALTER and DROP the verb and the kind of object: `['ALTER', 'TABLE']`. */
  head: readonly string[];
  isOrReplace: boolean;
  isTemporary: boolean;
  /** ALTER IGNORE TABLE: rows that do not fit are dropped. */
  isIgnoring: boolean;
  /** Returns a lexer that stands on the verb; of CREATE, ALTER and DROP on the kind of object. */
  behindHead(): Lexer;
  /** Whether the text cannot be split into words for certain. */
  isUncertain(): boolean;
}

/** What may stand between CREATE, ALTER or DROP and the kind of object. */
const modifiers: ReadonlySet<string> = new Set([
  'OR',
  'REPLACE',
  'TEMPORARY',
  'IGNORE',
  'ONLINE',
  'OFFLINE',
  'UNIQUE',
  'FULLTEXT',
  'SPATIAL',
  'VECTOR',
  'AGGREGATE',
  'ALGORITHM',
  'DEFINER',
  'SQL',
  'SECURITY',
  'INVOKER',
  'IF',
  'NOT',
  'EXISTS',
  'UNDO',
  'JSON',
  'RELATIONAL',
  'DUALITY',
  'MATERIALIZED',
  'EXTERNAL',
]);

/** So many tokens at most are looked at before the kind of object. */
const MAX_HEAD_TOKENS = 64;

/**
 * Reads the head of a statement: past parentheses, a label, and SET STATEMENT … FOR. Never throws; what it cannot tell has the
 * effect `unknown`.
 */
export function parseStatement(bytes: Buffer, rules: LexicalRules): ParsedStatement {
  const lexer = new Lexer(bytes, rules);
  // Then the log names the mode that it sets, not the one by which the server split it.
  if (findHead(lexer) && /["\\]/.test(bytes.toString('latin1'))) lexer.isUncertain = true;
  const first = lexer.fork();
  const verb = lexer.keyword();
  const found = { isOrReplace: false, isTemporary: false, isIgnoring: false };
  const head = isVerbOfObjects(verb) ? readObject(lexer, verb, found) : readWords(first, verb);
  return {
    effect: correctEffect(effectOf(head), head, { ...found, rules, lexer }),
    head,
    ...found,
    behindHead: () => lexer.fork(),
    isUncertain: () => lexer.isUncertain || isUncertain(bytes, rules),
  };
}

function isUncertain(bytes: Buffer, rules: LexicalRules): boolean {
  const lexer = new Lexer(bytes, rules);
  while (lexer.next() !== 'end');
  return lexer.isUncertain;
}

const isVerbOfObjects = (verb: string): boolean => verb === 'CREATE' || verb === 'ALTER' || verb === 'DROP';

/** Moves to the first word of the statement proper. True when SET STATEMENT sets another sql_mode than the one it was split by. */
function findHead(lexer: Lexer): boolean {
  let changesMode = false;
  lexer.next();
  for (;;) {
    if (lexer.symbol() === '(' || lexer.symbol() === ';' || isLabel(lexer)) lexer.next();
    else if (lexer.keyword() === 'SET' && peekKeyword(lexer) === 'STATEMENT') {
      changesMode ||= passSettings(lexer);
      if (lexer.type === 'end') return changesMode;
    } else return changesMode;
  }
}

/** Past `name:`; Oracle's `<<name>>` ends here as well. */
function isLabel(lexer: Lexer): boolean {
  if (lexer.symbol() === '<' || lexer.symbol() === '>') return true;
  if (lexer.symbol() === ':') return true;
  if (lexer.type !== 'word' && lexer.type !== 'name') return false;
  const ahead = lexer.fork();
  ahead.next();
  if (ahead.symbol() === '>') return true;
  if (ahead.symbol() !== ':') return false;
  ahead.next();
  return ahead.symbol() !== '=';
}

function peekKeyword(lexer: Lexer): string {
  const ahead = lexer.fork();
  ahead.next();
  return ahead.keyword();
}

/** From SET to behind the FOR that ends the settings. */
function passSettings(lexer: Lexer): boolean {
  let depth = 0;
  let changesMode = false;
  while (lexer.next() !== 'end') {
    const symbol = lexer.symbol();
    if (symbol === '(') depth += 1;
    else if (symbol === ')') depth -= 1;
    else if (lexer.keyword() === 'SQL_MODE') changesMode = true;
    else if (depth === 0 && lexer.keyword() === 'FOR') {
      lexer.next();
      break;
    }
  }
  return changesMode;
}

function readWords(ahead: Lexer, verb: string): string[] {
  if (verb === '') return ahead.type === 'end' ? [] : ['?'];
  const words = [verb];
  while (words.length < MAX_HEAD_WORDS && ahead.next() === 'word') words.push(ahead.keyword());
  return words;
}

/** Moves the lexer to the kind of object, and returns the words that name it. */
function readObject(
  lexer: Lexer,
  verb: string,
  found: { isOrReplace: boolean; isTemporary: boolean; isIgnoring: boolean },
): string[] {
  for (let count = 0; count < MAX_HEAD_TOKENS && lexer.next() !== 'end'; count += 1) {
    const word = lexer.keyword();
    if (word === 'REPLACE') found.isOrReplace = true;
    else if (word === 'TEMPORARY') found.isTemporary = true;
    else if (word === 'IGNORE') found.isIgnoring = true;
    if (lexer.symbol() === '=' || lexer.symbol() === '@') lexer.next();
    else if (word !== '' && !modifiers.has(word)) return [verb, ...objectWords(lexer, word)];
  }
  return [verb];
}

/** Kinds of objects of several words, by their first. The lexer ends on the last of them. */
const longObjects: Readonly<Record<string, readonly string[]>> = {
  PACKAGE: ['BODY'],
  LOGFILE: ['GROUP'],
  RESOURCE: ['GROUP'],
  MASKING: ['POLICY'],
  SPATIAL: ['REFERENCE', 'SYSTEM'],
  REFERENCE: ['SYSTEM'],
};

function objectWords(lexer: Lexer, first: string): string[] {
  // CREATE SPATIAL REFERENCE SYSTEM: its first word is also one of CREATE SPATIAL INDEX.
  const words = first === 'REFERENCE' ? ['SPATIAL', first] : [first];
  for (const word of longObjects[first] ?? []) {
    if (peekKeyword(lexer) !== word) break;
    lexer.next();
    words.push(word);
  }
  return words;
}

function correctEffect(
  effect: StatementEffect,
  [verb = '', object = '']: readonly string[],
  { rules, lexer, isTemporary }: { rules: LexicalRules; lexer: Lexer; isTemporary: boolean },
): StatementEffect {
  // MySQL has no history: there it is a table that a DELETE of several tables names.
  if (verb === 'DELETE' && object === 'HISTORY' && rules.flavour === 'mysql') return 'change';
  if (verb === 'DROP' && isTemporary) return 'harmless';
  if (verb === 'ALTER' && (object === 'DATABASE' || object === 'SCHEMA') && hasWord(lexer, 'UPGRADE'))
    return 'unknown';
  if (verb === 'CREATE' && object === 'TABLE') {
    if (takesRowsOfQuery(lexer)) return 'change';
    if (isTemporary) return 'harmless';
  }
  return effect;
}

function hasWord(lexer: Lexer, word: string): boolean {
  const ahead = lexer.fork();
  while (ahead.next() !== 'end') if (ahead.keyword() === word) return true;
  return false;
}

/** CREATE TABLE … SELECT, logged whole: a session in STATEMENT format. In ROW format the log has the table alone, and rows. */
function takesRowsOfQuery(lexer: Lexer): boolean {
  const ahead = lexer.fork();
  let depth = 0;
  let isBehindParenthesis = false;
  while (ahead.next() !== 'end') {
    const word = ahead.keyword();
    if (word === 'SELECT') return true;
    const mayBegin = depth === 0 || isBehindParenthesis;
    if (mayBegin && (word === 'TABLE' || word === 'VALUES')) return true;
    const symbol = ahead.symbol();
    if (symbol === '(') depth += 1;
    else if (symbol === ')') depth -= 1;
    isBehindParenthesis = symbol === '(';
  }
  return false;
}
