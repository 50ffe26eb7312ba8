import { isDeepStrictEqual } from 'node:util';
import type { ClaimedDelivery, Webhook } from '../../outbox/types.ts';
import { Breaker, type BreakerOptions } from './breaker.ts';
import { Lanes } from './lanes.ts';
import { shareOf, wholeShare, type Share } from './share.ts';
import { type Pace, TakenSlots } from './taken-slots.ts';
import { TokenBucket } from './token-bucket.ts';
import type { Outcome } from '../types.ts';

const quickMs = 1_000;
/** Maximum number of requests in flight for a new endpoint before its first answer. */
const firstWindow = 8;
/** The prefetch: as many deliveries wait in memory as the endpoint can take in this time. */
const stockMs = 3_000;
const maximumStock = 4_096;
/** Weight of the newest attempt in the average duration. */
const newestWeight = 0.2;

/** Whether the endpoint itself fails: no answer, 5xx, or too many requests. Other answers concern one delivery. */
function isTrouble(outcome: Outcome): boolean {
  if (outcome.kind === 'rejected') return outcome.status >= 500 || outcome.status === 429;
  return outcome.kind === 'failed' || outcome.kind === 'forbidden';
}

/** Whether an edit may make failing requests succeed. The end of a rotation does not: the present secret stays. */
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

/**
 * The state of one webhook in the dispatcher: its waiting deliveries, its requests in flight, and its performance. Only its methods change this state;
 * each change updates its slots in `taken`.
 */
export class Endpoint {
  readonly #lanes = new Lanes();
  readonly #breaker: Breaker;
  readonly #taken: TakenSlots;
  #webhook: Webhook;
  #bucket: TokenBucket | undefined;
  #window: number;
  #share = wholeShare;
  #averageMs: number | undefined;
  /** It failed before a restart, so it does not start as a new endpoint. */
  #wasFailing: boolean;
  #inFlight = 0;
  #isHungry = true;
  #isBlocked = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(webhook: Webhook, breaker: BreakerOptions, nowMs: number, taken = new TakenSlots()) {
    this.#webhook = webhook;
    this.#breaker = new Breaker(breaker);
    this.#taken = taken;
    this.#window = Math.min(firstWindow, webhook.maxInFlight);
    this.#wasFailing = typeof webhook.failingSinceMs === 'number';
    if (this.#wasFailing) this.#window = 1;
    this.#setRate(nowMs);
  }

  get webhook(): Webhook {
    return this.#webhook;
  }

  /** Requests in flight. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Number of waiting deliveries. */
  get queued(): number {
    return this.#lanes.size;
  }

  /** Characters of the bodies of waiting deliveries. */
  get queuedCharacters(): number {
    return this.#lanes.characters;
  }

  /** The store may have more deliveries for it than the last claim returned. */
  get isHungry(): boolean {
    return this.#isHungry;
  }

  /** A waiting delivery exists that no other delivery of its lane blocks. */
  get hasWork(): boolean {
    return !this.#isBlocked && this.#lanes.readyCount > 0;
  }

  /** Consecutive failures. */
  get failures(): number {
    return this.#breaker.failures;
  }

  /** When the breaker lets a probe go, by the monotonic clock; undefined while it is closed. */
  get pausedUntilMs(): number | undefined {
    return this.#breaker.openUntilMs;
  }

  breakerState(nowMs: number): ReturnType<Breaker['state']> {
    return this.#breaker.state(nowMs);
  }

  /** Applies an edited subscription. After a change that may be a correction the endpoint counts as new. */
  update(webhook: Webhook, nowMs: number): void {
    const previous = this.#webhook;
    this.#webhook = webhook;
    this.#isBlocked = false;
    if (mayArriveNow(previous, webhook)) this.#enter(() => this.#forget());
    this.#window = Math.min(this.#window, webhook.maxInFlight);
    if (webhook.ratePerSecond !== previous.ratePerSecond || webhook.maxInFlight !== previous.maxInFlight)
      this.#setRate(nowMs);
  }

  /** Sets another share of the limits, after a process began or ended. */
  setShare(share: Share, nowMs: number): void {
    const isPaced = share.of !== this.#share.of;
    this.#share = share;
    if (isPaced) this.#setRate(nowMs);
  }

  /** This process's share of `max_in_flight`; 0 when there are more processes than allowed requests. */
  get #mostInFlight(): number {
    return shareOf(this.#webhook.maxInFlight, this.#share);
  }

  /** This process's share of the rate: every process that may send has the same share. */
  get #ratePerSecond(): number | null {
    const { maxInFlight, ratePerSecond } = this.#webhook;
    return ratePerSecond && ratePerSecond / Math.min(this.#share.of, maxInFlight);
  }

  get pace(): Pace {
    if (this.#breaker.failures > 0) return 'failing';
    if (this.#averageMs === undefined) return this.#wasFailing ? 'failing' : 'slow';
    return this.#averageMs <= quickMs ? 'quick' : 'slow';
  }

  /** How many requests may be in flight now; `cap` is the dispatcher's limit for one endpoint. */
  limit(nowMs: number, cap: number): number {
    switch (this.#breaker.state(nowMs)) {
      case 'open':
        return 0;
      case 'probing':
        return Math.min(1, this.#mostInFlight);
      case 'closed':
        return Math.min(this.#window, cap, this.#mostInFlight);
    }
  }

  /**
   * Asks to send one request: returns 0 when it may be sent (this uses a token of the rate limit), otherwise the time to wait, ms; Infinity when a request
   * in flight must end first.
   */
  admit(nowMs: number, cap: number): number {
    if (this.#inFlight >= this.limit(nowMs, cap)) return Infinity;
    if (this.#bucket === undefined || this.#bucket.take(nowMs)) return 0;
    return this.#bucket.waitMs;
  }

  /** How many deliveries to hold in memory: as many as it sends in 3 s at its present pace. */
  stock(nowMs: number): number {
    if (this.#isBlocked) return 0;
    const limit = this.limit(nowMs, Infinity);
    if (limit === 0) return 0;
    if (this.#breaker.state(nowMs) !== 'closed') return limit;
    const perMs = limit / Math.max(this.#averageMs ?? quickMs, 0.1);
    const paced = Math.min(perMs, (this.#ratePerSecond ?? Infinity) / 1_000);
    return Math.min(maximumStock, Math.max(1, Math.ceil(paced * stockMs)));
  }

  /** How many more deliveries it accepts now. */
  room(nowMs: number): number {
    const taken = this.#lanes.size + (this.#breaker.state(nowMs) === 'closed' ? 0 : this.#inFlight);
    return Math.max(0, this.stock(nowMs) - taken);
  }

  /** Adds a delivery; false when the endpoint is blocked. */
  put(delivery: ClaimedDelivery, nowMs: number): boolean {
    if (this.#isBlocked) return false;
    this.#lanes.put(delivery, nowMs);
    return true;
  }

  /** Begins a request: removes the delivery to send, which is in flight until `end`; undefined when none is ready. */
  begin(): ClaimedDelivery | undefined {
    const delivery = this.#lanes.next();
    if (delivery !== undefined) this.#enter(() => (this.#inFlight += 1));
    return delivery;
  }

  /** Ends a request. `finish` or `giveBack` then decides about its delivery in its lane. */
  end(): void {
    this.#enter(() => (this.#inFlight -= 1));
  }

  /** Ends a delivery for good: the next of its lane may go. */
  finish(delivery: ClaimedDelivery): void {
    this.#lanes.finish(delivery);
  }

  /** Ends a delivery that will be tried again later. Returns those behind it in its lane, which must go back too. */
  giveBack(delivery: ClaimedDelivery): ClaimedDelivery[] {
    return this.#lanes.giveBack(delivery);
  }

  /** Removes all deliveries that arrived before `beforeMs`, and everything behind them in their lanes. */
  takeOlder(beforeMs: number): ClaimedDelivery[] {
    return this.queued === 0 ? [] : this.#lanes.takeOlder(beforeMs);
  }

  /** Removes all waiting deliveries, and cancels `resumeIn`. */
  takeAll(): ClaimedDelivery[] {
    clearTimeout(this.#timer);
    return this.takeOlder(Infinity);
  }

  /** Accepts no more deliveries until the next `update`, because the webhook is being disabled. Returns false if it was blocked already. */
  block(): boolean {
    const isNews = !this.#isBlocked;
    this.#isBlocked = true;
    return isNews;
  }

  /** Records a claim: whether the store may have more than it returned. */
  noteClaim(mayHaveMore: boolean): void {
    this.#isHungry = mayHaveMore;
  }

  /** Calls `resume` after this many ms, replacing an earlier timer: the rate limit or the breaker then allows the next request. */
  resumeIn(waitMs: number, resume: () => void): void {
    clearTimeout(this.#timer);
    // A timer may fire a fraction of a millisecond early.
    this.#timer = setTimeout(resume, Math.ceil(waitMs) + 1);
  }

  /** Records an outcome. Returns whether the breaker opened: then one delivery must be claimed for the probe. */
  record(outcome: Outcome, nowMs: number): boolean {
    return this.#enter(() => {
      if (!isTrouble(outcome)) {
        this.#recordAnswer(outcome.durationMs);
        return false;
      }
      this.#window = Math.max(1, Math.floor(this.#window / 2));
      const opened = this.#breaker.fail(nowMs);
      if (opened) this.#isHungry = true;
      return opened;
    });
  }

  #recordAnswer(durationMs: number): void {
    this.#breaker.succeed();
    this.#window = Math.min(this.#webhook.maxInFlight, this.#window + 1);
    this.#averageMs = (this.#averageMs ?? durationMs) * (1 - newestWeight) + durationMs * newestWeight;
  }

  /** Treats the endpoint as a new one. */
  #forget(): void {
    this.#breaker.succeed();
    this.#averageMs = undefined;
    this.#wasFailing = false;
    this.#window = firstWindow;
  }

  /** Makes a change that may alter the pace or the requests in flight, and updates the taken slots. */
  #enter<T>(change: () => T): T {
    const before = { pace: this.pace, inFlight: this.#inFlight };
    const result = change();
    this.#taken.replace(before, { pace: this.pace, inFlight: this.#inFlight });
    return result;
  }

  #setRate(nowMs: number): void {
    const rate = this.#ratePerSecond;
    this.#bucket = rate === null ? undefined : new TokenBucket(rate, nowMs);
  }
}
