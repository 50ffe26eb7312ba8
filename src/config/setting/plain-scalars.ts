import { formatDuration, parseDuration, unitMs } from '../../lib/duration.ts';
import { numberPattern } from './number-pattern.ts';
import { AppError } from '../../lib/errors.ts';
import { didYouMean } from '../../lib/suggest.ts';
import { ifText, scalar } from './scalar.ts';

/** The characters that `String.trim` removes, as a character class that every regular expression dialect reads alike. */
export const space = '\\t-\\r \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff';
/** Pattern of a text that is not empty and has no space at its ends. */
export const trimmedPattern = `^[^${space}]([\\s\\S]*[^${space}])?$`;

/** Checks that a text has 1 to `maximum` characters, as the store counts them, and no space at its ends. Throws AppError. */
export function requireTrimmed(given: string, maximum: number): string | undefined {
  if (given.trim() !== given)
    throw new AppError('ERR_CONFIG', 'has a space at its beginning or its end: leave it out');
  return given !== '' && Array.from(given).length <= maximum ? given : undefined;
}

/** Text that is not empty and has no space at its ends. */
export function text(maximum: number) {
  return scalar<string>({
    mustBe: `text of 1 to ${maximum} characters, in quotes where YAML would read something else`,
    json: { type: 'string', minLength: 1, maxLength: maximum, pattern: trimmedPattern },
    parse: ifText((given) => requireTrimmed(given, maximum)),
  });
}

/** One of a list of words. */
export function oneOf<const Word extends string>(words: readonly Word[]) {
  return scalar<Word>({
    mustBe: `one of ${words.join(', ')}`,
    json: { enum: words },
    parse: ifText((given) => {
      const word = words.find((candidate) => candidate === given);
      if (word !== undefined) return word;
      throw new AppError('ERR_CONFIG', `must be one of ${words.join(', ')}${didYouMean(given, words)}`);
    }),
  });
}

export function flag() {
  return scalar<boolean>({
    mustBe: 'true or false',
    json: { type: 'boolean' },
    parse: (input) => {
      if (input === true || input === 'true') return true;
      return input === false || input === 'false' ? false : undefined;
    },
  });
}

export function integer(minimum: number, maximum: number) {
  return scalar<number>({
    mustBe: `a whole number from ${minimum} to ${maximum}`,
    json: { type: 'integer', minimum, maximum },
    parse: (input) => {
      const number = typeof input === 'string' && /^\d{1,15}$/.test(input) ? Number(input) : input;
      const fits = typeof number === 'number' && Number.isInteger(number);
      return fits && number >= minimum && number <= maximum ? number : undefined;
    },
  });
}

/** `15s`, `5m`, `2h` → milliseconds, within bounds written in the same form. */
export function duration(minimum: string, maximum: string) {
  const [least, most] = [parseDuration(minimum) ?? 0, parseDuration(maximum) ?? Infinity];
  return scalar<number>({
    mustBe: `a duration such as 15s, 5m, 2h or 30d, from ${formatDuration(least)} to ${maximum}`,
    json: { type: 'string', pattern: durationPattern(least, most) },
    parse: ifText((given) => {
      const ms = parseDuration(given);
      return ms !== undefined && ms >= least && ms <= most ? ms : undefined;
    }),
  });
}

/**
 * The schema pattern of durations within bounds: every whole number of a unit, and fractions when the next whole number fits as well. The parser also
 * reads fractions below one unit (0.5m).
 */
export function durationPattern(leastMs: number, mostMs: number): string {
  const forms = Object.entries(unitMs).flatMap(([unit, ms]) => {
    const [least, most] = [Math.ceil(leastMs / ms), Math.floor(mostMs / ms)];
    if (least > most) return [];
    const whole = numberPattern(least, most) + unit;
    return most > least ? [whole, `${numberPattern(least, most - 1)}\\.[0-9]{1,3}${unit}`] : [whole];
  });
  return `^(${forms.join('|')})$`;
}

const byteUnits = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** `64MiB` → bytes. */
export function size(minimum: number, maximum: number) {
  return scalar<number>({
    mustBe: `a size such as 512KiB, 64MiB or 1GiB, from ${minimum / byteUnits.MiB}MiB to ${maximum / byteUnits.MiB}MiB`,
    json: { type: 'string', pattern: '^[0-9]+(KiB|MiB|GiB)$' },
    parse: ifText((given) => {
      const match = /^(\d{1,9})(KiB|MiB|GiB)$/.exec(given);
      if (!match) return undefined;
      const bytes = Number(match[1]) * byteUnits[match[2] as keyof typeof byteUnits];
      return bytes >= minimum && bytes <= maximum ? bytes : undefined;
    }),
  });
}

const rateUnits = { s: 1, m: 60, h: 3_600 };

/** `50/s`, `30/m` → requests a second. */
export function rate() {
  return scalar<number>({
    mustBe: 'a rate such as 50/s, 30/m or 100/h',
    json: { type: 'string', pattern: '^[1-9][0-9]{0,5}/[smh]$' },
    parse: ifText((given) => {
      const match = /^([1-9]\d{0,5})\/([smh])$/.exec(given);
      return match ? Number(match[1]) / rateUnits[match[2] as keyof typeof rateUnits] : undefined;
    }),
  });
}

/** A zone that Intl knows, by its IANA name. */
export function timezone() {
  return scalar<string>({
    mustBe: 'the IANA name of a time zone, such as America/Santo_Domingo',
    json: { type: 'string' },
    parse: ifText((given) => {
      try {
        return new Intl.DateTimeFormat('en', { timeZone: given }).resolvedOptions().timeZone && given;
      } catch {
        const known = Intl.supportedValuesOf('timeZone');
        throw new AppError('ERR_CONFIG', `is not the IANA name of a time zone${didYouMean(given, known)}`);
      }
    }),
  });
}
