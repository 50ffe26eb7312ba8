import { setImmediate, setTimeout as delay } from 'node:timers/promises';

/** The source of time; a parameter, so that tests can set the time. */
export interface Clock {
  /** Milliseconds since 1970-01-01 UTC. */
  now(): number;
}

export const systemClock: Clock = { now: () => Date.now() };

/** Milliseconds of a monotonic clock, for measuring durations. */
export function monotonicMs(): number {
  return performance.now();
}

/** Waits `ms`, or until the signal aborts: then it returns early, it does not throw. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(Math.min(ms, 2_147_483_647), undefined, signal ? { signal } : {});
  } catch (error) {
    if (!signal?.aborted) throw error;
  }
}

/** Yields to the event loop, so that pending I/O is handled before a long computation continues. */
export async function yieldToEventLoop(): Promise<void> {
  await setImmediate();
}
