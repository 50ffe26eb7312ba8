import { isAscii } from 'node:buffer';
import { readMapping } from './read-mapping.ts';
import { singleByteSets } from './single-byte-sets.ts';
import type { TextDecode } from './text-decode.ts';

/** Returns the decoder of a single-byte character set; undefined for any other character set. */
export function singleByteDecoder(charset: string): TextDecode | undefined {
  const mapping = singleByteSets[charset];
  if (mapping === undefined) return undefined;
  const codes = Uint16Array.from({ length: 256 }, (_, byte) => byte);
  readMapping(mapping, codes, (code) => code + 1);
  const characters = Array.from(codes, (code) => String.fromCharCode(code));
  const keepsAscii = characters.every((character, byte) => byte >= 0x80 || character.charCodeAt(0) === byte);
  return (bytes) => {
    if (keepsAscii && isAscii(bytes)) return bytes.toString('latin1');
    let text = '';
    for (const byte of bytes) text += characters[byte]!;
    return text;
  };
}
