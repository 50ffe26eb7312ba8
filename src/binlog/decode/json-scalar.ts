/** Scalars of a JSON document as MySQL spells them. */

/** Whole numbers with more digits, and numbers with more zeros after the point, are printed with an exponent. */
const MAX_PLAIN_DIGITS = 15;
const MAX_PLAIN_ZEROS = 14;

/**
 * Prints a double as MySQL does (measured on MySQL 9.7.4): the shortest digits that identify this number; either plain, with a fraction
 * digit that distinguishes 1.0 from the integer 1, or with an exponent without a plus sign. The digits are JavaScript's.
 */
export function doubleText(value: number): string {
  if (!Number.isFinite(value)) throw new RangeError('a JSON number that is not finite');
  const sign = value < 0 || Object.is(value, -0) ? '-' : '';
  const [mantissa = '', exponent = ''] = Math.abs(value).toExponential().split('e');
  const digits = mantissa.replace('.', '');
  /** Digits before the point. */
  const point = Number(exponent) + 1;
  const isWhole = digits.length <= point;
  if (value !== 0 && ((isWhole && point > MAX_PLAIN_DIGITS) || point < -MAX_PLAIN_ZEROS))
    return `${sign}${mantissa}e${exponent.replace('+', '')}`;
  if (isWhole) return `${sign}${digits.padEnd(point, '0')}.0`;
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

const padded = (value: bigint, width: number): string => String(value).padStart(width, '0');

/** MySQL's packed DATETIME of eight bytes (mysys/my_time.cc, TIME_from_longlong_datetime_packed). */
export function packedDatetime(packed: bigint, dateOnly: boolean): string {
  const seconds = packed >> 24n;
  const days = seconds >> 17n;
  const months = days >> 5n;
  const date = `${padded(months / 13n, 4)}-${padded(months % 13n, 2)}-${padded(days & 31n, 2)}`;
  return dateOnly ? date : `${date} ${clockText(seconds & 0x1ffffn)}.${padded(packed & 0xffffffn, 6)}`;
}

/** MySQL's packed TIME of eight bytes, which may be negative. */
export function packedTime(packed: bigint): string {
  const magnitude = packed < 0n ? -packed : packed;
  return `${packed < 0n ? '-' : ''}${clockText(magnitude >> 24n)}.${padded(magnitude & 0xffffffn, 6)}`;
}

function clockText(clock: bigint): string {
  return `${padded(clock >> 12n, 2)}:${padded((clock >> 6n) & 63n, 2)}:${padded(clock & 63n, 2)}`;
}
