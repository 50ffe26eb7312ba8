import { numberText } from '../lib/exact-json.ts';
import { didYouMean } from '../lib/suggest.ts';
import { formatTimestamp, renderBody } from './body.ts';
import { canonicalLiteral, type Scalar } from './match.ts';
import { ownEventTypes } from './own-events.ts';
import type { DomainEvent, JsonValue, Rules } from './types.ts';

/** Field of data, or column of the changed row → the values it may have. */
export type Filter = Readonly<Record<string, readonly Scalar[]>>;

/** Whether an entry of a webhook's `events` means an event type. `*` and `noun.*` never mean our own events. */
export function matchesPattern(pattern: string, type: string): boolean {
  if (pattern === type) return true;
  if (ownEventTypes.includes(type)) return false;
  return pattern === '*' || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1)));
}

/**
 * Whether an event passes a webhook's filter: every name in it is a field of data, or else a column of the changed row, whose
 * value is among those listed. Compared like in rules: text trimmed and case-insensitively, numbers by value. An event
 * that has no such field or column does not pass.
 */
export function matchesFilter(filter: Filter, event: Pick<DomainEvent, 'data' | 'column'>): boolean {
  return Object.entries(filter).every(([name, accepted]) => {
    const value = Object.hasOwn(event.data, name) ? event.data[name] : event.column(name);
    return value !== undefined && accepted.some((each) => isSame(value, each));
  });
}

function isSame(value: JsonValue, wanted: Scalar): boolean {
  if (value === null || wanted === null) return value === wanted;
  const number = numberText(value) ?? (typeof value === 'boolean' ? String(Number(value)) : undefined);
  if (number !== undefined)
    return canonicalLiteral('decimal', number) === canonicalLiteral('decimal', wanted);
  if (typeof value !== 'string') return false;
  return canonicalLiteral('text', value) === canonicalLiteral('text', wanted);
}

/** The body for a webhook that wants only some fields of data, in the order of the payload; unknown ones are left out. */
export function selectFields(
  event: Pick<DomainEvent, 'type' | 'occurredAtMs' | 'data'>,
  fields: readonly string[],
): string {
  const wanted = new Set(fields);
  const kept = Object.entries(event.data).filter(([name]) => wanted.has(name));
  return renderBody(
    event.type,
    formatTimestamp(event.occurredAtMs),
    JSON.stringify(Object.fromEntries(kept)),
  );
}

/** What a webhook chooses. */
export interface Selection {
  events: readonly string[];
  filter: Filter | null;
  fields: readonly string[] | null;
}

/** What is wrong with one of the two keys of a webhook. */
export interface SelectionProblem {
  key: 'fields' | 'filter';
  message: string;
}

/**
 * Finds names in `fields` and `filter` that none of the webhook's events has: nothing would ever be sent by them. The rules must
 * have been compiled with the filter's names.
 */
export function judgeSelection(
  { events, filter, fields }: Selection,
  { types, watch }: Pick<Rules, 'types' | 'watch'>,
): SelectionProblem[] {
  const chosen = types.filter(({ type }) => events.some((pattern) => matchesPattern(pattern, type)));
  if (chosen.length === 0) return [];
  const known = new Set(chosen.flatMap((each) => each.fields));
  const columns = chosen.flatMap(({ table }) =>
    table.split(', ').flatMap((name) => [...(watch.get(name.toLowerCase()) ?? [])]),
  );
  const strangers = (key: SelectionProblem['key'], names: readonly string[]): SelectionProblem[] =>
    names
      .filter((name) => !known.has(name))
      .map((name) => ({ key, message: `none of its events has "${name}"${didYouMean(name, known)}` }));
  const filtered = Object.keys(filter ?? {}).filter((name) => !columns.includes(name.toLowerCase()));
  return [...strangers('fields', fields ?? []), ...strangers('filter', filtered)];
}
