import { z } from 'zod';
import { didYouMean, nearest } from '../../lib/suggest.ts';
import type { Problems, YamlPath } from '../problems.ts';
import { valueAt } from '../yaml/layer.ts';

/**
 * Checks a value from YAML against a zod schema and adds every problem in our own words, one for each unknown key.
 * Returns the parsed value, undefined when there was a problem.
 */
export function validate<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
  add: Problems['add'],
): z.output<Schema> | undefined {
  const result = schema.safeParse(value, { error: describeIssue });
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    const path = issue.path.map((step) => (typeof step === 'number' ? step : String(step)));
    if (issue.code !== 'unrecognized_keys') {
      add(path, issue.message);
      continue;
    }
    const known = keysAt(schema, path);
    for (const key of issue.keys.slice(0, maxUnknownKeys))
      add([...path, key], describeUnknownKey(key, known), {
        hidesKey: mayBeSecret(key, { value: valueAt(value, [...path, key]), known }),
      });
  }
  return undefined;
}

/** At most this many unknown keys of one map are reported, because each is compared with all known keys. */
const maxUnknownKeys = 100;

/** The form of our keys: words in lower case. */
const keyForm = /^[a-z][a-z0-9]{0,15}(?:_[a-z0-9]{1,16}){0,4}$/;

/**
 * Whether an unknown key may be a secret in the wrong place: it has no value (`{ TOKEN }`), or its form differs from our keys (`secret TOKEN: x`). A key
 * that is close to a known key is a typing mistake and is shown.
 */
function mayBeSecret(key: string, { value, known }: { value: unknown; known: readonly string[] }): boolean {
  const isBare = value === null || value === undefined || value === '';
  return (isBare || !keyForm.test(key)) && nearest(key, known) === undefined;
}

function describeUnknownKey(key: string, known: readonly string[]): string {
  return key.includes(':')
    ? 'is not a known key: a colon needs a space after it'
    : `is not a known key${didYouMean(key, known)}`;
}

function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code !== 'invalid_type') return undefined;
  if (issue.input === undefined) return 'is missing';
  return issue.expected === 'array' ? 'must be a list: [a, b]' : 'must be a map: keys, each with a value';
}

/** The keys of the object schema at a path. */
function keysAt(schema: z.core.$ZodType, path: YamlPath): string[] {
  let inner: z.core.$ZodType | undefined = schema;
  for (const step of path) {
    while (inner instanceof z.ZodNullable) inner = inner.unwrap();
    if (inner instanceof z.ZodArray) inner = inner.element;
    else if (inner instanceof z.ZodObject) inner = (inner.shape as z.core.$ZodShape)[step];
  }
  return inner instanceof z.ZodObject ? Object.keys(inner.shape) : [];
}
