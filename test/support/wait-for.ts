import { monotonicMs, sleep } from '../../src/lib/clock.ts';

export interface WaitOptions {
  /** Default 30 s: a condition that holds early costs nothing, and a busy machine is slow. */
  timeoutMs?: number;
  /** Ends the sentence "Waited in vain for …". */
  what?: string;
  /** Interval between two checks; default 20 ms. */
  everyMs?: number;
}

/**
 * Checks the condition repeatedly until it returns a truthy value, and returns that value. A condition that throws counts as not
 * yet true; its last error is the cause if the time runs out.
 */
export async function waitFor<T>(
  condition: () => T | Promise<T>,
  { timeoutMs = 30_000, what = 'the condition', everyMs = 20 }: WaitOptions = {},
): Promise<NonNullable<T>> {
  const deadline = monotonicMs() + timeoutMs;
  let cause: unknown;
  for (;;) {
    try {
      const value = await condition();
      if (value) return value;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    if (monotonicMs() > deadline) throw new Error(`Waited in vain for ${what} (${timeoutMs} ms)`, { cause });
    await sleep(everyMs);
  }
}
