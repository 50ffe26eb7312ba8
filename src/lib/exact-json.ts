/**
 * JSON whose numbers keep all their digits: `500.00` stays `500.00`, and 20 digits stay 20 digits.
 * As values such numbers are raw JSON, which only `JSON.stringify` and numberText can read.
 */

interface RawJson {
  readonly rawJSON: string;
}

/** TypeScript 6.0 does not know these parts of ES2026, which Node has had since version 22. */
interface ExactJson {
  rawJSON(text: string): RawJson;
  isRawJSON(value: unknown): value is RawJson;
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source?: string }) => unknown,
  ): unknown;
}

const exactJson = JSON as unknown as ExactJson;

/** Like `JSON.parse`, but a number that a double would round, or print differently, is a raw JSON value. Throws SyntaxError. */
export function parseExactJson(text: string): unknown {
  return exactJson.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? exactJson.rawJSON(source)
      : value,
  );
}

/**
 * A number as a person wrote it in JSON or YAML: a double, or a raw JSON value where a double would round it (a decimal keeps up to
 * 15 significant digits in a double; an integer is exact up to 2^53).
 */
export function toExactNumber(source: string): number | RawJson {
  const number = Number(source);
  if (!Number.isFinite(number)) return number;
  if (/^0[xo]/i.test(source)) {
    return Number.isSafeInteger(number) ? number : exactJson.rawJSON(String(BigInt(source)));
  }
  const digits = significantDigits(source);
  return digits.length <= 15 || digits === significantDigits(String(number))
    ? number
    : exactJson.rawJSON(
        plainNumber(source)
          .replace(/^\+/, '')
          .replace(/\.0*$|(\.\d*?)0+$/, '$1'),
      );
}

/** A double has exponents up to 324; a number with a larger exponent is returned unchanged, so that the result stays short. */
const maxExponent = 400;

/** `12.5e3` is `12500`: a number written without its exponent. */
export function plainNumber(text: string): string {
  const match = /^([+-]?)(\d*)\.?(\d*)e([+-]?\d{1,4})$/i.exec(text);
  if (!match) return text;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = match;
  const point = whole.length + Number(exponent);
  if (Math.abs(Number(exponent)) > maxExponent) return text;
  const digits = (whole + fraction).padEnd(point, '0');
  return point <= 0
    ? `${sign}0.${digits.padStart(digits.length - point, '0')}`
    : `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

function significantDigits(source: string): string {
  return source
    .replace(/e.*$/i, '')
    .replace(/\D/g, '')
    .replace(/^0+|0+$/g, '');
}

/** Reads JSON written by a person: like `JSON.parse`, but a number that a double would round is a raw JSON value. Throws SyntaxError. */
export function parseInputJson(text: string): unknown {
  return exactJson.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined ? toExactNumber(source) : value,
  );
}

/** Whether a value is a number that a double would round. */
export function isExactNumber(value: unknown): value is RawJson {
  return exactJson.isRawJSON(value);
}

/** The digits of a number, exact or not, as text; undefined for any other value. */
export function numberText(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  return exactJson.isRawJSON(value) ? value.rawJSON : undefined;
}

/** Printable ASCII without quotes and backslashes. */
const plain = /^[ !#-[\]-~]*$/;

/** A string in JSON. Most strings need no escapes: then it takes a third of the time of `JSON.stringify`. */
export function quoteJson(text: string): string {
  return plain.test(text) ? `"${text}"` : JSON.stringify(text);
}

/** A JSON value; DECIMAL is a `JSON.rawJSON` object, so that 500.00 stays 500.00. */
export type JsonValue = unknown;
