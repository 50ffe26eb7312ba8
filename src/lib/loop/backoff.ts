export interface BackoffOptions {
  firstMs: number;
  maxMs: number;
  /** 0 to 1: the part of each delay that is random, so that many readers do not return at once. */
  jitter?: number;
}

/** The delay before try `attempt` (0 is the first): doubles from `firstMs` to `maxMs`, with jitter. */
export function backoffMs(attempt: number, { firstMs, maxMs, jitter = 0.2 }: BackoffOptions): number {
  const plain = Math.min(maxMs, firstMs * 2 ** Math.min(attempt, 30));
  return Math.round(plain * (1 + jitter * (Math.random() * 2 - 1)));
}
