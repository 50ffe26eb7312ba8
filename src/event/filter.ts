import type { Filter, FilterOperators, FilterValue } from '../config/types.ts';
import { numberText } from '../lib/exact-json.ts';
import { canonicalLiteral, compareNumbers } from './mapping/match.ts';
import type { DomainEvent } from './types.ts';
import type { JsonValue } from '../lib/exact-json.ts';

/**
 * Whether an event passes a webhook's filter. Each name in the filter is a field of data, or otherwise a column of the changed row.
 * Values are compared as in rules: text trimmed and case-insensitively, numbers exactly and by value; times with an offset are
 * compared as instants. For a field that the event lacks, only `exists: false` holds.
 */
export function matchesFilter(filter: Filter, event: Pick<DomainEvent, 'data' | 'column'>): boolean {
  return Object.entries(filter).every(([name, test]) => {
    const value = Object.hasOwn(event.data, name) ? event.data[name] : event.column(name);
    return isList(test) ? isAmong(value, test) : holds(value, test);
  });
}

const isList = (test: Filter[string]): test is readonly FilterValue[] => Array.isArray(test);

const isAmong = (value: JsonValue, listed: readonly FilterValue[]): boolean =>
  value !== undefined && listed.some((each) => isSame(value, each));

/** Whether a value meets all operators. */
export function holds(value: JsonValue, { exists, not, prefix, ...bounds }: FilterOperators): boolean {
  const isThere = value !== undefined && value !== null;
  if (exists !== undefined && exists !== isThere) return false;
  // Without a value, only `exists: false` holds.
  if (!isThere) return exists === false && not === undefined && prefix === undefined && isEmpty(bounds);
  return (
    (not === undefined || !isAmong(value, not)) &&
    (prefix === undefined || hasPrefix(value, prefix)) &&
    isWithin(value, bounds)
  );
}

type Bounds = Pick<FilterOperators, 'gt' | 'gte' | 'lt' | 'lte'>;

const isEmpty = (bounds: Bounds): boolean => Object.values(bounds).every((bound) => bound === undefined);

function isWithin(value: JsonValue, { gt, gte, lt, lte }: Bounds): boolean {
  const meets = (bound: string | number | undefined, is: (order: number) => boolean): boolean => {
    if (bound === undefined) return true;
    const order = compare(value, bound);
    return order !== undefined && is(order);
  };
  return (
    meets(gt, (order) => order > 0) &&
    meets(gte, (order) => order >= 0) &&
    meets(lt, (order) => order < 0) &&
    meets(lte, (order) => order <= 0)
  );
}

function isSame(value: JsonValue, wanted: FilterValue): boolean {
  if (value === null) return false;
  const number = numberOf(value);
  if (number !== undefined)
    return canonicalLiteral('decimal', number) === canonicalLiteral('decimal', wanted);
  if (typeof value !== 'string') return false;
  if (typeof wanted === 'string') return compare(value, wanted) === 0;
  return canonicalLiteral('text', value) === canonicalLiteral('text', wanted);
}

/** The digits of a number; true and false count as 1 and 0. */
const numberOf = (value: JsonValue): string | undefined =>
  numberText(value) ?? (typeof value === 'boolean' ? String(Number(value)) : undefined);

function hasPrefix(value: JsonValue, prefix: string): boolean {
  return (
    typeof value === 'string' && canonicalLiteral('text', value).startsWith(canonicalLiteral('text', prefix))
  );
}

/**
 * The order of a value and a bound: numbers by value, instants by time, other texts by their characters in the form that rules compare.
 * Undefined if the two have no order (a text and a number).
 */
export function compare(value: JsonValue, bound: string | number): number | undefined {
  const number = numberOf(value);
  // An integer beyond 2^53 is sent as text; it is compared as a number if the bound is a number.
  if (number !== undefined || (typeof bound === 'number' && typeof value === 'string')) {
    return compareNumbers(number ?? (value as string), bound);
  }
  if (typeof value !== 'string' || typeof bound === 'number') return undefined;
  const [moment, boundMoment] = [momentOf(value), momentOf(bound)];
  if (moment !== undefined && boundMoment !== undefined) return moment - boundMoment;
  const [text, boundText] = [canonicalLiteral('text', value), canonicalLiteral('text', bound)];
  return text < boundText ? -1 : Number(text > boundText);
}

/** Microseconds of a time with an offset or a Z. A date alone is compared as text with the beginning of a time in the clinic's zone. */
function momentOf(text: string): number | undefined {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,6})\d*)?(Z|[+-]\d\d:\d\d)$/i.exec(
    text.trim(),
  );
  if (!match) return undefined;
  const [, wholeSeconds = '', fraction = '', offset = ''] = match;
  const ms = Date.parse(wholeSeconds + offset);
  return Number.isNaN(ms) ? undefined : ms * 1_000 + Number(fraction.padEnd(6, '0'));
}
