import { Argument, Option } from 'commander';
import {
  idValue,
  limitValue,
  momentValue,
  readQueryValue,
  type QueryValue,
} from '../../config/setting/query-value.ts';

/** An option whose value is read as the API reads it. Throws AppError ERR_USAGE with the option's name and the expected value. */
export function queryOption(flags: string, description: string, value: QueryValue<unknown>): Option {
  const option = new Option(flags, description);
  // The shell completes words from the choices. `choices` also sets its own parser with other messages, which argParser replaces.
  const words = value.json['enum'];
  if (Array.isArray(words)) option.choices(words as string[]);
  return option.argParser((text) => readQueryValue(value, { name: option.long!, text }));
}

/** `--since 2h`, `--since 2026-03-07`, `--since 2026-03-07T15:30:00Z`: milliseconds since 1970. */
export const sinceOption = (): Option =>
  queryOption('--since <time>', 'from then on: 2h ago, or 2026-03-07T15:30:00Z', momentValue);

export const untilOption = (): Option =>
  queryOption('--until <time>', 'before then, written like --since', momentValue);

export const limitOption = (): Option =>
  queryOption('--limit <n>', 'at most so many, up to 500', limitValue).default(50);

/** The id at which a page of a list begins. */
export const cursorOption = (): Option =>
  queryOption('--cursor <id>', 'continue after this id: `next_cursor` of the page before', idValue);

/** `<id>`, the number that a list shows. */
export function idArgument(description: string): Argument {
  return new Argument('<id>', description).argParser((text) => readQueryValue(idValue, { name: 'id', text }));
}
