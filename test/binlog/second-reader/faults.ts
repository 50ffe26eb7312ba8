import type { Cell, ColumnKind } from '../../../src/binlog/types.ts';

type Fault<C> = (cell: C) => Cell;

const bytes =
  (change: (copy: Buffer) => Cell): Fault<Uint8Array> =>
  (cell) =>
    change(Buffer.from(cell));

const shiftYear: Fault<string> = (text) =>
  text.replace(/^-?\d+/, (digits) => digits.slice(0, -1) + String((Number(digits.at(-1)) + 1) % 10));
const shiftLastDigit: Fault<string> = (text) =>
  text.replace(/\d(?=\D*$)/, (digit) => String((Number(digit) + 1) % 10));
const flipSign: Fault<string> = (text) => (text.startsWith('-') ? text.slice(1) : `-${text}`);

const numbers: Record<string, Fault<string | number>> = {
  'flipped sign': (n) => (typeof n === 'string' ? flipSign(n) : -n || 1),
  'one more': (n) => (typeof n === 'string' ? String(BigInt(n) + 1n) : n + 1),
};

/** Faults that a decoder may have, by the kind of the column: each changes every value that is not empty. */
const texts: Record<string, Fault<string>> = {
  truncated: (text) => text.slice(0, -1),
  'a character more': (text) => `${text} `,
  'an ASCII character': (text) => text.replace(/^[a-zñ ]?/i, '_'),
  'wrong character set': (text) => Buffer.from(text, 'utf8').toString('latin1'),
};

const moments: Record<string, Fault<string>> = {
  'shifted year': shiftYear,
  'another digit': shiftLastDigit,
  'only the date': (text) => text.slice(0, 10),
};

const byKind = {
  integer: numbers,
  bit: { 'one more': numbers['one more']! },
  year: { 'one more': numbers['one more']! },
  decimal: {
    'flipped sign': flipSign,
    'another digit': shiftLastDigit,
    truncated: (text: string) => text.slice(0, -1),
  },
  float: {
    'flipped sign': (n: number) => (n === 0 ? 1 : -n),
    'one bit': (n: number) => n * (1 + 2 ** -20) || 1,
  },
  date: { 'shifted day': shiftLastDigit, 'shifted year': shiftYear },
  time: {
    'flipped sign': flipSign,
    'another digit': shiftLastDigit,
    truncated: (text: string) => text.slice(0, -1),
  },
  datetime: moments,
  timestamp: moments,
  text: texts,
  binary: {
    truncated: bytes((copy) => copy.subarray(0, -1)),
    'one bit': bytes((copy) => copy.map((byte, i) => (i === 0 ? byte ^ 1 : byte))),
    'as text': bytes((copy) => copy.toString('latin1')),
  },
  enum: {
    'another label': (text: string) => `${text}x`,
    'no label': () => '#',
    truncated: texts['truncated']!,
  },
  set: {
    'another label': (text: string) => (text === '' ? 'a' : `${text},a`),
    'no label': (text: string) => (text === '' ? 'x' : ''),
  },
  json: {
    'another document': () => '{"otro":1}',
    'another type': (text: string) => (text.startsWith('"') ? '1' : '"x"'),
    truncated: texts['truncated']!,
  },
  geometry: { 'one bit': bytes((copy) => copy.map((byte, i) => (i === copy.length - 1 ? byte ^ 1 : byte))) },
  uuid: { 'another digit': (text: string) => text.replace(/.$/, (digit) => (digit === '0' ? '1' : '0')) },
  inet: { 'another address': (text: string) => (text.includes(':') ? '2001:db8::7' : '203.0.113.7') },
};

export const faults = byKind as Readonly<Record<ColumnKind, Readonly<Record<string, Fault<never>>>>>;

/** Faults that no kind is safe from. */
export const commonFaults: Readonly<Record<string, (cell: Cell) => Cell>> = {
  'NULL instead of a value': () => null,
  'not in the image': () => undefined,
};
