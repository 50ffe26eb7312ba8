import { isDeepStrictEqual } from 'node:util';
import type { Webhook } from '../../outbox/types.ts';
import { Breaker, type BreakerOptions } from './breaker.ts';
import { Lanes } from './lanes.ts';
import { shareOf, wholeShare, type Share } from './share.ts';
import { TokenBucket } from './token-bucket.ts';
import type { Outcome } from '../types.ts';

/**
 * How an endpoint does, which decides the slots it may share: `quick` has answered, within a second on average;
 * `slow` has not (yet); `failing` failed last.
 */
export type Pace = 'quick' | 'slow' | 'failing';

const quickMs = 1_000;
/** How many requests a new endpoint may have underway before its first answer. */
const firstWindow = 8;
/** How much work waits in memory: what the endpoint can do in this time. */
const stockMs = 3_000;
const maximumStock = 4_096;
/** Weight of the newest attempt in the average duration. */
const newestWeight = 0.2;

/** Whether the endpoint itself is in trouble: no answer, 5xx, or too many requests. Other answers concern one delivery. */
function isTrouble(outcome: Outcome): boolean {
  if (outcome.kind === 'rejected') return outcome.status >= 500 || outcome.status === 429;
  return outcome.kind === 'failed' || outcome.kind === 'forbidden';
}

/** Whether an edit changes what decides that a request arrives. The end of a rotation does not: the present secret stays. */
function mayArriveNow(before: Webhook, after: Webhook): boolean {
  return (
    before.url !== after.url ||
    before.secrets[0] !== after.secrets[0] ||
    before.timeoutMs !== after.timeoutMs ||
    before.clientCertificate !== after.clientCertificate ||
    before.maxInFlight !== after.maxInFlight ||
    before.ratePerSecond !== after.ratePerSecond ||
    !isDeepStrictEqual(before.headers, after.headers)
  );
}

/** One webhook as the dispatcher drives it: what waits for it, what is underway, and how it does. */
export class Endpoint {
  readonly lanes = new Lanes();
  readonly breaker: Breaker;
  #webhook: Webhook;
  #bucket: TokenBucket | undefined;
  #window: number;
  #share = wholeShare;
  #averageMs: number | undefined;
  /** Known to fail from before a restart: it does not get the benefit of the doubt again. */
  #wasFailing: boolean;
  /** Requests underway. */
  inFlight = 0;
  /** In the dispatcher's ring. */
  enlisted = false;
  /** The store may have more for it than the last claim brought. */
  hungry = true;
  /** Disabled by us; the next snapshot of webhooks is to confirm it. */
  blocked = false;
  /** Wakes the dispatcher when a rate limit or the breaker lets the next one go. */
  timer: NodeJS.Timeout | undefined;

  constructor(webhook: Webhook, breaker: BreakerOptions, nowMs: number) {
    this.#webhook = webhook;
    this.breaker = new Breaker(breaker);
    this.#window = Math.min(firstWindow, webhook.maxInFlight);
    this.#wasFailing = typeof webhook.failingSinceMs === 'number';
    if (this.#wasFailing) this.#window = 1;
    this.#setRate(nowMs);
  }

  get webhook(): Webhook {
    return this.#webhook;
  }

  /** Takes over an edited subscription. After a change that may be a correction the endpoint is taken for a new one. */
  update(webhook: Webhook, nowMs: number): void {
    const previous = this.#webhook;
    this.#webhook = webhook;
    this.blocked = false;
    if (mayArriveNow(previous, webhook)) {
      this.breaker.succeed();
      this.#averageMs = undefined;
      this.#wasFailing = false;
      this.#window = firstWindow;
    }
    this.#window = Math.min(this.#window, webhook.maxInFlight);
    if (webhook.ratePerSecond !== previous.ratePerSecond || webhook.maxInFlight !== previous.maxInFlight)
      this.#setRate(nowMs);
  }

  /** Takes another part of the limits, after a process began or ended. */
  setShare(share: Share, nowMs: number): void {
    const isPaced = share.of !== this.#share.of;
    this.#share = share;
    if (isPaced) this.#setRate(nowMs);
  }

  /** This process's part of `max_in_flight`; 0 where there are more processes than requests allowed. */
  get #mostInFlight(): number {
    return shareOf(this.#webhook.maxInFlight, this.#share);
  }

  /** This process's part of the rate: every process that may send has the same. */
  get #ratePerSecond(): number | null {
    const { maxInFlight, ratePerSecond } = this.#webhook;
    return ratePerSecond && ratePerSecond / Math.min(this.#share.of, maxInFlight);
  }

  get pace(): Pace {
    if (this.breaker.failures > 0) return 'failing';
    if (this.#averageMs === undefined) return this.#wasFailing ? 'failing' : 'slow';
    return this.#averageMs <= quickMs ? 'quick' : 'slow';
  }

  /** How many requests may be underway now, of `cap` that the dispatcher would give to any one endpoint. */
  limit(nowMs: number, cap: number): number {
    switch (this.breaker.state(nowMs)) {
      case 'open':
        return 0;
      case 'probing':
        return Math.min(1, this.#mostInFlight);
      case 'closed':
        return Math.min(this.#window, cap, this.#mostInFlight);
    }
  }

  /**
   * Asks to send one request: 0 when it may go (a token of the rate limit is then used up), else how long it must wait, ms;
   * Infinity when something underway must end first.
   */
  admit(nowMs: number, cap: number): number {
    if (this.inFlight >= this.limit(nowMs, cap)) return Infinity;
    if (this.#bucket === undefined || this.#bucket.take(nowMs)) return 0;
    return this.#bucket.waitMs;
  }

  /** How many deliveries it is worth having in memory: what goes out in 3 s at its present pace. */
  stock(nowMs: number): number {
    if (this.blocked) return 0;
    const limit = this.limit(nowMs, Infinity);
    if (limit === 0) return 0;
    if (this.breaker.state(nowMs) !== 'closed') return limit;
    const perMs = limit / Math.max(this.#averageMs ?? quickMs, 0.1);
    const paced = Math.min(perMs, (this.#ratePerSecond ?? Infinity) / 1_000);
    return Math.min(maximumStock, Math.max(1, Math.ceil(paced * stockMs)));
  }

  /** How many more deliveries it takes into memory now. */
  room(nowMs: number): number {
    const taken = this.lanes.size + (this.breaker.state(nowMs) === 'closed' ? 0 : this.inFlight);
    return Math.max(0, this.stock(nowMs) - taken);
  }

  /** Learns from an outcome. Returns whether the breaker opened. */
  record(outcome: Outcome, nowMs: number): boolean {
    if (isTrouble(outcome)) {
      this.#window = Math.max(1, Math.floor(this.#window / 2));
      return this.breaker.fail(nowMs);
    }
    this.breaker.succeed();
    this.#window = Math.min(this.#webhook.maxInFlight, this.#window + 1);
    const { durationMs } = outcome;
    this.#averageMs = (this.#averageMs ?? durationMs) * (1 - newestWeight) + durationMs * newestWeight;
    return false;
  }

  #setRate(nowMs: number): void {
    const rate = this.#ratePerSecond;
    this.#bucket = rate === null ? undefined : new TokenBucket(rate, nowMs);
  }
}
