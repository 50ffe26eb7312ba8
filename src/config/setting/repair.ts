import { isMap, valueAt } from '../yaml/layer.ts';
import type { YamlPath } from '../problems.ts';
import type { createConfigSchema, ParsedConfig } from './schema.ts';
import { validate } from './validate.ts';

interface Repaired {
  /** Null when no placeholder is possible. */
  parsed: ParsedConfig | null;
  /** Paths of the placeholders and of the keys that were removed. */
  replaced: readonly YamlPath[];
}

interface Given {
  /** The user's values over the defaults. */
  raw: unknown;
  defaults: unknown;
}

/** A placeholder may uncover a further mistake, because a replaced section has values of its own. */
const rounds = 5;
/** A file with more mistakes than this is not checked further: each placeholder copies the value around it, and 20,000 took over a minute. */
const maxWrong = 50;

/**
 * Replaces every value that the schema refuses with a placeholder, so that the other values can be checked: the default, else a value of the right form
 * that is never used. Unknown keys are removed.
 */
export function repair(schema: ReturnType<typeof createConfigSchema>, { raw, defaults }: Given): Repaired {
  const replaced: YamlPath[] = [];
  let value = raw;
  for (let round = 0; round < rounds; round += 1) {
    const wrong: YamlPath[] = [];
    const parsed = validate(schema, value, (path) => void wrong.push(path));
    if (parsed !== undefined) return { parsed, replaced };
    if (wrong.length > maxWrong) break;
    for (const given of wrong) {
      // This placeholder was refused as well: the value that contains it is replaced.
      const path = replaced.some((other) => other.join('.') === given.join('.')) ? given.slice(0, -1) : given;
      const standIn = findStandIn(path, value, defaults);
      value = replaceAt(value, standIn.path, standIn.value);
      replaced.push(given, standIn.path);
    }
  }
  return { parsed: null, replaced };
}

const requiredOfWebhook: Readonly<Record<string, unknown>> = {
  url: 'https://webhook.invalid/',
  events: ['*'],
  secret: `whsec_${'0'.repeat(64)}`,
};

interface StandIn {
  path: YamlPath;
  /** undefined removes the key. */
  value: unknown;
}

function findStandIn(path: YamlPath, value: unknown, defaults: unknown): StandIn {
  if (path[0] === 'webhooks' && path.length > 1) return ofWebhook(path, value, defaults);
  if (path.join('.') === 'source.url') return { path, value: 'mysql://user@source.invalid/schema' };
  const usual = valueAt(defaults, path);
  if (usual !== undefined) return { path, value: usual };
  // In a list, the other items are removed as well.
  const above = path.slice(0, -1);
  if (isMap(valueAt(value, above))) return { path, value: undefined };
  return { path: above, value: valueAt(defaults, above) };
}

function ofWebhook(path: YamlPath, value: unknown, defaults: unknown): StandIn {
  const [, index, key, item] = path;
  const name = `webhooks[${index}]`;
  if (key === undefined) return { path, value: { name, ...requiredOfWebhook } };
  // A different pattern for each entry, because an entry must not occur twice.
  if (key === 'events' && item !== undefined) return { path, value: `entry.number_${item}` };
  if (item !== undefined && isMap(valueAt(value, path.slice(0, -1)))) return { path, value: undefined };
  const required = key === 'name' ? name : requiredOfWebhook[String(key)];
  return { path: path.slice(0, 3), value: required ?? valueAt(defaults, ['webhook_defaults', key]) };
}

/** Returns a copy with another value at a path; undefined removes the key of a map. */
function replaceAt(value: unknown, [step, ...rest]: YamlPath, put: unknown): unknown {
  if (step === undefined) return put;
  if (Array.isArray(value)) {
    return value.map((item: unknown, index) => (index === step ? replaceAt(item, rest, put) : item));
  }
  if (!isMap(value)) return value;
  const entries = Object.entries(value).filter(([key]) => key !== String(step));
  const inner = replaceAt(Object.hasOwn(value, String(step)) ? value[String(step)] : undefined, rest, put);
  return Object.fromEntries(inner === undefined ? entries : [...entries, [String(step), inner]]);
}
