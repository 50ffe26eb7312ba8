import { readName, type LexicalRules } from './lexical-rules.ts';

/**
 * `word`: an unquoted name, a keyword or a number; `name`: a quoted name; `string`: a literal in quotes; `symbol`: any other single
 * character. White space and comments separate tokens.
 */
export type TokenType = 'word' | 'name' | 'string' | 'symbol' | 'end';

const byteOf = (text: string): number => text.charCodeAt(0);
const NEWLINE = 0x0a;
const NO_BREAK_SPACE = 0xa0;
const BANG = byteOf('!');
const DOUBLE_QUOTE = byteOf('"');
const HASH = byteOf('#');
const DOLLAR = byteOf('$');
const QUOTE = byteOf("'");
const STAR = byteOf('*');
const MINUS = byteOf('-');
const SLASH = byteOf('/');
const LETTER_M = byteOf('M');
const BACKSLASH = byteOf('\\');
const BACKTICK = byteOf('`');

/** Classes of bytes outside quotes and comments. */
const SPACE = 1;
const WORD = 2;
const classOf = new Uint8Array(256);
for (const space of ' \t\n\v\f\r') classOf[byteOf(space)] = SPACE;
for (let byte = 0; byte < 256; byte += 1) {
  if (byte >= 0x80 || /[0-9A-Za-z_$]/.test(String.fromCharCode(byte))) classOf[byte] = WORD;
}

const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;

/** Longer words are not keywords. */
const MAX_KEYWORD_BYTES = 32;
const MAX_DOLLAR_SEARCHES = 100;

/**
 * Splits a logged statement into tokens like the server that executed it (sql/sql_lex.cc of both servers): in linear time, without
 * memory of its own, and without an error for any bytes.
 *
 * The server executed every executable comment in the log: it logs a comment that it skipped because of its version as a plain comment
 * (`/*!99999 x` becomes `/* 99999 x`, a comment inside becomes `(* *)`). So the lexer compares no versions.
 */
export class Lexer {
  type: TokenType = 'symbol';
  /** Bounds of the current token, including the quotes of a quoted one. */
  start = 0;
  end = 0;
  /** Whether quoted text was found whose mode is unknown or whose end is missing. */
  isUncertain = false;
  readonly #bytes: Buffer;
  readonly #rules: LexicalRules;
  #inExecutableComment = false;
  /** Each search runs to the end of the text, so their number is limited. */
  #dollarSearches = 0;

  constructor(bytes: Buffer, rules: LexicalRules, start = 0) {
    this.#bytes = bytes;
    this.#rules = rules;
    this.end = start;
  }

  /** Returns a second lexer that continues after the current token. */
  fork(): Lexer {
    const copy = new Lexer(this.#bytes, this.#rules, this.end);
    copy.type = this.type;
    copy.start = this.start;
    copy.isUncertain = this.isUncertain;
    copy.#inExecutableComment = this.#inExecutableComment;
    return copy;
  }

  /** Moves to the next token and returns its type. */
  next(): TokenType {
    const at = this.#skipSpace(this.end);
    this.start = at;
    const byte = this.#bytes[at];
    if (byte === undefined) {
      this.end = at;
      return (this.type = 'end');
    }
    if (classOf[byte] === WORD) {
      const dollarEnd = byte === DOLLAR ? this.#endOfDollarQuote(at) : 0;
      this.end = dollarEnd === 0 ? this.#endOfWord(at) : dollarEnd;
      return (this.type = dollarEnd === 0 ? 'word' : 'string');
    }
    if (byte === BACKTICK || byte === QUOTE || byte === DOUBLE_QUOTE)
      return (this.type = this.#quoted(at, byte));
    this.end = at + 1;
    return (this.type = 'symbol');
  }

  /** Returns the current word in upper case; empty for any other token, and for a word too long to be a keyword. */
  keyword(): string {
    if (this.type !== 'word' || this.end - this.start > MAX_KEYWORD_BYTES) return '';
    return this.#bytes.toString('latin1', this.start, this.end).toUpperCase();
  }

  /** Returns the current symbol; empty for any other token. */
  symbol(): string {
    return this.type === 'symbol' ? String.fromCharCode(this.#bytes[this.start]!) : '';
  }

  /** Returns the readings of the current token as a name: see `readName`. */
  name(): readonly string[] {
    if (this.type === 'word') return readName(this.#bytes.subarray(this.start, this.end), this.#rules);
    const inner = this.#bytes.subarray(this.start + 1, this.end - 1);
    const quote = this.#bytes[this.start]!;
    const readings = readName(inner, this.#rules);
    if (!inner.includes(quote)) return readings;
    const [one, two] = [String.fromCharCode(quote), String.fromCharCode(quote, quote)];
    return readings.map((reading) => reading.replaceAll(two, one));
  }

  #skipSpace(from: number): number {
    let at = from;
    for (;;) {
      const byte = this.#bytes[at];
      if (byte === undefined) return at;
      if (classOf[byte] === SPACE || (byte === NO_BREAK_SPACE && this.#rules.isA0Space)) at += 1;
      else {
        const behind = this.#endOfComment(at, byte);
        if (behind === at) return at;
        at = behind;
      }
    }
  }

  /** Returns the end of the comment, or of the mark of an executable comment, that begins here; `at` if there is none. */
  #endOfComment(at: number, byte: number): number {
    const bytes = this.#bytes;
    if (byte === HASH) return this.#behind(NEWLINE, at);
    if (byte === MINUS && bytes[at + 1] === MINUS) {
      const next = bytes[at + 2];
      const isComment = next === undefined || next <= 0x20 || next === 0x7f;
      return isComment || (next === NO_BREAK_SPACE && this.#rules.isA0Space) ? this.#behind(NEWLINE, at) : at;
    }
    if (byte === STAR && this.#inExecutableComment && bytes[at + 1] === SLASH) {
      this.#inExecutableComment = false;
      return at + 2;
    }
    if (byte !== SLASH || bytes[at + 1] !== STAR) return at;
    const isForMariadb = bytes[at + 2] === LETTER_M && this.#rules.flavour === 'mariadb';
    const mark = at + (isForMariadb ? 3 : 2);
    if (bytes[mark] === BANG) {
      this.#inExecutableComment = true;
      return this.#behindVersion(mark + 1);
    }
    const close = bytes.indexOf('*/', at + 2, 'latin1');
    return close < 0 ? bytes.length : close + 2;
  }

  /** A version has five or six digits: MySQL reads a sixth only before white space. */
  #behindVersion(at: number): number {
    const bytes = this.#bytes;
    let digits = 0;
    while (digits < 6 && isDigit(bytes[at + digits])) digits += 1;
    if (digits < 5) return at;
    const takesSixth = this.#rules.flavour === 'mariadb' || classOf[bytes[at + 6] ?? 0] === SPACE;
    return at + (digits === 6 && takesSixth ? 6 : 5);
  }

  #behind(byte: number, from: number): number {
    const at = this.#bytes.indexOf(byte, from);
    return at < 0 ? this.#bytes.length : at + 1;
  }

  #endOfWord(from: number): number {
    const bytes = this.#bytes;
    const { leadBytes, isA0Space } = this.#rules;
    let at = from;
    for (let byte = bytes[at]; byte !== undefined && classOf[byte] === WORD; byte = bytes[at]) {
      if (byte >= 0x80) {
        if (byte === NO_BREAK_SPACE && isA0Space) break;
        if (leadBytes?.[byte]) at += 1;
      }
      at += 1;
    }
    return Math.min(at, bytes.length);
  }

  #quoted(from: number, quote: number): TokenType {
    const isName = quote === BACKTICK || (quote === DOUBLE_QUOTE && this.#rules.ansiQuotes);
    if (quote === DOUBLE_QUOTE ? !this.#rules.isModeKnown : !this.#rules.hasBackticks)
      this.isUncertain = true;
    const bytes = this.#bytes;
    const { leadBytes, backslashEscapes, isModeKnown } = this.#rules;
    let at = from + 1;
    for (let byte = bytes[at]; byte !== undefined; byte = bytes[at]) {
      if (byte === quote) {
        if (bytes[at + 1] !== quote) {
          this.end = at + 1;
          return isName ? 'name' : 'string';
        }
        at += 1;
      } else if (byte === BACKSLASH && !isName) {
        if (!isModeKnown) this.isUncertain = true;
        if (backslashEscapes) at += 1;
      } else if (leadBytes?.[byte]) at += 1;
      at += 1;
    }
    this.end = bytes.length;
    this.isUncertain = true;
    return 'string';
  }

  /** MySQL 9: `$$ … $$` and `$tag$ … $tag$` quote the body of a routine. Returns 0 if none begins here. */
  #endOfDollarQuote(from: number): number {
    if (this.#rules.flavour !== 'mysql') return 0;
    const bytes = this.#bytes;
    let at = from + 1;
    while (bytes[at] !== undefined && bytes[at] !== DOLLAR && classOf[bytes[at]!] === WORD) at += 1;
    if (bytes[at] !== DOLLAR) return 0;
    this.#dollarSearches += 1;
    if (this.#dollarSearches > MAX_DOLLAR_SEARCHES) {
      this.isUncertain = true;
      return 0;
    }
    const tag = bytes.subarray(from, at + 1);
    const close = bytes.indexOf(tag, at + 1);
    return close < 0 ? 0 : close + tag.length;
  }
}
