import { InvalidArgumentError } from 'commander';

/** The number by which a list shows it. */
export function parseId(text: string): number {
  if (/^[1-9]\d{0,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError('expected an id from the list');
}
