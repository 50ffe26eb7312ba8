import { isExactNumber, numberText } from '../../lib/exact-json.ts';

/**
 * Replaces every number that a double would round with the text of its digits. Conditions compare such a text by value, and
 * in a payload an integer beyond 2^53 is a text. A decimal under `value` stays a number, which is sent with all its digits.
 */
export function writtenNumbers(value: unknown, key?: string): unknown {
  if (isExactNumber(value)) {
    const digits = numberText(value)!;
    return key === 'value' && !/^-?\d+$/.test(digits) ? value : digits;
  }
  if (Array.isArray(value)) return value.map((item) => writtenNumbers(item, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [name, writtenNumbers(inner, name)]),
  );
}
