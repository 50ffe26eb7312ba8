import { describe, expect, test } from 'vitest';
import { nextStep, parseRetryAfter } from '../../src/delivery/schedule/retry.ts';
import type { Outcome } from '../../src/delivery/types.ts';

const second = 1_000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

/** Design section 3. */
const scheduleMs = [
  5 * second,
  5 * minute,
  30 * minute,
  2 * hour,
  5 * hour,
  10 * hour,
  14 * hour,
  20 * hour,
  day,
];
const middle = (): number => 0.5;

const delivered: Outcome = { kind: 'delivered', status: 200, responseBody: '', durationMs: 1 };
const failed: Outcome = { kind: 'failed', reason: 'timeout', message: '', durationMs: 1 };
const forbidden: Outcome = { kind: 'forbidden', message: '', durationMs: 0 };
const gone: Outcome = { kind: 'gone', status: 410, responseBody: '', durationMs: 1 };

function rejected(retryAfterMs?: number): Outcome {
  const outcome = { kind: 'rejected', status: 503, responseBody: '', durationMs: 1 } as const;
  return retryAfterMs === undefined ? outcome : { ...outcome, retryAfterMs };
}

describe('nextStep', () => {
  test('a success ends it', () => {
    expect(nextStep(delivered, 1, { scheduleMs })).toEqual({ kind: 'delivered' });
    expect(nextStep(delivered, 10, { scheduleMs })).toEqual({ kind: 'delivered' });
  });

  test('failures follow the schedule and then exhaust it: one attempt more than it has entries', () => {
    for (const outcome of [failed, forbidden, rejected()]) {
      const steps = Array.from({ length: 10 }, (_, index) =>
        nextStep(outcome, index + 1, { scheduleMs, random: middle }),
      );
      expect(steps).toEqual([
        ...scheduleMs.map((delayMs) => ({ kind: 'retry', delayMs })),
        { kind: 'exhausted' },
      ]);
    }
  });

  test.each([
    ['least', 0, 0.8],
    ['most', 1 - Number.EPSILON, 1.2],
  ])('the jitter is 20 % at %s', (_name, random, factor) => {
    expect(nextStep(failed, 2, { scheduleMs, random: () => random })).toEqual({
      kind: 'retry',
      delayMs: 5 * minute * factor,
    });
  });

  test('the jitter spreads', () => {
    const delays = Array.from({ length: 200 }, () => {
      const step = nextStep(failed, 1, { scheduleMs });
      return step.kind === 'retry' ? step.delayMs : Number.NaN;
    });
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(4 * second);
    expect(Math.max(...delays)).toBeLessThanOrEqual(6 * second);
    expect(new Set(delays).size).toBeGreaterThan(50);
  });

  test.each([
    ['shorter than the schedule', 1 * second, 5 * second],
    ['longer than the schedule', 10 * minute, 10 * minute],
    ['longer than a day', 40 * day, day],
    ['a date in the past', 0, 5 * second],
  ])('Retry-After %s', (_name, asked, expected) => {
    expect(nextStep(rejected(asked), 1, { scheduleMs, random: middle })).toEqual({
      kind: 'retry',
      delayMs: expected,
    });
  });

  test('Retry-After never shortens a schedule that is longer than a day', () => {
    expect(nextStep(rejected(40 * day), 1, { scheduleMs: [3 * day], random: middle })).toEqual({
      kind: 'retry',
      delayMs: 3 * day,
    });
  });

  test('Retry-After gives no attempt beyond the schedule', () => {
    expect(nextStep(rejected(hour), 10, { scheduleMs })).toEqual({ kind: 'exhausted' });
  });

  test('410 disables and leaves the delivery alive, at the end of the schedule too', () => {
    expect(nextStep(gone, 1, { scheduleMs, random: middle })).toEqual({
      kind: 'disable',
      delayMs: 5 * second,
    });
    expect(nextStep(gone, 10, { scheduleMs, random: middle })).toEqual({ kind: 'disable', delayMs: day });
  });
});

describe('parseRetryAfter', () => {
  const now = Date.UTC(2026, 2, 7, 15, 30, 0);

  test.each([
    ['0', 0],
    ['120', 120 * second],
    [' 120 ', 120 * second],
    ['9999999999', 9_999_999_999 * second],
    ['Sat, 07 Mar 2026 15:31:00 GMT', minute],
    ['Saturday, 07-Mar-26 15:31:00 GMT', minute],
    ['Sat Mar  7 15:31:00 2026', minute],
    ['Sat, 07 Mar 2026 15:29:00 GMT', 0],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 0],
  ])('%s', (text, expected) => {
    expect(parseRetryAfter(text, now)).toBe(expected);
  });

  test.each([
    '',
    '-1',
    '+5',
    '1.5',
    '1e9',
    '0x10',
    '99999999999',
    'soon',
    '2026-03-07T15:31:00Z',
    'Sat, 07 Mar 2026 15:31:00 +0100',
    'Sat, 99 Mar 2026 15:31:00 GMT',
    '5, 10',
  ])('%j is neither seconds nor a date', (text) => {
    expect(parseRetryAfter(text, now)).toBeUndefined();
  });

  test('no header is no wish', () => {
    expect(parseRetryAfter(undefined, now)).toBeUndefined();
  });
});
