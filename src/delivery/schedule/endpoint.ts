import { isDeepStrictEqual } from 'node:util';
import type { ClaimedDelivery, Webhook } from '../../outbox/types.ts';
import { Breaker, type BreakerOptions } from './breaker.ts';
import { Lanes } from './lanes.ts';
import { shareOf, wholeShare, type Share } from './share.ts';
import { type Pace, TakenSlots } from './taken-slots.ts';
import { TokenBucket } from './token-bucket.ts';
import type { Outcome } from '../types.ts';

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

/**
 * One webhook as the dispatcher drives it: what waits for it, what is underway, and how it performs. All of that changes only in
 * its methods; what it holds of the slots is entered into `taken` with each change.
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
  /** Known to fail from before a restart: it does not get the benefit of the doubt again. */
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

  /** Requests underway. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Deliveries that wait here. */
  get queued(): number {
    return this.#lanes.size;
  }

  /** Characters of the bodies that wait here. */
  get queuedCharacters(): number {
    return this.#lanes.characters;
  }

  /** The store may have more for it than the last claim brought. */
  get isHungry(): boolean {
    return this.#isHungry;
  }

  /** A delivery waits that need not wait for another one of its lane. */
  get hasWork(): boolean {
    return !this.#isBlocked && this.#lanes.readyCount > 0;
  }

  /** Failures in a row. */
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

  /** Takes over an edited subscription. After a change that may be a correction the endpoint is taken for a new one. */
  update(webhook: Webhook, nowMs: number): void {
    const previous = this.#webhook;
    this.#webhook = webhook;
    this.#isBlocked = false;
    if (mayArriveNow(previous, webhook)) this.#enter(() => this.#forget());
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
    if (this.#breaker.failures > 0) return 'failing';
    if (this.#averageMs === undefined) return this.#wasFailing ? 'failing' : 'slow';
    return this.#averageMs <= quickMs ? 'quick' : 'slow';
  }

  /** How many requests may be underway now, of `cap` that the dispatcher would give to any one endpoint. */
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
   * Asks to send one request: 0 when it may go (a token of the rate limit is then used up), else how long it must wait, ms;
   * Infinity when something underway must end first.
   */
  admit(nowMs: number, cap: number): number {
    if (this.#inFlight >= this.limit(nowMs, cap)) return Infinity;
    if (this.#bucket === undefined || this.#bucket.take(nowMs)) return 0;
    return this.#bucket.waitMs;
  }

  /** How many deliveries it is worth having in memory: what goes out in 3 s at its present pace. */
  stock(nowMs: number): number {
    if (this.#isBlocked) return 0;
    const limit = this.limit(nowMs, Infinity);
    if (limit === 0) return 0;
    if (this.#breaker.state(nowMs) !== 'closed') return limit;
    const perMs = limit / Math.max(this.#averageMs ?? quickMs, 0.1);
    const paced = Math.min(perMs, (this.#ratePerSecond ?? Infinity) / 1_000);
    return Math.min(maximumStock, Math.max(1, Math.ceil(paced * stockMs)));
  }

  /** How many more deliveries it takes into memory now. */
  room(nowMs: number): number {
    const taken = this.#lanes.size + (this.#breaker.state(nowMs) === 'closed' ? 0 : this.#inFlight);
    return Math.max(0, this.stock(nowMs) - taken);
  }

  /** Takes a delivery in; false when the endpoint is blocked. */
  put(delivery: ClaimedDelivery, nowMs: number): boolean {
    if (this.#isBlocked) return false;
    this.#lanes.put(delivery, nowMs);
    return true;
  }

  /** Begins a request: takes out the delivery to send, which is underway until `end`; undefined when none is ready. */
  begin(): ClaimedDelivery | undefined {
    const delivery = this.#lanes.next();
    if (delivery !== undefined) this.#enter(() => (this.#inFlight += 1));
    return delivery;
  }

  /** Ends a request. What becomes of its delivery in its lane is for `finish` or `giveBack`. */
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

  /** Takes out all that came in before `beforeMs`, with everything behind it in its lane. */
  takeOlder(beforeMs: number): ClaimedDelivery[] {
    return this.queued === 0 ? [] : this.#lanes.takeOlder(beforeMs);
  }

  /** Takes out all that waits, and cancels `resumeIn`. */
  takeAll(): ClaimedDelivery[] {
    clearTimeout(this.#timer);
    return this.takeOlder(Infinity);
  }

  /** Takes in no more until the next `update`: the webhook is being disabled. Returns whether that is news. */
  block(): boolean {
    const isNews = !this.#isBlocked;
    this.#isBlocked = true;
    return isNews;
  }

  /** Takes note of a claim: whether the store may have more than it brought. */
  noteClaim(mayHaveMore: boolean): void {
    this.#isHungry = mayHaveMore;
  }

  /** Calls `resume` in so many ms, in place of an earlier one: the rate limit or the breaker lets the next request go then. */
  resumeIn(waitMs: number, resume: () => void): void {
    clearTimeout(this.#timer);
    // A timer may fire a fraction of a millisecond early.
    this.#timer = setTimeout(resume, Math.ceil(waitMs) + 1);
  }

  /** Learns from an outcome. Returns whether the breaker opened: then one delivery is to be claimed for the probe. */
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

  /** Makes a change that may alter the pace or the requests underway, and enters it into the slots taken. */
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
