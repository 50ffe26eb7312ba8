import type { Filter, FilterOperators, FilterValue } from '../config/types.ts';
import { plainNumber } from '../lib/exact-json.ts';
import { didYouMean } from '../lib/suggest.ts';
import { compare, holds } from './filter.ts';
import { canonicalLiteral, compareNumbers } from './mapping/match.ts';
import type { FieldShape } from './mapping/field-shape.ts';

const nouns: Readonly<Record<Exclude<FieldShape['kind'], 'labels' | 'unknown'>, string>> = {
  integer: 'a whole number',
  flag: 'a whole number, or true or false',
  number: 'a number',
  text: 'a text',
  date: 'a date such as 2026-03-07',
  time: 'a time such as 2026-03-07T15:30:00Z',
  timeOfDay: 'a time of day such as 15:30:00',
  list: 'a list',
  object: 'an object',
};
/** Maximum number of labels in a message: more would hide the problem. */
const maxLabels = 12;

/**
 * Why no value, or every value, of a field meets a demand: `is a number: …`. Undefined if some values meet it, or if one of its shapes is
 * unknown. `shapes`: what the field can have, in any of the events.
 */
export function unmetDemand(test: Filter[string], shapes: readonly FieldShape[]): string | undefined {
  if (shapes.length === 0 || shapes.some(({ kind }) => kind === 'unknown')) return undefined;
  const checked = joinLabels(shapes);
  const problem = isValues(test) ? foreignAmong(test, checked) : foreignOperand(test, checked);
  const [first] = checked;
  return problem === undefined ? undefined : `is ${nounOf(first!)}: ${problem}`;
}

/** Whether a demand is a list of values, of which one must match. */
export const isValues = (test: Filter[string]): test is readonly FilterValue[] => Array.isArray(test);

/** Merges the labels of all events into one shape. */
function joinLabels(shapes: readonly FieldShape[]): readonly FieldShape[] {
  const labels = shapes.flatMap((shape) => (shape.kind === 'labels' ? shape.labels : []));
  const others = shapes.filter(({ kind }) => kind !== 'labels');
  return labels.length === 0 ? others : [{ kind: 'labels', labels: [...new Set(labels)] }, ...others];
}

function nounOf(shape: FieldShape): string {
  if (shape.kind === 'unknown') return 'unknown';
  if (shape.kind !== 'labels') return nouns[shape.kind];
  const named = shape.labels.filter((label) => label !== '');
  const more = named.length > maxLabels ? `, and ${named.length - maxLabels} more` : '';
  return `one of ${named.slice(0, maxLabels).join(', ')}${more}`;
}

function foreignAmong(values: readonly FilterValue[], shapes: readonly FieldShape[]): string | undefined {
  const foreign = values.find((value) => !shapes.some((shape) => canBe(shape, value)));
  if (foreign === undefined) return undefined;
  const labels = shapes.flatMap((shape) => (shape.kind === 'labels' ? shape.labels : []));
  return `it is never ${JSON.stringify(foreign)}${didYouMean(String(foreign), labels)}`;
}

function foreignOperand(test: FilterOperators, shapes: readonly FieldShape[]): string | undefined {
  const { gt, gte, lt, lte, not = [], prefix } = test;
  const isNumber = shapes.every(isNumeric);
  if (prefix !== undefined && isNumber) return 'prefix compares texts; write gt, gte, lt or lte';
  const bounds = [gt, gte, lt, lte].filter((bound) => bound !== undefined);
  const foreign = bounds.find((bound) => !shapes.some((shape) => hasOrder(shape, bound)));
  const strange =
    foreign ??
    (prefix !== undefined && !shapes.some((shape) => hasPrefixes(shape)(prefix)) ? prefix : undefined);
  if (strange !== undefined) return `it cannot be compared with ${JSON.stringify(strange)}`;
  return foreignAmong(not, shapes) ?? contradiction(test, shapes);
}

const numeral = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const isNumeral = (value: FilterValue): boolean =>
  typeof value !== 'boolean' && numeral.test(String(value).trim());
const isWhole = (value: FilterValue): boolean => /^[+-]?\d+(\.0*)?$/.test(plainNumber(String(value).trim()));

const isWholeKind = ({ kind }: FieldShape): boolean => kind === 'integer' || kind === 'flag';
const isNumeric = (shape: FieldShape): boolean => isWholeKind(shape) || shape.kind === 'number';

/** Whether a value of this shape may equal the given value. */
function canBe(shape: FieldShape, value: FilterValue): boolean {
  switch (shape.kind) {
    case 'flag':
      return typeof value === 'boolean' || (isNumeral(value) && isWhole(value));
    case 'integer':
      return isNumeral(value) && isWhole(value);
    case 'number':
      return isNumeral(value);
    case 'labels': {
      const wanted = canonicalLiteral('text', value);
      return shape.labels.some((label) => canonicalLiteral('text', label) === wanted);
    }
    case 'date':
      return typeof value === 'string' && isDay(value.trim());
    case 'time':
      return typeof value === 'string' && isFullTime(value.trim());
    case 'timeOfDay':
      return typeof value === 'string' && /^-?\d{2,3}(:[0-5]\d){2}(\.\d{1,6})?$/.test(value.trim());
    case 'text':
      return true;
    case 'list':
    case 'object':
    case 'unknown':
      return false;
  }
}

/** Whether values of this shape can be less or greater than the bound. A text may contain digits, which are compared with a number. */
function hasOrder(shape: FieldShape, bound: string | number): boolean {
  switch (shape.kind) {
    case 'integer':
    case 'flag':
    case 'number':
      return isNumeral(bound);
    case 'labels':
      return typeof bound === 'string' || shape.labels.some(isNumeral);
    case 'date':
    case 'time':
      return typeof bound === 'string' && isPartOfTime(bound.trim());
    case 'timeOfDay':
      return typeof bound === 'string' && /^-?\d{2,3}(:[0-5]\d){0,2}(\.\d{1,6})?$/.test(bound.trim());
    case 'text':
      return true;
    case 'list':
    case 'object':
    case 'unknown':
      return false;
  }
}

const hasPrefixes =
  ({ kind }: FieldShape) =>
  (prefix: string): boolean => {
    if (kind === 'text' || kind === 'labels') return true;
    return (
      (kind === 'date' || kind === 'time' || kind === 'timeOfDay') && /^[-\d:.tz+]+$/i.test(prefix.trim())
    );
  };

/** A year, month, day or time that exists in the calendar. */
function isPartOfTime(text: string): boolean {
  const day = text.slice(0, 10);
  if (text.length > 10) return isDay(day) && isClock(text.slice(10));
  return /^\d{4}(-\d\d)?(-\d\d)?$/.test(day) && isDay(`${day}${'-01-01'.slice(day.length - 4)}`);
}

const isFullTime = (text: string): boolean =>
  isDay(text.slice(0, 10)) && isClock(text.slice(10)) && /(Z|[+-]\d\d:\d\d)$/i.test(text);

const isClock = (text: string): boolean =>
  /^T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]\d\d:[0-5]\d)?$/i.test(text);

/** Whether the day exists in the calendar: `Date` parses February 30 as March 2. */
function isDay(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(text);
}

/** Describes operators that together exclude every value. */
function contradiction(test: FilterOperators, shapes: readonly FieldShape[]): string | undefined {
  if (test.exists === false) return undefined;
  const [shape] = shapes;
  if (shapes.length === 1 && shape?.kind === 'labels') {
    if (shape.labels.some((label) => holds(label, test))) return undefined;
    return `none of them meets ${written(Object.entries(test))}`;
  }
  const lower = Object.entries({ gt: test.gt, gte: test.gte }).filter(isGiven);
  const upper = Object.entries({ lt: test.lt, lte: test.lte }).filter(isGiven);
  const pairs = lower.flatMap((low) => upper.map((high) => [low, high] as const));
  const crossed = pairs.find(([low, high]) => shapes.every((each) => isEmptyRange(each, low, high)));
  return crossed && `no value meets ${written(crossed)}`;
}

type Bound = [name: string, bound: string | number];
const isGiven = (entry: [string, string | number | undefined]): entry is Bound => entry[1] !== undefined;

const written = (operators: readonly (readonly [string, unknown])[]): string =>
  operators.map(([name, operand]) => `${name} ${JSON.stringify(operand)}`).join(' and ');

function isEmptyRange(shape: FieldShape, [low, from]: Bound, [high, to]: Bound): boolean {
  const isNumber = isNumeric(shape) || (typeof from === 'number' && typeof to === 'number');
  // In a text column, a number and a text have no order that holds for all values.
  if (!isNumber && typeof from !== typeof to) return false;
  const order = isNumber ? compareNumbers(from, to) : compare(from, to);
  if (order === undefined) return false;
  if (order > 0 || (order === 0 && (low === 'gt' || high === 'lt'))) return true;
  if (!isWholeKind(shape) || !isSmall(from) || !isSmall(to)) return false;
  const least = low === 'gt' ? Math.floor(Number(from)) + 1 : Math.ceil(Number(from));
  const most = high === 'lt' ? Math.ceil(Number(to)) - 1 : Math.floor(Number(to));
  return least > most;
}

const isSmall = (bound: string | number): boolean => Math.abs(Number(bound)) < 2 ** 40;
