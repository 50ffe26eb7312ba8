import type { ToJsonText } from '../../change/values.ts';
import { numberText, parseExactJson } from '../../lib/exact-json.ts';

/** A value inside a JSON column (or a text column that contains JSON); null if the path does not exist. */
export function jsonPath(path: readonly string[]): ToJsonText {
  return (cell) => {
    if (typeof cell !== 'string') return 'null';
    let value: unknown;
    try {
      value = parseExactJson(cell);
    } catch {
      return 'null';
    }
    for (const step of path) {
      if (typeof value !== 'object' || value === null || numberText(value) !== undefined) return 'null';
      if (!Object.hasOwn(value, step)) return 'null';
      value = (value as Record<string, unknown>)[step];
    }
    return JSON.stringify(value);
  };
}
