import { isExactNumber } from '../../lib/exact-json.ts';

export type YamlMap = Readonly<Record<string, unknown>>;

/** Whether a value read from YAML is a map. */
export function isMap(value: unknown): value is YamlMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !isExactNumber(value);
}

/**
 * Lays one value over another: maps are merged key by key, anything else replaces. An empty key, for example when everything below it is commented out,
 * leaves a map or a list unchanged.
 */
export function layer(base: unknown, over: unknown): unknown {
  if (over === undefined) return base;
  if (over === null && typeof base === 'object') return base;
  if (!isMap(base) || !isMap(over)) return over;
  const keys = new Set([...Object.keys(base), ...Object.keys(over)]);
  // Entries, not assignments: a key may be called __proto__.
  return Object.fromEntries([...keys].map((key) => [key, layer(own(base, key), own(over, key))]));
}

/** The value at a path of map keys and list indices; undefined when there is none. */
export function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>((inner, step) => {
    if (Array.isArray(inner)) return typeof step === 'number' ? (inner[step] as unknown) : undefined;
    return isMap(inner) ? own(inner, String(step)) : undefined;
  }, value);
}

function own(map: YamlMap, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}
