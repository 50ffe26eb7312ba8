import type { Filter } from '../config/types.ts';
import { didYouMean } from '../lib/suggest.ts';
import { formatTimestamp, renderBody } from './body.ts';
import { systemEventTypes } from './system-events.ts';
import { isValues, unmetDemand } from './unmet-filter.ts';
import type { Watch } from '../binlog/types.ts';
import type { FieldShape } from './mapping/field-shape.ts';
import type { CompiledEventType, DomainEvent, EventTypeInfo } from './types.ts';

/** Whether an entry of a webhook's `events` matches an event type. `*` and `noun.*` never match system events. */
export function matchesPattern(pattern: string, type: string): boolean {
  if (pattern === type) return true;
  if (systemEventTypes.includes(type)) return false;
  return pattern === '*' || (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1)));
}

/** The body for a webhook that selects fields of data, in the order of the payload; unknown fields are left out. */
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

/** The events, filter and fields that a webhook selects. */
export interface Selection {
  events: readonly string[];
  filter: Filter | null;
  fields: readonly string[] | null;
}

/** A problem with the `fields` or the `filter` of a webhook. */
export interface SelectionProblem {
  key: 'fields' | 'filter';
  message: string;
}

/** The event types and columns that a webhook's selection is checked against. */
interface SelectionRules {
  types: readonly (EventTypeInfo & Partial<CompiledEventType>)[];
  watch: Watch;
}

const chosenBy = (events: readonly string[], types: SelectionRules['types']): SelectionRules['types'] =>
  types.filter(({ type }) => events.some((pattern) => matchesPattern(pattern, type)));

/** Whether an event has a field, or its row a column, that a filter can name. */
function hasName({ fields, table }: EventTypeInfo, name: string, watch: Watch): boolean {
  const columns = table.split(', ').flatMap((each) => [...(watch.get(each.toLowerCase()) ?? [])]);
  return fields.includes(name) || columns.includes(name.toLowerCase());
}

/** Maximum number of events that a message lists by name. */
const maxNamed = 5;

/**
 * Returns messages about events that a webhook names but its filter always excludes, because they lack a name in the filter. A filter
 * that fits other events of the same webhook is not refused. Requires rules compiled with the filter's names.
 */
export function findUnsent(
  { events, filter }: Omit<Selection, 'fields'>,
  { types, watch }: SelectionRules,
): string[] {
  const chosen = chosenBy(events, types);
  return Object.entries(filter ?? {}).flatMap(([name, test]) => {
    const lacking = chosen.filter((each) => !hasName(each, name, watch)).map(({ type }) => type);
    const isMetByAbsence = !isValues(test) && test.exists === false;
    if (lacking.length === 0 || lacking.length === chosen.length || isMetByAbsence) return [];
    const more = lacking.length > maxNamed ? ` and ${lacking.length - maxNamed} more` : '';
    return [
      `filter: "${name}" keeps back every event of ${lacking.slice(0, maxNamed).join(', ')}${more}, which ` +
        `${lacking.length === 1 ? 'lacks' : 'lack'} it: take ${lacking.length === 1 ? 'it' : 'them'} out of events, or make a second webhook for ${lacking.length === 1 ? 'it' : 'them'} without this filter`,
    ];
  });
}

/**
 * Finds names in `fields` and `filter` that none of the webhook's events has, and demands that no value meets: with them nothing
 * would ever be sent. The rules must have been compiled with the filter's names; without compiled rules only names are
 * checked.
 */
export function checkSelection(
  { events, filter, fields }: Selection,
  { types, watch }: SelectionRules,
): SelectionProblem[] {
  const chosen = chosenBy(events, types);
  if (chosen.length === 0) return [];
  const known = new Set(chosen.flatMap((each) => each.fields));
  const strangers = (key: SelectionProblem['key'], names: readonly string[]): SelectionProblem[] =>
    names.map((name) => ({ key, message: `none of its events has "${name}"${didYouMean(name, known)}` }));
  const filtered = Object.entries(filter ?? {});
  return [
    ...strangers(
      'fields',
      (fields ?? []).filter((name) => !known.has(name)),
    ),
    ...filtered.flatMap(([name, test]): SelectionProblem[] => {
      const having = chosen.filter((each) => hasName(each, name, watch));
      if (having.length === 0) return strangers('filter', [name]);
      const problem = unmetDemand(
        test,
        having.flatMap((each) => shapesOf(each, name)),
      );
      return problem === undefined ? [] : [{ key: 'filter', message: `"${name}" ${problem}` }];
    }),
  ];
}

/** The shapes that a field of an event, or a column of its row, can have; unknown without compiled rules. */
function shapesOf(
  { fields, shapes }: EventTypeInfo & Partial<CompiledEventType>,
  name: string,
): readonly FieldShape[] {
  return shapes?.get(fields.includes(name) ? name : name.toLowerCase()) ?? [{ kind: 'unknown' }];
}
