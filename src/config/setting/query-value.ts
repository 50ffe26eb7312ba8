import { systemClock } from '../../lib/clock.ts';
import { parseDuration } from '../../lib/duration.ts';
import { AppError } from '../../lib/errors.ts';
import { didYouMean } from '../../lib/suggest.ts';
import { numberPattern } from './number-pattern.ts';
import { durationPattern } from './plain-scalars.ts';

/*
 * Values of query options on the command line (`--since 2h`) and in the API (`?since=2h`). Both use the same parser, so that they accept the same texts
 * and refuse others with the same message.
 */

export interface QueryValue<T> {
  /** Ends the sentence "… must be". */
  mustBe: string;
  /** The JSON schema of the texts that `parse` accepts. */
  json: Readonly<Record<string, unknown>>;
  /** Undefined when the text does not fit `json`. `nowMs`: for durations, which are counted back from then. */
  parse(text: string, nowMs: number): T | undefined;
}

/** Reads a value by its name in messages: `--since` or `since`. Throws AppError ERR_USAGE, which does not quote the value. */
export function readQueryValue<T>(
  { mustBe, json, parse }: QueryValue<T>,
  { name, text, nowMs = systemClock.now() }: { name: string; text: string; nowMs?: number },
): T {
  const value = parse(text, nowMs);
  if (value !== undefined) return value;
  const words = (json['enum'] as readonly string[] | undefined) ?? [];
  throw new AppError('ERR_USAGE', `${name} must be ${mustBe}${didYouMean(text, words)}`);
}

function matching<T>(
  pattern: string,
  {
    mustBe,
    toValue,
    maxLength = 64,
  }: { mustBe: string; toValue: (text: string, nowMs: number) => T; maxLength?: number },
): QueryValue<T> {
  const form = new RegExp(pattern, 'u');
  return {
    mustBe,
    json: { type: 'string', maxLength, pattern },
    parse: (text, nowMs) => (text.length <= maxLength && form.test(text) ? toValue(text, nowMs) : undefined),
  };
}

/** Days of the calendar from 1970 to 2999, leap years included; a date that does not exist, such as 0000-00-00, is refused. */
const year = '(19[7-9][0-9]|2[0-9]{3})';
const leapYear = '(19(7[26]|8[048]|9[26])|2[0-9](0[48]|[2468][048]|[13579][26])|2[048]00)';
const monthDay =
  '((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))';
const clock = '[T ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\\.[0-9]{1,9})?)?';
const offset = '(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])';
const moment = `(${year}-${monthDay}|${leapYear}-02-29)(${clock}${offset}?)?`;
const longestAgo = parseDuration('50y')!;

/** `2h` (so long ago), `2026-03-07`, `2026-03-07T15:30:00Z` → milliseconds since 1970. A time without an offset is UTC. */
export const momentValue = matching(`^(${moment}|${durationPattern(0, longestAgo).slice(1, -1)})$`, {
  mustBe:
    'a duration such as 2h (so long ago), a date such as 2026-03-07, or a time such as 2026-03-07T15:30:00Z',
  toValue: toMoment,
});

function toMoment(text: string, nowMs: number): number {
  const agoMs = parseDuration(text);
  if (agoMs !== undefined) return nowMs - agoMs;
  const isComplete = /^\d{4}-\d\d-\d\d$|(Z|[+-]\d\d:\d\d)$/.test(text);
  return Date.parse(text.replace(' ', 'T') + (isComplete ? '' : 'Z'));
}

/** Throws AppError ERR_USAGE for an empty period: an empty list would look like an answer. */
export function requirePeriod(
  { since, until }: { since?: number | undefined; until?: number | undefined },
  prefix = '',
): void {
  if (since === undefined || until === undefined || since < until) return;
  throw new AppError('ERR_USAGE', `${prefix}since must lie before ${prefix}until`);
}

export const limitValue = matching(`^${numberPattern(1, 500)}$`, {
  mustBe: 'a whole number from 1 to 500',
  toValue: Number,
});

/** A number that a double holds exactly: a longer number would be rounded to the number of another row. */
export const idValue = matching(`^${numberPattern(1, Number.MAX_SAFE_INTEGER)}$`, {
  mustBe: 'the number that a list shows',
  toValue: Number,
});

const rateUnits = { s: 1, m: 60, h: 3_600 };

/** `50/s`, `30/m`, or 50 alone → events a second. */
export const rateValue = matching(`^${numberPattern(1, 100_000)}(/[smh])?$`, {
  mustBe: 'a rate such as 50/s, 30/m or 100/h',
  toValue(text) {
    const [count, unit = 's'] = text.split('/');
    return Number(count) / rateUnits[unit as keyof typeof rateUnits];
  },
});

/** `appointments:45` */
export const entityValue = matching('^[^:]+:[\\s\\S]+$', {
  mustBe: 'table:key, such as appointments:45',
  maxLength: 320,
  toValue(text) {
    const colon = text.indexOf(':');
    return { table: text.slice(0, colon), key: text.slice(colon + 1) };
  },
});

/** A text that is compared or stored unchanged. */
function textValue(maxLength: number): QueryValue<string> {
  return {
    mustBe: `text of 1 to ${maxLength} characters`,
    json: { type: 'string', minLength: 1, maxLength },
    parse: (text) => (text !== '' && Array.from(text).length <= maxLength ? text : undefined),
  };
}

export function wordValue<Word extends string>(words: readonly Word[]): QueryValue<Word> {
  return {
    mustBe: `one of ${words.join(', ')}`,
    json: { type: 'string', enum: words },
    parse: (text) => words.find((word) => word === text),
  };
}

export const eventValue = textValue(128);
/** A webhook's id or name, the actor, the object of an action, a patient's number. */
export const nameValue = textValue(255);
/** An action: action names are ASCII in the store, which refuses to compare them with other characters. */
export const actionValue = matching('^[!-~]{1,64}$', {
  mustBe: 'an action such as webhook.update, or all of a noun: "webhook.*"',
  toValue: (text) => text,
});
export const reasonValue = textValue(1_024);
