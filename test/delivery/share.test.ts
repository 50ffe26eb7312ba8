import { expect, test } from 'vitest';
import { Endpoint } from '../../src/delivery/schedule/endpoint.ts';
import { shareOf } from '../../src/delivery/schedule/share.ts';
import { testWebhook } from './memory-store.ts';

const breaker = { threshold: 5, firstMs: 1_000, maxMs: 1_000 };

/** The endpoints of one webhook in so many processes. */
function endpointsOf(
  processes: number,
  limits: { maxInFlight?: number; ratePerSecond?: number },
): Endpoint[] {
  return Array.from({ length: processes }, (_, rank) => {
    const endpoint = new Endpoint(testWebhook(1, 'https://hooks.example.com/', limits), breaker, 0);
    endpoint.setShare({ rank, of: processes }, 0);
    return endpoint;
  });
}

test.each([
  [8, 1],
  [8, 3],
  [2, 5],
  [1, 2],
])('%i requests at once are divided among %i processes, and are all used', (maxInFlight, processes) => {
  const limits = endpointsOf(processes, { maxInFlight }).map((endpoint) => endpoint.limit(0, Infinity));
  expect(limits.reduce((sum, limit) => sum + limit)).toBe(maxInFlight);
  expect(shareOf(maxInFlight, { rank: 0, of: processes })).toBe(limits[0]);
});

test.each([
  [10, 8, 1],
  [10, 8, 2],
  [100, 8, 4],
  [10, 1, 3],
])('%i requests a second with %i at once hold over %i processes', (ratePerSecond, maxInFlight, processes) => {
  const endpoints = endpointsOf(processes, { ratePerSecond, maxInFlight });
  let sent = 0;
  const seconds = 100;
  for (let nowMs = 1; nowMs <= seconds * 1_000; nowMs += 1) {
    for (const endpoint of endpoints) if (endpoint.admit(nowMs, 64) === 0) sent += 1;
  }
  expect(sent).toBeLessThanOrEqual(ratePerSecond * seconds + processes * Math.max(1, ratePerSecond / 10));
  expect(sent).toBeGreaterThan(ratePerSecond * seconds * 0.95);
});

test('a process without a part of the limit takes nothing from the store, and all of it when the others are gone', () => {
  const [, second] = endpointsOf(2, { maxInFlight: 1 });
  expect(second!.room(0)).toBe(0);
  expect(second!.admit(0, 64)).toBe(Infinity);
  second!.setShare({ rank: 0, of: 1 }, 0);
  expect(second!.room(0)).toBeGreaterThan(0);
  expect(second!.admit(0, 64)).toBe(0);
});
