import { InvalidArgumentError } from 'commander';
import { systemClock } from '../lib/clock.ts';
import { parseDuration } from '../lib/duration.ts';

/** Milliseconds since 1970 UTC of `2h` (so long ago) or of an ISO 8601 time. */
export function parseMoment(text: string): number {
  const ago = parseDuration(text);
  const ms = ago === undefined ? Date.parse(text) : systemClock.now() - ago;
  if (Number.isNaN(ms))
    throw new InvalidArgumentError('Write how long ago (30m, 2h, 3d) or a time (2026-03-07T15:30:00Z).');
  return ms;
}
