import type { TextDecode } from './text-decode.ts';

const utf8: TextDecode = (bytes) => bytes.toString('utf8');
const utf16le: TextDecode = (bytes) => bytes.toString('utf16le');
const utf16be: TextDecode = (bytes) => Buffer.from(bytes).swap16().toString('utf16le');

/** UCS-2 may contain unpaired surrogates, which are not characters: each becomes U+FFFD. */
const ucs2: TextDecode = (bytes) => utf16be(bytes).toWellFormed();

function utf32(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 4) text += String.fromCodePoint(bytes.readUInt32BE(at));
  return text;
}

/** The character sets that encode Unicode. Invalid UTF-8, which no server stores, becomes U+FFFD. */
export const unicodeDecoders: Readonly<Record<string, TextDecode>> = {
  utf8mb4: utf8,
  utf8mb3: utf8,
  utf8,
  ucs2,
  utf16: utf16be,
  utf16le,
  utf32,
};
