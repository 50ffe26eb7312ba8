import { AppError } from '../lib/errors.ts';

/** Turns the clinic's local times into ISO 8601. */
export interface ClinicZone {
  /** IANA name, as configured. */
  readonly name: string;
  /**
   * `2026-03-07 15:30:00` → `2026-03-07T15:30:00.000-04:00`: at least milliseconds, more where the column has more.
   * The text of the local time is never altered, only the offset is added. A time that a DST change skips or repeats gets the offset that was in force
   * before the change: a skipped time means the instant that an unchanged clock would have shown, and a repeated time means its first occurrence. (The
   * same choice as Temporal's `compatible`.)
   */
  toIso(localTime: string): string;
  /** What the clinic's clock showed at an instant: `2026-03-07 19:30:00` in UTC → `2026-03-07 15:30:00`, fraction kept. */
  toLocal(utcTime: string): string;
}

const dayMs = 86_400_000;

/** Cached days with their offset; a clinic's columns rarely contain more than a few hundred different days at a time. */
const maxDays = 4_096;

/**
 * The clinic's zone, by IANA name (`America/Santo_Domingo`) or offset (`-04:00`). Asking Intl for an offset takes 2.4 µs,
 * so the answer is cached per day, except for the days on which the offset changes.
 * Throws ERR_CONFIG for a zone that does not exist.
 */
export function createClinicZone(name: string): ClinicZone {
  const format = offsetFormat(name);
  const offsets = new Map<string, string | null>();

  /** Offset at an instant, in ms east of UTC. */
  function offsetAt(utcMs: number): number {
    return parseOffset(format.format(utcMs));
  }

  /** The offset of local time `localMs` (ms as if it were UTC), by the rule above. */
  function offsetOf(localMs: number): number {
    const before = offsetAt(localMs - dayMs);
    const after = offsetAt(localMs + dayMs);
    if (before === after || offsetAt(localMs - before) === before) return before;
    return offsetAt(localMs - after) === after ? after : before;
  }

  /** The offset of a whole day, null when it changes on that day. */
  function offsetOfDay(day: string): string | null {
    const known = offsets.get(day);
    if (known !== undefined) return known;
    const startMs = Date.parse(`${day}T00:00:00Z`);
    const first = offsetOf(startMs);
    const steady = [-1, 0.25, 0.5, 0.75, 1, 2].every((days) => offsetAt(startMs + days * dayMs) === first);
    const offset = steady ? formatOffset(first) : null;
    if (offsets.size >= maxDays) offsets.clear();
    offsets.set(day, offset);
    return offset;
  }

  return {
    name,
    toLocal(utcTime) {
      const utcMs = Date.parse(`${utcTime.slice(0, 10)}T${utcTime.slice(11, 19)}Z`);
      const local = new Date(utcMs + offsetAt(utcMs)).toISOString();
      return `${local.slice(0, 10)} ${local.slice(11, 19)}${utcTime.slice(19)}`;
    },
    toIso(localTime) {
      const day = localTime.slice(0, 10);
      const clock = withMilliseconds(localTime.slice(11));
      return `${day}T${clock}${offsetOfDay(day) ?? formatOffset(offsetOf(Date.parse(`${day}T${clock.slice(0, 12)}Z`)))}`;
    },
  };
}

/** `15:30:00` → `15:30:00.000`; finer fractions stay. */
export function withMilliseconds(clock: string): string {
  if (clock.length === 8) return `${clock}.000`;
  return clock.length < 12 ? clock.padEnd(12, '0') : clock;
}

function offsetFormat(timeZone: string): Intl.DateTimeFormat {
  try {
    return new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset' });
  } catch (error) {
    throw new AppError('ERR_CONFIG', `source.timezone: there is no time zone "${timeZone}"`, {
      remedy: 'Use an IANA name such as America/Santo_Domingo.',
      cause: error,
    });
  }
}

/** ms of the `GMT-04:39:36` at the end of a formatted date. */
function parseOffset(formatted: string): number {
  const match = /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(formatted);
  if (!match?.[1]) return 0;
  const seconds = Number(match[2]) * 3_600 + Number(match[3]) * 60 + Number(match[4] ?? 0);
  return (match[1] === '-' ? -1_000 : 1_000) * seconds;
}

/** `-04:00`; the seconds of an offset from before standard time are cut, because ISO 8601 has no place for them. */
function formatOffset(offsetMs: number): string {
  const minutes = Math.floor(Math.abs(offsetMs) / 60_000);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${offsetMs < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}
