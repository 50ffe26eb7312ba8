import type { Outcome } from '../types.ts';

const dayMs = 86_400_000;
const jitter = 0.2;

const httpDates = [
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/,
  /^(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT$/,
];
const asctimeDate = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$/;

function parseHttpDate(text: string): number | undefined {
  const iso = asctimeDate.test(text) ? `${text} GMT` : text;
  if (iso === text && !httpDates.some((form) => form.test(text))) return undefined;
  const ms = Date.parse(iso);
  return Number.isNaN(ms) ? undefined : ms;
}

/**
 * How long a `Retry-After` header asks to wait, in ms, not yet clamped: seconds or one of the three forms of an HTTP date
 * (a past one is 0). Undefined when it is neither.
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1_000;
  const date = parseHttpDate(text);
  return date === undefined ? undefined : Math.max(0, date - nowMs);
}

/** The next step of a delivery after an attempt. */
export type NextStep =
  | { kind: 'delivered' }
  | { kind: 'retry'; delayMs: number }
  /** The schedule is used up: visible, replayable, no longer tried. */
  | { kind: 'exhausted' }
  /** The receiver refuses further events: the webhook is disabled, the delivery waits until a person enables it. */
  | { kind: 'disable'; delayMs: number };

export interface RetryOptions {
  /** Delay after the first, the second, … failed attempt, ms; the number of attempts is one more than the number of entries. */
  scheduleMs: readonly number[];
  /** 0 ≤ x < 1, for the jitter. */
  random?: () => number;
}

/** The schedule's delay after attempt `attempt` (1 is the first) with ±20 % jitter; undefined after its last entry. */
function scheduledDelayMs(
  attempt: number,
  { scheduleMs, random = Math.random }: RetryOptions,
): number | undefined {
  const plain = scheduleMs[attempt - 1];
  return plain === undefined ? undefined : Math.round(plain * (1 + jitter * (random() * 2 - 1)));
}

/**
 * Decides what follows attempt `attempt` (1 is the first). `Retry-After` may lengthen the schedule's delay, up to 24 h, and
 * never shortens it.
 */
export function nextStep(outcome: Outcome, attempt: number, options: RetryOptions): NextStep {
  const delayMs = scheduledDelayMs(attempt, options);
  switch (outcome.kind) {
    case 'delivered':
      return { kind: 'delivered' };
    case 'gone':
      // After the end of the schedule its last entry is used, so that the delivery still exists when the webhook is enabled again.
      return {
        kind: 'disable',
        delayMs: delayMs ?? scheduledDelayMs(options.scheduleMs.length, options) ?? 0,
      };
    case 'rejected': {
      if (delayMs === undefined) return { kind: 'exhausted' };
      return { kind: 'retry', delayMs: Math.max(delayMs, Math.min(outcome.retryAfterMs ?? 0, dayMs)) };
    }
    case 'failed':
    case 'forbidden':
      return delayMs === undefined ? { kind: 'exhausted' } : { kind: 'retry', delayMs };
  }
}
