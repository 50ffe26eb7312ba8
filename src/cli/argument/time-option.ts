import { InvalidArgumentError, Option } from 'commander';
import { systemClock } from '../../lib/clock.ts';
import { parseDuration } from '../../lib/duration.ts';
import { AppError } from '../../lib/errors.ts';
import { parseId } from './id-argument.ts';

/** `--since 2h`, `--since 2026-03-07`, `--since 2026-03-07T15:30:00Z`: milliseconds since 1970. */
export function sinceOption(): Option {
  return new Option('--since <time>', 'from then on: 2h ago, or 2026-03-07T15:30:00Z').argParser(parseMoment);
}

export function untilOption(): Option {
  return new Option('--until <time>', 'before then, written like --since').argParser(parseMoment);
}

/** Refuses a period in which nothing can lie: an empty list would look like an answer. Throws AppError ERR_USAGE. */
export function requirePeriod({ since, until }: Readonly<Record<string, unknown>>): void {
  if (typeof since !== 'number' || typeof until !== 'number' || since < until) return;
  throw new AppError('ERR_USAGE', '--since must lie before --until');
}

export function limitOption(): Option {
  return new Option('--limit <n>', 'at most so many').default(50).argParser((text) => {
    const limit = Number(text);
    if (Number.isInteger(limit) && limit >= 1 && limit <= 10_000) return limit;
    throw new InvalidArgumentError('expected a whole number from 1 to 10000');
  });
}

/** Where a page of a list begins. */
export function cursorOption(): Option {
  return new Option('--cursor <id>', 'continue after this id: `next_cursor` of the page before').argParser(
    parseId,
  );
}

/** A moment without an offset is UTC. */
export function parseMoment(text: string): number {
  const agoMs = parseDuration(text);
  if (agoMs !== undefined) return systemClock.now() - agoMs;
  const isDate = /^\d{4}-\d\d-\d\d$/.test(text);
  const isMoment = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?$/.test(text);
  const hasOffset = isDate || /(Z|[+-]\d\d:\d\d)$/.test(text);
  const ms = isDate || isMoment ? Date.parse(hasOffset ? text : `${text.replace(' ', 'T')}Z`) : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new InvalidArgumentError('expected a duration like 2h, or a moment like 2026-03-07T15:30:00Z');
}
