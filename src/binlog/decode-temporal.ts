import type { ByteReader } from './byte-reader.ts';

/**
 * Temporal values as MySQL's own text, with no Date object in between: zero dates, negative and three-digit hours and
 * microseconds survive. Layouts: MySQL mysys/my_time.cc (my_datetime_packed_from_binary and its siblings).
 */

const two = Array.from({ length: 100 }, (_, i) => String(i).padStart(2, '0'));
const four = (year: number): string => String(year).padStart(4, '0');

export const fractionBytes = (precision: number): number => (precision + 1) >> 1;

/** `.12345` for the given precision, or nothing at precision 0. */
function fractionText(units: number, precision: number): string {
  if (precision === 0) return '';
  return (
    '.' +
    String(units)
      .padStart(fractionBytes(precision) * 2, '0')
      .slice(0, precision)
  );
}

function readFraction(reader: ByteReader, precision: number): string {
  return precision === 0 ? '' : fractionText(reader.uintBE(fractionBytes(precision)), precision);
}

/** `YYYY-MM-DD` */
export function readDate(reader: ByteReader): string {
  const packed = reader.uintLE(3);
  return `${four(packed >> 9)}-${two[(packed >> 5) & 15]}-${two[packed & 31]}`;
}

/** `[-]HHH:MM:SS[.ffffff]` */
export function readTime(reader: ByteReader, precision: number): string {
  const fraction = fractionBytes(precision);
  const scale = 256 ** fraction;
  const packed = reader.uintBE(3 + fraction) - 0x800000 * scale;
  const magnitude = Math.abs(packed);
  const whole = Math.floor(magnitude / scale);
  const clock = `${two[whole >> 12] ?? whole >> 12}:${two[(whole >> 6) & 63]}:${two[whole & 63]}`;
  return (packed < 0 ? '-' : '') + clock + fractionText(magnitude % scale, precision);
}

/** `YYYY-MM-DD HH:MM:SS[.ffffff]`, in whatever zone the application meant. */
export function readDatetime(reader: ByteReader, precision: number): string {
  const packed = reader.uintBE(5) - 0x8000000000;
  const days = Math.floor(packed / 0x20000);
  const clock = packed % 0x20000;
  const months = days >> 5;
  const date = `${four(Math.floor(months / 13))}-${two[months % 13]}-${two[days & 31]}`;
  return `${date} ${two[clock >> 12]}:${two[(clock >> 6) & 63]}:${two[clock & 63]}${readFraction(reader, precision)}`;
}

/** `YYYY-MM-DD HH:MM:SS[.ffffff]` in UTC; 0 is MySQL's zero timestamp. Unsigned: MariaDB 11.5 counts to 2106. */
export function readTimestamp(reader: ByteReader, precision: number): string {
  const seconds = reader.uintBE(4);
  const fraction = readFraction(reader, precision);
  if (seconds === 0) return `0000-00-00 00:00:00${fraction}`;
  const iso = new Date(seconds * 1000).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}${fraction}`;
}
