import { monotonicMs, sleep } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Background } from '../../lib/loop/loop.ts';
import { FailureLog } from '../../lib/loop/failure-log.ts';
import type { ClaimedDelivery, Webhook } from '../../outbox/types.ts';
import { Attempts } from './attempts.ts';
import type { BreakerOptions } from './breaker.ts';
import { Claimer } from './claimer.ts';
import type { Endpoint } from './endpoint.ts';
import { Endpoints } from './endpoints.ts';
import type { Sender } from '../send/send.ts';
import { Settler } from './settler.ts';
import type { Share } from './share.ts';
import { Slots } from './slots.ts';
import type { Attempted, DispatcherStats, DeliveryStore, Room, Settlement } from '../types.ts';

export interface DispatcherOptions {
  verbs: DeliveryStore;
  sender: Sender;
  log: Log;
  /** Maximum number of requests in flight, over all webhooks. */
  concurrency: number;
  retryScheduleMs: readonly number[];
  /** How often the store is asked when nothing is known to be due, ms. Default 1,000. */
  pollMs?: number;
  /** How long a delivery waits here before its claim is handed back, ms: claims must outlast it and the request. Default 30,000. */
  holdMs?: number;
  /** How long `stop` waits for requests in flight before it aborts them, ms. Default 10,000. */
  drainMs?: number;
  breaker?: Partial<BreakerOptions>;
  /** Logs lasting failures, together with those of other parts. */
  outages?: FailureLog;
  /** Called for every attempt: metrics. */
  onAttempt?(attempted: Attempted): void;
}

const maximumQueued = 4_096;
const maximumQueuedCharacters = 32 * 2 ** 20;
const maximumUnsettled = 8_192;
const holdMs = 30_000;
/** How many times in `holdMs` the dispatcher looks for deliveries that have waited too long: each look reads all that wait. */
const looksPerHold = 30;
/** How long `stop` waits for the store. */
const settleBoundMs = 5_000;

/** The breaker's pauses are never longer than the delays of the retry schedule. */
function toBreaker({ retryScheduleMs, breaker }: DispatcherOptions): BreakerOptions {
  const firstMs = Math.min(5_000, retryScheduleMs[0] ?? 5_000);
  const maxMs = Math.min(60_000, Math.max(firstMs, ...retryScheduleMs));
  return { threshold: 5, firstMs, maxMs, ...breaker };
}

/**
 * The engine in memory: takes claimed deliveries (fresh ones from capture by `accept`, all others by claiming), sends them within every limit, and records
 * their outcomes. It knows no SQL: it reaches the store through the DeliveryStore interface.
 *
 *   accept, claim ──▶ lanes of the endpoint ──▶ its turn for a slot ──▶ sent ──▶ settled: delivered | retry | exhausted
 *                        └── too old, webhook gone, endpoint failing, stopping ──▶ released
 */
export class Dispatcher implements Background {
  readonly #options: DispatcherOptions;
  readonly #settler: Settler;
  readonly #slots: Slots;
  readonly #claimer: Claimer;
  readonly #endpoints: Endpoints;
  readonly #attempts: Attempts;
  /** Accepted deliveries whose outcome is not recorded in the store yet. */
  readonly #held = new Set<ClaimedDelivery>();
  #lookAgainMs = 0;
  #stopping = false;
  #drained = Promise.withResolvers<undefined>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#slots = new Slots(options.concurrency);
    this.#endpoints = new Endpoints({ breaker: toBreaker(options), taken: this.#slots.taken });
    this.#attempts = new Attempts(options);
    const outages = options.outages ?? new FailureLog(options.log);
    this.#settler = new Settler({
      verbs: options.verbs,
      onSettled: (written, due) => this.#afterSettling(written, due),
      reports: outages.part('outcomes could not be recorded, trying again'),
    });
    this.#claimer = new Claimer({
      claim: (wants) => options.verbs.claim(wants),
      beforeRound: () => this.#releaseOld(monotonicMs()),
      endpoints: this.#endpoints,
      totalRoom: () => this.#totalRoom(),
      accept: (deliveries) => this.accept(deliveries),
      pollMs: options.pollMs ?? 1_000,
      reports: outages.part('deliveries could not be claimed, trying again'),
    });
  }

  start(): void {
    this.#stopping = false;
    this.#claimer.start();
  }

  /** Returns waiting deliveries to the queue, waits for requests in flight, aborts slow ones, and records all outcomes. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#claimer.stop();
    for (const endpoint of this.#endpoints) this.#settler.release(endpoint.takeAll());
    if (!(await this.#drainedWithin(this.#options.drainMs ?? 10_000))) {
      await this.#options.sender.close();
      await this.#drainedWithin(settleBoundMs);
    }
    await this.#settler.flush(settleBoundMs);
  }

  /** Applies the present subscriptions. Deliveries that wait for a deleted or inactive webhook are released. */
  setWebhooks(webhooks: readonly Webhook[]): void {
    this.#settler.release(this.#endpoints.setWebhooks(webhooks, monotonicMs()));
    this.wake();
  }

  /** Sets this process's share of each webhook's limits, which apply to all processes together. */
  setShare(share: Share): void {
    const nowMs = monotonicMs();
    if (!this.#endpoints.setShare(share, nowMs)) return;
    for (const endpoint of this.#endpoints) {
      // Deliveries that this process may not send are left to other processes.
      if (endpoint.stock(nowMs) === 0) this.#settler.release(endpoint.takeAll());
      else this.#enlist(endpoint, nowMs);
    }
    this.#pump();
    this.wake();
  }

  /** How many fresh deliveries capture may mark as claimed by this process now, of all webhooks and of one. */
  room(): Room {
    const nowMs = monotonicMs();
    return {
      total: this.#totalRoom(),
      of: (webhookId) => this.#endpoints.get(webhookId)?.room(nowMs) ?? 0,
    };
  }

  /** Accepts deliveries that this process has claimed, those of a lane in order. It releases at once deliveries that it cannot send. */
  accept(deliveries: readonly ClaimedDelivery[]): void {
    const nowMs = monotonicMs();
    for (const delivery of deliveries) this.#held.add(delivery);
    const refused = deliveries.filter((delivery) => !this.#take(delivery, nowMs));
    this.#settler.release(refused);
    this.#pump();
  }

  /** Ids of all deliveries that this process knows it has claimed: any other claim under its name in the store is orphaned. */
  held(): Set<number> {
    return new Set([...this.#held].map(({ id }) => id));
  }

  /** Signals that the store may have something due: queries it at once. */
  wake(): void {
    this.#claimer.askIn(0);
  }

  stats(): DispatcherStats {
    const nowMs = monotonicMs();
    return {
      inFlight: this.#slots.taken.total,
      queued: this.#endpoints.queued().deliveries,
      unsettled: this.#settler.backlog,
      webhooks: [...this.#endpoints].map((endpoint) => ({
        webhookId: endpoint.webhook.id,
        inFlight: endpoint.inFlight,
        queued: endpoint.queued,
        breaker: endpoint.breakerState(nowMs),
      })),
    };
  }

  /** The maximum number of requests in flight for one endpoint. */
  get #cap(): number {
    return this.#slots.cap(this.#endpoints.count);
  }

  get #isOverfull(): boolean {
    return this.#settler.backlog > maximumUnsettled;
  }

  #totalRoom(): number {
    if (this.#stopping || this.#isOverfull) return 0;
    const { deliveries, characters } = this.#endpoints.queued();
    return characters > maximumQueuedCharacters ? 0 : Math.max(0, maximumQueued - deliveries);
  }

  #take(delivery: ClaimedDelivery, nowMs: number): boolean {
    const endpoint = this.#stopping ? undefined : this.#endpoints.get(delivery.webhookId);
    if (endpoint === undefined || !endpoint.put(delivery, nowMs)) return false;
    this.#enlist(endpoint, nowMs);
    return true;
  }

  #releaseOld(nowMs: number): void {
    if (nowMs < this.#lookAgainMs) return;
    const boundMs = this.#options.holdMs ?? holdMs;
    this.#lookAgainMs = nowMs + boundMs / looksPerHold;
    for (const endpoint of this.#endpoints) this.#settler.release(endpoint.takeOlder(nowMs - boundMs));
  }

  /** Queues an endpoint for a slot if it has work and may send; otherwise the end of a request or its timer queues it again. */
  #enlist(endpoint: Endpoint, nowMs: number): void {
    if (endpoint.hasWork && endpoint.inFlight < endpoint.limit(nowMs, this.#cap))
      this.#slots.enlist(endpoint);
  }

  /** Sends as many deliveries as the limits allow. */
  #pump(): void {
    if (this.#stopping || this.#isOverfull) return;
    for (let endpoint = this.#slots.next(); endpoint !== undefined; endpoint = this.#slots.next()) {
      const nowMs = monotonicMs();
      if (this.#serve(endpoint, nowMs)) this.#enlist(endpoint, nowMs);
    }
  }

  /** Sends one delivery of an endpoint. Returns false when its limits forbid it just now. */
  #serve(endpoint: Endpoint, nowMs: number): boolean {
    if (!endpoint.hasWork) return false;
    const waitMs = endpoint.admit(nowMs, this.#cap);
    if (waitMs > 0) {
      if (waitMs !== Infinity) this.#resumeIn(endpoint, waitMs);
      return false;
    }
    void this.#attempt(endpoint, endpoint.begin()!);
    return true;
  }

  /** Resumes an endpoint when its rate limit or its breaker allows it. */
  #resumeIn(endpoint: Endpoint, waitMs: number): void {
    if (this.#stopping) return;
    endpoint.resumeIn(waitMs, () => {
      this.#enlist(endpoint, monotonicMs());
      this.#pump();
      this.#claimer.feed(endpoint);
    });
  }

  async #attempt(endpoint: Endpoint, delivery: ClaimedDelivery): Promise<void> {
    const { webhook } = endpoint;
    const { settlement, disables, triesAgain } = await this.#attempts.make(webhook, delivery);
    const { outcome, next } = settlement;
    const nowMs = monotonicMs();
    endpoint.end();
    const opened = triesAgain ? false : endpoint.record(outcome, nowMs);
    this.#settle(settlement, endpoint);
    if (opened) this.#pause(endpoint, nowMs);
    if (disables) this.#disable(endpoint);
    this.#options.onAttempt?.({ webhook, delivery, outcome, next });
    this.#enlist(endpoint, nowMs);
    this.#pump();
    this.#claimer.feed(endpoint);
    if (this.#slots.taken.total === 0) this.#drained.resolve(undefined);
  }

  #settle(settlement: Settlement, endpoint: Endpoint): void {
    const { delivery, next } = settlement;
    this.#settler.add(settlement);
    if (next.kind === 'retry') {
      this.#settler.release(endpoint.giveBack(delivery));
      this.#claimer.askIn(next.delayMs);
    } else {
      endpoint.finish(delivery);
    }
  }

  /** The breaker opened: waiting deliveries are released. The endpoint gets deliveries again when a probe is due. */
  #pause(endpoint: Endpoint, nowMs: number): void {
    const pauseMs = (endpoint.pausedUntilMs ?? nowMs) - nowMs;
    const { webhook, failures } = endpoint;
    this.#options.log.warn(
      { webhook: webhook.name, failures, pauseMs: Math.round(pauseMs) },
      'endpoint fails: its deliveries wait',
    );
    this.#settler.release(endpoint.takeAll());
    this.#resumeIn(endpoint, pauseMs);
  }

  #disable(endpoint: Endpoint): void {
    if (!endpoint.block()) return;
    this.#settler.release(endpoint.takeAll());
    this.#settler.disable(endpoint.webhook.id);
  }

  #afterSettling(written: readonly ClaimedDelivery[], due: boolean): void {
    for (const delivery of written) this.#held.delete(delivery);
    if (due) this.wake();
    this.#pump();
  }

  async #drainedWithin(boundMs: number): Promise<boolean> {
    if (this.#slots.taken.total === 0) return true;
    this.#drained = Promise.withResolvers();
    const bound = new AbortController();
    await Promise.race([this.#drained.promise, sleep(boundMs, bound.signal)]);
    bound.abort();
    return this.#slots.taken.total === 0;
  }
}
