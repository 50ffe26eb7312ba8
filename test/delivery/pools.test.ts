import { afterEach, beforeEach, expect, test } from 'vitest';
import { createGuard, type Target } from '../../src/delivery/send/guard.ts';
import { Pools } from '../../src/delivery/send/pools.ts';

const target = (index: number): Target => ({
  origin: `https://place-${index}.example.com`,
  path: '/',
  port: 443,
});

let pools: Pools;

beforeEach(() => {
  pools = new Pools({
    guard: createGuard({ allowHttp: false, allowPrivateNetworks: [], allowedPorts: [443], forbidden: [] }),
    resolve: () => Promise.resolve([]),
    ca: undefined,
    maximum: 4,
  });
});

afterEach(() => pools.close());

test('one place, deadline and certificate has one pool', () => {
  const first = pools.acquire(target(1), { timeoutMs: 1_000, client: undefined });
  expect(pools.acquire({ ...target(1), path: '/other' }, { timeoutMs: 1_000, client: undefined })).toBe(
    first,
  );
  expect(pools.acquire(target(1), { timeoutMs: 2_000, client: undefined })).not.toBe(first);
  const client = { cert: 'c', key: 'k' };
  expect(pools.acquire(target(1), { timeoutMs: 1_000, client })).not.toBe(first);
});

test('are bounded, however many places there are: the one idle for longest goes', () => {
  const held = pools.acquire(target(0), { timeoutMs: 1_000, client: undefined });
  for (let index = 1; index <= 20; index += 1) {
    pools.release(pools.acquire(target(index), { timeoutMs: 1_000, client: undefined }));
    expect(pools.size).toBeLessThanOrEqual(4);
  }
  expect(pools.acquire(target(0), { timeoutMs: 1_000, client: undefined })).toBe(held);
});

test('one in use is never closed, even when there are too many', () => {
  const held = Array.from({ length: 6 }, (_, index) =>
    pools.acquire(target(index), { timeoutMs: 1_000, client: undefined }),
  );
  expect(pools.size).toBe(6);
  expect(held.every(({ dispatcher }) => !('closed' in dispatcher && dispatcher.closed))).toBe(true);
  for (const pool of held) pools.release(pool);
  pools.release(pools.acquire(target(7), { timeoutMs: 1_000, client: undefined }));
  expect(pools.size).toBe(4);
});
