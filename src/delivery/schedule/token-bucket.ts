/** Allows `ratePerSecond` requests a second, with a burst of at most a tenth of a second. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #capacity: number;
  #tokens: number;
  #filledMs: number;

  constructor(ratePerSecond: number, nowMs: number) {
    this.#perMs = ratePerSecond / 1_000;
    this.#capacity = Math.max(1, ratePerSecond / 10);
    this.#tokens = this.#capacity;
    this.#filledMs = nowMs;
  }

  /** Takes a token if there is one. */
  take(nowMs: number): boolean {
    this.#tokens = Math.min(this.#capacity, this.#tokens + (nowMs - this.#filledMs) * this.#perMs);
    this.#filledMs = nowMs;
    // Rounding may leave the sum of the clock's fractions slightly below a whole token.
    if (this.#tokens < 1 - 1e-9) return false;
    this.#tokens -= 1;
    return true;
  }

  /** How long until there is a token, ms. Valid only right after `take` returned false. */
  get waitMs(): number {
    return Math.ceil((1 - this.#tokens) / this.#perMs);
  }
}
