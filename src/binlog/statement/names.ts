import type { Lexer } from './lexer.ts';

/** A name in each possible reading of its bytes; empty if it may be any name. */
export type Name = readonly string[];

/** The name of a table, view or routine in a statement. */
export interface ObjectName {
  /** Null for the session's own schema. */
  schema: Name | null;
  /** Null for everything in the schema. */
  object: Name | null;
}

/** Whether any reading of a name satisfies the test; an unreadable name satisfies every test. */
export function someReading(name: Name, test: (reading: string) => boolean): boolean {
  return name.length === 0 || name.some(test);
}

const isName = ({ type }: Lexer): boolean => type === 'word' || type === 'name';

/** Reads `name`, `schema.name` or `.name` from the current token on, and moves past it. Null if there is none: `*` or the end. */
export function readObjectName(lexer: Lexer): ObjectName | null {
  if (lexer.symbol() === '.') lexer.next();
  if (!isName(lexer)) return null;
  const first = lexer.name();
  lexer.next();
  if (lexer.symbol() !== '.') return { schema: null, object: first };
  lexer.next();
  if (!isName(lexer)) return null;
  const object = lexer.name();
  lexer.next();
  return { schema: first, object };
}

/** Skips the given words, in order, each if it is the current token; any of them may be missing. */
export function passWords(lexer: Lexer, ...words: readonly string[]): void {
  for (const word of words) if (lexer.keyword() === word) lexer.next();
}

/** Reads names separated by commas. */
export function readObjectNames(lexer: Lexer): ObjectName[] {
  const names: ObjectName[] = [];
  for (let name = readObjectName(lexer); name !== null; name = readObjectName(lexer)) {
    names.push(name);
    if (lexer.symbol() !== ',') break;
    lexer.next();
  }
  return names;
}

/**
 * Calls `visit` for everything after the current token that may name a table, a view or a routine: each word and each quoted name, with
 * the name before its dot. Stops and returns true as soon as `visit` does; also returns true if the text cannot be split for certain.
 * Variables (`@name`) are excluded.
 */
export function someNameIn(lexer: Lexer, visit: (object: Name, schema: Name | null) => boolean): boolean {
  let qualifier: Name | null = null;
  let last: Name | null = null;
  let isVariable = false;
  while (lexer.next() !== 'end') {
    if (isName(lexer)) {
      const name = lexer.name();
      if (!isVariable && visit(name, qualifier)) return true;
      last = name;
      qualifier = null;
      isVariable = false;
    } else {
      const symbol = lexer.symbol();
      qualifier = symbol === '.' ? last : null;
      isVariable = symbol === '@';
      last = null;
    }
  }
  return lexer.isUncertain;
}
