import type { ByteReader } from '../protocol/byte-reader.ts';

const DIGITS_PER_WORD = 9;
/** Bytes that hold 0 to 9 left-over digits (MySQL strings/decimal.cc, dig2bytes). */
const bytesOfDigits = [0, 1, 1, 2, 2, 3, 3, 4, 4, 4] as const;

/** MariaDB's largest DECIMAL is DECIMAL(65,38); MySQL allows a scale of at most 30. */
const MAX_PRECISION = 65;
const MAX_SCALE = 38;

/** Bytes of a DECIMAL(precision, scale) in a row image. Throws a RangeError if no server supports that precision and scale. */
export function decimalBytes(precision: number, scale: number): number {
  if (precision < 1 || precision > MAX_PRECISION || scale > MAX_SCALE || scale > precision)
    throw new RangeError(`DECIMAL(${precision},${scale})`);
  const integer = precision - scale;
  return (
    Math.floor(integer / DIGITS_PER_WORD) * 4 +
    bytesOfDigits[integer % DIGITS_PER_WORD]! +
    Math.floor(scale / DIGITS_PER_WORD) * 4 +
    bytesOfDigits[scale % DIGITS_PER_WORD]!
  );
}

/**
 * Reads a DECIMAL as exact text (`-500.00`). Layout: big-endian words of nine digits, the odd digits outermost; the top bit
 * is flipped, and a negative number has all its bits inverted (MySQL strings/decimal.cc, bin2decimal).
 */
export function readDecimal(reader: ByteReader, precision: number, scale: number): string {
  const { buffer } = reader;
  const start = reader.offset;
  reader.skip(decimalBytes(precision, scale));
  const negative = (buffer[start]! & 0x80) === 0;
  const invert = negative ? 0xff : 0;
  let at = start;

  const word = (bytes: number): number => {
    let value = 0;
    for (let i = 0; i < bytes; i += 1, at += 1) {
      const byte = buffer[at]! ^ invert ^ (at === start ? 0x80 : 0);
      value = value * 256 + byte;
    }
    return value;
  };

  const integer = precision - scale;
  let digits = integer % DIGITS_PER_WORD === 0 ? '' : String(word(bytesOfDigits[integer % DIGITS_PER_WORD]!));
  for (let words = Math.floor(integer / DIGITS_PER_WORD); words > 0; words -= 1) digits += pad(word(4), 9);
  digits = digits.replace(/^0+(?=\d)/, '') || '0';

  let fraction = '';
  for (let words = Math.floor(scale / DIGITS_PER_WORD); words > 0; words -= 1) fraction += pad(word(4), 9);
  const rest = scale % DIGITS_PER_WORD;
  if (rest > 0) fraction += pad(word(bytesOfDigits[rest]!), rest);

  const text = scale > 0 ? `${digits}.${fraction}` : digits;
  return negative ? `-${text}` : text;
}

function pad(value: number, width: number): string {
  return String(value).padStart(width, '0');
}
