import { multiByteDecoder } from './charset/multi-byte.ts';
import { singleByteDecoder } from './charset/single-byte.ts';
import type { TextDecode } from './charset/text-decode.ts';
import { unicodeDecoders } from './charset/unicode.ts';

/**
 * The decoder of a character set of MySQL or MariaDB, by its name; undefined for one that no server up to MySQL 9.7 and MariaDB
 * 11.8 has. It returns what SELECT shows: `?` for what the server itself cannot convert to Unicode.
 */
export function textDecoder(charset: string): TextDecode | undefined {
  return unicodeDecoders[charset] ?? singleByteDecoder(charset) ?? multiByteDecoder(charset);
}
