/**
 * Converts records to the JSON of the API and of `--json`: names with underscores, times (`…AtMs`) as ISO 8601 in UTC. The free-form
 * `details` stays as it is.
 */
export function toJson(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toJson);
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]): [string, unknown] => {
      if (name === 'details') return [name, inner];
      if (!/(^a|A)tMs$/.test(name)) return [underscored(name), toJson(inner)];
      return [
        underscored(name.slice(0, -2)),
        typeof inner === 'number' ? new Date(inner).toISOString() : null,
      ];
    }),
  );
}

/** `ratePerSecond` → `rate_per_second` */
export function underscored(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
