import { isAscii } from 'node:buffer';
import iconv from 'iconv-lite';
import { multiByteSets, type ByteRanges, type MultiByteSet } from './multi-byte-sets.ts';
import { NO_CHARACTER, readMapping } from './read-mapping.ts';
import type { TextDecode } from './text-decode.ts';

/** Decoders by name. Each builds its tables once, because the table maps of other tables ask for the same decoder again. */
const decoders: ReadonlyMap<string, TextDecode> = new Map(
  Object.entries(multiByteSets).map(([name, set]) => [name, createDecoder(set)]),
);

/** Returns the decoder of a multi-byte character set that is not Unicode; undefined for any other character set. */
export function multiByteDecoder(charset: string): TextDecode | undefined {
  return decoders.get(charset);
}

function createDecoder(set: MultiByteSet): TextDecode {
  // The tables take 128 KB and 20 ms to build, so they are built at the first text that needs them.
  let tables: Tables | undefined;
  return (bytes) => {
    if (isAscii(bytes)) return bytes.toString('latin1');
    tables ??= buildTables(set);
    return decode(bytes, tables, set.longer);
  };
}

interface Tables {
  /** Character of a byte; 0: none, or the first byte of a longer code. */
  single: Uint16Array;
  /** Character of a code of two bytes; 0: not a code. */
  double: Uint16Array;
  /** Character of the two bytes after 8F in EUC; 0: not a code. */
  after8f: Uint16Array;
}

function decode(bytes: Buffer, { single, double, after8f }: Tables, longer: MultiByteSet['longer']): string {
  let text = '';
  let at = 0;
  while (at < bytes.length) {
    const first = bytes[at]!;
    const two = (first << 8) | (bytes[at + 1] ?? 0);
    if (first < 0x80) {
      text += String.fromCharCode(first);
      at += 1;
    } else if (double[two]! > 0) {
      text += String.fromCharCode(double[two]!);
      at += 2;
    } else if (longer === 'euc' && first === 0x8f && isEucPair(bytes, at + 1)) {
      text += String.fromCharCode(after8f[bytes.readUInt16BE(at + 1)]!);
      at += 3;
    } else if (longer === 'gb18030' && isFourBytes(bytes, at)) {
      text += readFourBytes(bytes, at);
      at += 4;
    } else {
      text += String.fromCharCode(single[first]! || NO_CHARACTER);
      at += 1;
    }
  }
  return text;
}

const isIn = (ranges: ByteRanges, byte: number): boolean =>
  ranges.some(([from, to]) => byte >= from && byte <= to);

const isEucByte = (byte: number | undefined): boolean => byte !== undefined && byte >= 0xa1 && byte <= 0xfe;
const isEucPair = (bytes: Buffer, at: number): boolean => isEucByte(bytes[at]) && isEucByte(bytes[at + 1]);

function isFourBytes(bytes: Buffer, at: number): boolean {
  const isDigit = (byte: number | undefined): boolean => byte !== undefined && byte >= 0x30 && byte <= 0x39;
  const third = bytes[at + 2] ?? 0;
  return isDigit(bytes[at + 1]) && third >= 0x81 && third <= 0xfe && isDigit(bytes[at + 3]);
}

/** Numbers of four-byte codes (GB 18030): the first one past U+FFFF, and the number of U+10000. */
const PAST_BMP = 39_420;
const SUPPLEMENTARY = 189_000;

function readFourBytes(bytes: Buffer, at: number): string {
  const [first, second, third, fourth] = [bytes[at]!, bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!];
  const number = (((first - 0x81) * 10 + second - 0x30) * 126 + third - 0x81) * 10 + fourth - 0x30;
  if (number < PAST_BMP) return iconv.decode(bytes.subarray(at, at + 4), 'gb18030');
  const code = 0x1_0000 + number - SUPPLEMENTARY;
  return code >= 0x1_0000 && code <= 0x10_ffff ? String.fromCodePoint(code) : '?';
}

function buildTables(set: MultiByteSet): Tables {
  const { iconv: name, leads, trails, longer } = set;
  const isCode = (code: number): boolean => isIn(leads, code >> 8) && isIn(trails, code & 0xff);
  const next = (code: number): number => {
    do code += 1;
    while (!isCode(code) && code < 0x1_0000);
    return code;
  };
  const codes = Array.from({ length: 0x1_0000 }, (_, code) => code).filter(isCode);
  const double = tableOf(name, codes, (code) => [code >> 8, code & 0xff]);
  readMapping(set.differences, double, next);
  const katakana = longer === 'euc' ? Array.from({ length: 0x3f }, (_, i) => 0x8ea1 + i) : [];
  tableOf(name, katakana, (code) => [code >> 8, code & 0xff]).forEach((character, code) => {
    if (character > 0) double[code] = character;
  });
  const after8f = tableOf(name, longer === 'euc' ? codes : [], (code) => [0x8f, code >> 8, code & 0xff]);
  readMapping(set.differencesAfter8f ?? '', after8f, next);
  return {
    single: tableOf(
      name,
      upperBytes.filter((byte) => !isIn(leads, byte)),
      (byte) => [byte],
    ),
    double,
    after8f,
  };
}

const upperBytes = Array.from({ length: 0x80 }, (_, i) => 0x80 + i);

/** Decodes all codes in one call, separated by line feeds: no code contains the byte 0A. */
function tableOf(name: string, codes: readonly number[], bytesOf: (code: number) => number[]): Uint16Array {
  const table = new Uint16Array(0x1_0000);
  const texts = iconv
    .decode(Buffer.from(codes.flatMap((code) => [...bytesOf(code), 0x0a])), name)
    .split('\n');
  codes.forEach((code, i) => {
    const text = texts[i]!;
    // The servers have no character where iconv returns U+FFFD (alone or before another character) or two UTF-16 units.
    table[code] = text.length === 1 && text !== '\ufffd' ? text.charCodeAt(0) : NO_CHARACTER;
  });
  return table;
}
