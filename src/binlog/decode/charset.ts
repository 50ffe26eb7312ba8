import { multiByteDecoder } from './charset/multi-byte.ts';
import { singleByteDecoder } from './charset/single-byte.ts';
import type { TextDecode } from './charset/text-decode.ts';
import { unicodeDecoders } from './charset/unicode.ts';

/**
 * Returns the decoder of a MySQL or MariaDB character set by name; undefined if no server up to MySQL 9.7 and MariaDB 11.8 has that
 * character set. It decodes to what SELECT shows: `?` where the server itself cannot convert a character to Unicode.
 */
export function textDecoder(charset: string): TextDecode | undefined {
  return unicodeDecoders[charset] ?? singleByteDecoder(charset) ?? multiByteDecoder(charset);
}
