import { isUtf8 } from 'node:buffer';
import { textDecoder } from '../decode/charset.ts';
import type { TextDecode } from '../decode/charset/text-decode.ts';
import type { Flavour } from '../types.ts';
import type { StatusVariables } from './status-variables.ts';

/** How the server that executed a statement splits its bytes into words. */
export interface LexicalRules {
  flavour: Flavour;
  /** A double quote begins a name, not a string. */
  ansiQuotes: boolean;
  /** A backslash in a string escapes the next character. */
  backslashEscapes: boolean;
  /** False if the event lacks the SQL mode: then the end of quoted text is uncertain. */
  isModeKnown: boolean;
  /**
   * In these character sets the second byte of a character may be the code of a quote or a backslash, so each lead byte includes the
   * next byte. Null if no byte of a longer character is in the ASCII range.
   */
  leadBytes: Uint8Array | null;
  /** A backtick quotes a name; in swe7 its code is a letter. */
  hasBackticks: boolean;
  /** Byte 0xA0 is white space: the no-break space of most single-byte character sets. */
  isA0Space: boolean;
  /** Null if the character set is unknown or cannot be decoded. */
  decode: TextDecode | null;
}

const ANSI_QUOTES = 1n << 2n;
const NO_BACKSLASH_ESCAPES = 1n << 20n;

/** Lead bytes by character set: strings/ctype-big5.c, -gbk.c, -sjis.c, -cp932.c, -gb18030.c of both servers. */
const leadRanges: Readonly<Record<string, readonly (readonly [from: number, to: number])[]>> = {
  big5: [[0xa1, 0xf9]],
  gbk: [[0x81, 0xfe]],
  // In its four-byte characters no byte is a quote or a backslash.
  gb18030: [[0x81, 0xfe]],
  sjis: [
    [0x81, 0x9f],
    [0xe0, 0xfc],
  ],
  cp932: [
    [0x81, 0x9f],
    [0xe0, 0xfc],
  ],
};

/** Measured on MySQL 9.7 and MariaDB 10.11: of all bytes from 0x80 on, in all client character sets, only these are white space. */
const setsWithNoBreakSpace: ReadonlySet<string> = new Set([
  'armscii8',
  'cp1250',
  'cp852',
  'cp866',
  'dec8',
  'geostd8',
  'greek',
  'hebrew',
  'latin1',
  'latin2',
  'latin5',
  'latin7',
]);

/** Servers store names in UTF-8; they do not convert the bytes from a client with character set `binary`. */
const utf8: TextDecode = (bytes) => bytes.toString('utf8');

/** Returns a function that returns the rules of an event. It caches the last rules, because most events have the same as the one before. */
export function createRulesReader(server: {
  flavour: Flavour;
  charsetOf(collation: number): string | undefined;
}): (variables: StatusVariables) => LexicalRules {
  const decoders = new Map<string, TextDecode | null>();
  const decoderOf = (charset: string | undefined): TextDecode | null => {
    if (charset === undefined) return null;
    // Each decoder of a multi-byte character set has its own tables, so decoders are cached.
    if (!decoders.has(charset)) decoders.set(charset, findDecoder(charset));
    return decoders.get(charset) ?? null;
  };
  let last: { mode: bigint | undefined; collation: number | undefined; rules: LexicalRules } | undefined;
  return ({ sqlMode, clientCollation }) => {
    if (last && last.mode === sqlMode && last.collation === clientCollation) return last.rules;
    const charset = clientCollation === undefined ? undefined : server.charsetOf(clientCollation);
    const rules: LexicalRules = {
      flavour: server.flavour,
      ansiQuotes: sqlMode !== undefined && (sqlMode & ANSI_QUOTES) !== 0n,
      backslashEscapes: sqlMode === undefined || (sqlMode & NO_BACKSLASH_ESCAPES) === 0n,
      isModeKnown: sqlMode !== undefined,
      leadBytes: leadTable(charset),
      hasBackticks: charset !== 'swe7',
      isA0Space: charset !== undefined && setsWithNoBreakSpace.has(charset),
      decode: decoderOf(charset),
    };
    last = { mode: sqlMode, collation: clientCollation, rules };
    return rules;
  };
}

function findDecoder(charset: string): TextDecode | null {
  return charset === 'binary' ? utf8 : (textDecoder(charset) ?? null);
}

/** Returns the rules for text from the data dictionary, which is in UTF-8; `sqlMode` as the dictionary spells it. */
export function dictionaryRules(flavour: Flavour, sqlMode: string): LexicalRules {
  return {
    flavour,
    ansiQuotes: sqlMode.includes('ANSI_QUOTES'),
    backslashEscapes: !sqlMode.includes('NO_BACKSLASH_ESCAPES'),
    isModeKnown: true,
    leadBytes: null,
    hasBackticks: true,
    isA0Space: false,
    decode: utf8,
  };
}

function leadTable(charset: string | undefined): Uint8Array | null {
  const ranges = charset === undefined ? undefined : leadRanges[charset];
  if (!ranges) return null;
  const table = new Uint8Array(256);
  for (const [from, to] of ranges) table.fill(1, from, to + 1);
  return table;
}

/**
 * Returns a name in each possible reading of its bytes; empty if they cannot be read, so that it may be any name. Both servers insert
 * names in UTF-8 into statements of clients with another character set (CREATE TABLE … SELECT, MySQL's CREATE VIEW, MariaDB's DROP
 * TEMPORARY TABLE): such bytes have two readings.
 */
export function readName(bytes: Buffer, { decode }: Pick<LexicalRules, 'decode'>): readonly string[] {
  if (isPlain(bytes)) return [bytes.toString('latin1')];
  const decoded = decode?.(bytes);
  const asUtf8 = isUtf8(bytes) ? bytes.toString('utf8') : undefined;
  // A character unknown to our decoder may be any character.
  if (decoded === undefined || decoded.includes('\ufffd')) return [];
  return asUtf8 === undefined || asUtf8 === decoded ? [decoded] : [decoded, asUtf8];
}

/** Only ASCII, without the codes that are letters in swe7. */
function isPlain(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += 1) {
    const byte = bytes[at]!;
    if (byte >= 0x80 || (byte >= 0x5b && byte <= 0x60 && byte !== 0x5f) || (byte >= 0x7b && byte <= 0x7e)) {
      return false;
    }
  }
  return true;
}
