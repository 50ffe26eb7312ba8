export interface BreakerOptions {
  /** Consecutive failures that open it. */
  threshold: number;
  /** How long it stays open the first time; doubles with every failed probe, up to `maxMs`. */
  firstMs: number;
  maxMs: number;
}

/**
 * Prevents requests to a dead endpoint for all its waiting deliveries:
 *
 *   closed ──(threshold failures in a row)──▶ open ──(its time is over)──▶ probing
 *     ▲                                        ▲                             │
 *     └───────────── an answer ────────────────┼─────────────────────────────┤
 *                                              └── failure: twice as long ───┘
 */
export class Breaker {
  readonly #options: BreakerOptions;
  #failures = 0;
  #openings = 0;
  #openUntilMs: number | undefined;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  /** When the next probe may be sent, by the given clock; undefined while closed. */
  get openUntilMs(): number | undefined {
    return this.#openUntilMs;
  }

  /** Number of consecutive failures. */
  get failures(): number {
    return this.#failures;
  }

  state(nowMs: number): 'closed' | 'open' | 'probing' {
    if (this.#openUntilMs === undefined) return 'closed';
    return nowMs < this.#openUntilMs ? 'open' : 'probing';
  }

  /** The endpoint answered. */
  succeed(): void {
    this.#failures = 0;
    this.#openings = 0;
    this.#openUntilMs = undefined;
  }

  /** Returns whether this failure opened it (again). Failures of requests that were in flight when it opened do not count. */
  fail(nowMs: number): boolean {
    this.#failures += 1;
    if (this.#failures < this.#options.threshold || this.state(nowMs) === 'open') return false;
    const delayMs = Math.min(this.#options.maxMs, this.#options.firstMs * 2 ** Math.min(this.#openings, 20));
    this.#openings += 1;
    this.#openUntilMs = nowMs + delayMs;
    return true;
  }
}
