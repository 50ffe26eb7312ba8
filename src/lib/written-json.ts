import { AppError } from './errors.ts';
import { parseInputJson } from './exact-json.ts';

/** Longer keys are cut in messages. */
const maxShownKey = 100;

/**
 * Reads JSON that a person or a client wrote, with exact numbers. Throws AppError ERR_USAGE when it is not JSON, and for a duplicate key in an object:
 * JSON.parse keeps the last value, other readers the first, so that one of the two values would be lost silently.
 */
export function parseWrittenJson(text: string): unknown {
  let value: unknown;
  try {
    value = parseInputJson(text);
  } catch {
    throw new AppError('ERR_USAGE', 'is not JSON');
  }
  const repeated = findRepeatedKey(text);
  if (repeated === undefined) return value;
  throw new AppError('ERR_USAGE', `has the key ${JSON.stringify(repeated.slice(0, maxShownKey))} twice`, {
    remedy: 'Write it once.',
  });
}

/** The first duplicate key of an object in a valid JSON text, after unescaping. */
function findRepeatedKey(json: string): string | undefined {
  const open: Set<string>[] = [];
  let text = '';
  // A text is a key when a colon follows it; only texts and these signs matter.
  for (const [token] of json.matchAll(/"(?:[^"\\]|\\.)*"|[{}:]/g)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token !== ':') text = token;
    else {
      const key = JSON.parse(text) as string;
      const keys = open.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}
