import { describe, expect, test } from 'vitest';
import { Breaker } from '../../src/delivery/schedule/breaker.ts';
import { Endpoint } from '../../src/delivery/schedule/endpoint.ts';
import { Slots } from '../../src/delivery/schedule/slots.ts';
import { TokenBucket } from '../../src/delivery/schedule/token-bucket.ts';
import type { Outcome } from '../../src/delivery/types.ts';
import { testWebhook } from './memory-store.ts';

const breaker = { threshold: 3, firstMs: 100, maxMs: 400 };
const answered = (durationMs: number): Outcome => ({
  kind: 'delivered',
  status: 200,
  responseBody: '',
  durationMs,
});
const rejected = (status: number): Outcome => ({ kind: 'rejected', status, responseBody: '', durationMs: 1 });
const failed: Outcome = { kind: 'failed', reason: 'timeout', message: '', durationMs: 1_000 };

const delivery = {
  ...{ id: 1, webhookId: 1, eventId: 'evt_1', eventType: 'payment.received' },
  ...{ lane: '', body: '{}', attempt: 1, occurredAtMs: 0 },
};

const endpoint = (more = {}, slots = new Slots(64)): Endpoint =>
  new Endpoint(
    testWebhook(1, 'https://hooks.example.com/', { maxInFlight: 32, ...more }),
    breaker,
    0,
    slots.taken,
  );

describe('the breaker', () => {
  test('opens after so many failures in a row, twice as long each time, up to its most', () => {
    const it = new Breaker(breaker);
    expect([it.fail(0), it.fail(0), it.fail(0)]).toEqual([false, false, true]);
    expect([it.state(99), it.state(100)]).toEqual(['open', 'probing']);
    expect(it.fail(100)).toBe(true);
    expect([it.state(299), it.state(300)]).toEqual(['open', 'probing']);
    it.fail(300);
    it.fail(700);
    expect([it.state(1_099), it.state(1_100)]).toEqual(['open', 'probing']);
  });

  test('failures that were underway when it opened do not lengthen its pause', () => {
    const it = new Breaker(breaker);
    for (let count = 0; count < 3; count += 1) it.fail(0);
    expect(it.fail(50)).toBe(false);
    expect(it.state(100)).toBe('probing');
  });

  test('an answer closes it and forgets', () => {
    const it = new Breaker(breaker);
    for (let count = 0; count < 3; count += 1) it.fail(0);
    it.succeed();
    expect([it.state(0), it.failures]).toEqual(['closed', 0]);
    expect(it.fail(0)).toBe(false);
  });
});

describe('the token bucket', () => {
  test.each([1, 5, 50, 333, 1_000])('%i/s: in no second more than a tenth above it', (rate) => {
    const it = new TokenBucket(rate, 0);
    const taken: number[] = [];
    for (let nowMs = 0; nowMs < 5_000; nowMs += 1) while (it.take(nowMs)) taken.push(nowMs);
    for (let from = 0; from <= 4_000; from += 100) {
      const inSecond = taken.filter((at) => at >= from && at < from + 1_000).length;
      expect(inSecond).toBeLessThanOrEqual(Math.ceil(rate * 1.1) + 1);
      expect(inSecond).toBeGreaterThanOrEqual(Math.floor(rate) - 1);
    }
  });

  test('says when the next one is there', () => {
    const it = new TokenBucket(10, 0);
    expect([it.take(0), it.take(0)]).toEqual([true, false]);
    expect(it.waitMs).toBe(100);
    expect([it.take(99), it.take(100)]).toEqual([false, true]);
  });

  test('a rate below one a second', () => {
    const it = new TokenBucket(0.5, 0);
    expect([it.take(0), it.take(1_999), it.take(2_000)]).toEqual([true, false, true]);
  });
});

describe('an endpoint', () => {
  test('starts small, grows with answers, shrinks with trouble', () => {
    const it = endpoint();
    expect(it.limit(0, 64)).toBe(8);
    for (let count = 0; count < 100; count += 1) it.record(answered(5), 0);
    expect(it.limit(0, 64)).toBe(32);
    expect(it.limit(0, 16)).toBe(16);
    it.record(failed, 0);
    expect(it.limit(0, 64)).toBe(16);
  });

  test.each([
    ['no answer', failed, 'failing'],
    ['forbidden', { kind: 'forbidden', message: '', durationMs: 0 }, 'failing'],
    ['500', rejected(500), 'failing'],
    ['429', rejected(429), 'failing'],
    ['400', rejected(400), 'quick'],
    ['404', rejected(404), 'quick'],
    ['302', rejected(302), 'quick'],
    ['a quick answer', answered(5), 'quick'],
    ['a slow answer', answered(3_000), 'slow'],
  ] as [string, Outcome, string][])('after %s it is %s', (_name, outcome, pace) => {
    const it = endpoint();
    expect(it.pace).toBe('slow');
    it.record(outcome, 0);
    expect(it.pace).toBe(pace);
  });

  test('refusals of single deliveries do not stop it', () => {
    const it = endpoint();
    for (let count = 0; count < 10; count += 1) it.record(rejected(404), count * 1_000);
    expect(it.breakerState(9_000)).toBe('closed');
  });

  test('remembers from the store that it fails', () => {
    const it = endpoint({ failingSinceMs: Date.now() - 60_000 });
    expect(it.pace).toBe('failing');
    expect(it.limit(0, 64)).toBe(1);
  });

  test('a new URL is a clean slate, another edit is not', () => {
    const it = endpoint();
    for (let count = 0; count < 3; count += 1) it.record(failed, 0);
    it.update({ ...it.webhook, name: 'renamed' }, 0);
    expect(it.breakerState(0)).toBe('open');
    it.update({ ...it.webhook, url: 'https://other.example.com/' }, 0);
    expect([it.breakerState(0), it.pace]).toEqual(['closed', 'slow']);
  });

  test('a changed rate limit counts at once, another edit does not begin it anew', () => {
    const it = endpoint({ ratePerSecond: 1 });
    expect([it.admit(0, 64), it.admit(0, 64)]).toEqual([0, 1_000]);
    it.update({ ...it.webhook, name: 'renamed' }, 0);
    expect(it.admit(0, 64)).toBe(1_000);
    it.update({ ...it.webhook, ratePerSecond: 10 }, 0);
    expect([it.admit(0, 64), it.admit(0, 64)]).toEqual([0, 100]);
    it.update({ ...it.webhook, ratePerSecond: null }, 0);
    expect([it.admit(0, 64), it.admit(0, 64)]).toEqual([0, 0]);
  });

  test.each([
    ['quick', answered(1), 4_096],
    ['slow', answered(10_000), 10],
  ])('has as much in stock as a %s one sends in 3 s', (_name, outcome, most) => {
    const it = endpoint();
    for (let count = 0; count < 100; count += 1) it.record(outcome, 0);
    expect(it.stock(0)).toBeGreaterThan(0);
    expect(it.stock(0)).toBeLessThanOrEqual(most);
  });

  test('with a rate limit, what that lets through', () => {
    const it = endpoint({ ratePerSecond: 10 });
    for (let count = 0; count < 100; count += 1) it.record(answered(1), 0);
    expect(it.stock(0)).toBe(30);
  });
});

describe('slots', () => {
  /** An endpoint of a given pace with work. */
  function paced(slots: Slots, pace: 'quick' | 'slow' | 'failing'): Endpoint {
    const it = endpoint({}, slots);
    it.put(delivery, 0);
    if (pace === 'quick') it.record(answered(1), 0);
    if (pace === 'failing') it.record(failed, 0);
    return it;
  }

  /** Lets endpoints of one pace take slots until none is left for them. */
  function fill(slots: Slots, pace: 'quick' | 'slow' | 'failing'): number {
    for (let count = 0; count < 100; count += 1) slots.enlist(paced(slots, pace));
    let taken = 0;
    for (let it = slots.next(); it !== undefined; it = slots.next()) {
      it.begin();
      taken += 1;
    }
    return taken;
  }

  test.each([
    [64, 16, 32, 16],
    [16, 4, 8, 4],
    [4, 1, 2, 1],
    [1, 1, 0, 0],
  ])('of %i: failing %i, then slow %i more, then quick %i more', (concurrency, failing, slow, quick) => {
    const slots = new Slots(concurrency);
    expect(fill(slots, 'failing')).toBe(failing);
    expect(fill(slots, 'slow')).toBe(slow);
    expect(fill(slots, 'quick')).toBe(quick);
    expect(slots.taken.total).toBe(concurrency);
  });

  test('an endpoint that changed its pace in the ring is served in the right one', () => {
    const slots = new Slots(4);
    const it = paced(slots, 'slow');
    slots.enlist(it);
    it.record(answered(1), 0);
    for (let count = 0; count < 10; count += 1) it.record(answered(1), 0);
    expect(slots.next()).toBe(it);
    expect(slots.next()).toBeUndefined();
  });

  test('the slots taken follow each change of an endpoint: a request, its end, an outcome, an edit', () => {
    const slots = new Slots(64);
    const taken = (): number[] => (['quick', 'slow', 'failing'] as const).map((pace) => slots.taken.of(pace));
    const it = endpoint({}, slots);
    for (let count = 0; count < 3; count += 1) it.put(delivery, 0);
    for (let count = 0; count < 4; count += 1) it.begin();
    expect(taken()).toEqual([0, 3, 0]);
    it.end();
    it.record(answered(1), 0);
    expect(taken()).toEqual([2, 0, 0]);
    it.end();
    it.record(failed, 0);
    expect(taken()).toEqual([0, 0, 1]);
    it.update({ ...it.webhook, url: 'https://other.example.com/' }, 0);
    expect(taken()).toEqual([0, 1, 0]);
    it.end();
    expect([...taken(), slots.taken.total]).toEqual([0, 0, 0, 0]);
  });

  test('the cap leaves a quarter to the others, unless there are none', () => {
    const slots = new Slots(64);
    expect([slots.cap(1), slots.cap(2), new Slots(1).cap(5)]).toEqual([64, 48, 1]);
  });
});
