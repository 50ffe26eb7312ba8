/**
 * JSON whose numbers keep every digit they were written with: `500.00` stays `500.00`, and 20 digits stay 20 digits.
 * Such a number is held as a raw JSON value, which only `JSON.stringify` can read.
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

const jsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/**
 * A decimal number, written as the database writes it, as a JSON value that keeps its digits; null when it is no number.
 * Leading zeros (ZEROFILL) are dropped: JSON has none.
 */
export function exactNumber(text: string): unknown {
  if (jsonNumber.test(text)) return exactJson.rawJSON(text);
  const trimmed = text.replace(/^\+/, '').replace(/^(-?)0+(?=\d)/, '$1');
  return jsonNumber.test(trimmed) ? exactJson.rawJSON(trimmed) : null;
}

/** Like `JSON.parse`, for numbers that a double would round: those become raw JSON values. Throws SyntaxError. */
export function parseExactJson(text: string): unknown {
  return exactJson.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? exactJson.rawJSON(source)
      : value,
  );
}

/** The digits of a number, exact or not, as text; undefined for any other value. */
export function numberText(value: unknown): string | undefined {
  if (typeof value === 'number') return String(value);
  return exactJson.isRawJSON(value) ? value.rawJSON : undefined;
}
