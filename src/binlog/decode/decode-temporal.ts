import type { ByteReader } from '../protocol/byte-reader.ts';

/**
 * Temporal values as MySQL's own text, without a Date object: zero dates, negative hours, three-digit hours and microseconds are
 * preserved. Layouts: MySQL mysys/my_time.cc (my_datetime_packed_from_binary and its siblings).
 */

const two = Array.from({ length: 100 }, (_, i) => String(i).padStart(2, '0'));
const four = (year: number): string => String(year).padStart(4, '0');

/** Bytes that store `precision` fraction digits. Throws a RangeError for more than six digits. */
export function fractionBytes(precision: number): number {
  if (precision > 6) throw new RangeError(`${precision} digits after the second`);
  return (precision + 1) >> 1;
}

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

/** `YYYY-MM-DD HH:MM:SS[.ffffff]`, in the application's own time zone. */
export function readDatetime(reader: ByteReader, precision: number): string {
  const packed = reader.uintBE(5) - 0x8000000000;
  const days = Math.floor(packed / 0x20000);
  const clock = packed % 0x20000;
  const months = days >> 5;
  const date = `${four(Math.floor(months / 13))}-${two[months % 13]}-${two[days & 31]}`;
  return `${date} ${two[clock >> 12]}:${two[(clock >> 6) & 63]}:${two[clock & 63]}${readFraction(reader, precision)}`;
}

/** `YYYY-MM-DD HH:MM:SS[.ffffff]` in UTC; 0 is MySQL's zero timestamp. The seconds are unsigned: MariaDB 11.5 counts to 2106. */
export function readTimestamp(reader: ByteReader, precision: number): string {
  const seconds = timestampText(reader.uintBE(4));
  return seconds + readFraction(reader, precision);
}

function timestampText(seconds: number): string {
  if (seconds === 0) return '0000-00-00 00:00:00';
  const iso = new Date(seconds * 1000).toISOString();
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}`;
}

/*
 * The formats before MySQL 5.6 and MariaDB 10.1, without fractions of a second: decimal numbers, little-endian. MariaDB uses the same
 * formats for tables that are as old, or created with mysql56_temporal_format=OFF. Columns with fractions have another format, and the
 * log does not distinguish the two. So a value that is not a time of day is refused: the assumed length was wrong.
 */

/** TIMESTAMP: seconds since 1970. */
export function readOldTimestamp(reader: ByteReader): string {
  return timestampText(reader.uint32());
}

/** TIME: HHMMSS, signed. */
export function readOldTime(reader: ByteReader): string {
  const packed = reader.uintLE(3);
  const signed = packed >= 0x800000 ? packed - 0x1000000 : packed;
  const magnitude = Math.abs(signed);
  return `${signed < 0 ? '-' : ''}${decimalClock(magnitude, 838)}`;
}

/** DATETIME: YYYYMMDDHHMMSS. */
export function readOldDatetime(reader: ByteReader): string {
  const packed = Number(reader.uint64());
  const date = Math.floor(packed / 1_000_000);
  const [year, month, day] = [Math.floor(date / 10_000), Math.floor(date / 100) % 100, date % 100];
  if (year > 9999 || month > 12 || day > 31) throw new RangeError('an old DATETIME that is no date');
  return `${four(year)}-${two[month]}-${two[day]} ${decimalClock(packed % 1_000_000, 23)}`;
}

function decimalClock(packed: number, maxHours: number): string {
  const [hours, minutes, seconds] = [
    Math.floor(packed / 10_000),
    Math.floor(packed / 100) % 100,
    packed % 100,
  ];
  if (hours > maxHours || minutes > 59 || seconds > 59) throw new RangeError('an old TIME that is no time');
  return `${two[hours] ?? hours}:${two[minutes]}:${two[seconds]}`;
}
