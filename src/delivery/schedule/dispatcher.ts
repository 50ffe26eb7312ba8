import { monotonicMs, sleep, systemClock } from '../../lib/clock.ts';
import { messageOf } from '../../lib/errors.ts';
import type { Log } from '../../lib/log.ts';
import type { Background } from '../../lib/loop/loop.ts';
import { Outages } from '../../lib/loop/outages.ts';
import type { ClaimedDelivery, Webhook } from '../../outbox/types.ts';
import type { BreakerOptions } from './breaker.ts';
import { Claimer } from './claimer.ts';
import { Endpoint } from './endpoint.ts';
import { type NextStep, nextStep } from './retry.ts';
import { explainOutcome } from '../explain.ts';
import { toFailure } from '../send/failure.ts';
import type { Sender } from '../send/send.ts';
import { Settler } from './settler.ts';
import { wholeShare, type Share } from './share.ts';
import { Slots } from './slots.ts';
import type {
  Attempted,
  DispatcherStats,
  DispatcherVerbs,
  Outcome,
  Request,
  Room,
  Settlement,
} from '../types.ts';

export interface DispatcherOptions {
  verbs: DispatcherVerbs;
  sender: Sender;
  log: Log;
  /** Requests underway at once, over all webhooks. */
  concurrency: number;
  retryScheduleMs: readonly number[];
  /** How often the store is asked when nothing is known to be due, ms. Default 1,000. */
  pollMs?: number;
  /** How long a delivery waits here before its claim is handed back, ms: claims must outlast it and the request. Default 30,000. */
  holdMs?: number;
  /** How long `stop` waits for requests underway before it cuts them, ms. Default 10,000. */
  drainMs?: number;
  breaker?: Partial<BreakerOptions>;
  /** Where lasting failures are logged, together with other parts' failures. */
  outages?: Outages;
  /** Told of every attempt: metrics. */
  onAttempt?(attempted: Attempted): void;
}

const maximumQueued = 4_096;
const maximumQueuedCharacters = 32 * 2 ** 20;
const maximumUnsettled = 8_192;
const holdMs = 30_000;
/** How often it is looked for what has waited too long, as a part of `holdMs`: the look reads all that waits. */
const looksPerHold = 30;
/** How long `stop` waits for the store. */
const settleBoundMs = 5_000;

function toRequest(delivery: ClaimedDelivery, webhook: Webhook): Request {
  return {
    eventId: delivery.eventId,
    eventType: delivery.eventType,
    url: webhook.url,
    body: delivery.body,
    secrets: webhook.secrets,
    headers: webhook.headers,
    timeoutMs: webhook.timeoutMs,
    legacySignature: webhook.legacySignature,
    clientCertificate: webhook.clientCertificate,
  };
}

/** What the store records: a disabled webhook's delivery stays alive, it waits like a retry. */
function toRecordedStep(step: NextStep): Settlement['next'] {
  return step.kind === 'disable' ? { kind: 'retry', delayMs: step.delayMs } : step;
}

/**
 * The engine in memory: takes claimed deliveries (fresh ones from capture by `accept`, all others by claiming), sends them
 * within every limit, and settles what became of them. It knows no SQL: the store is behind its verbs.
 *
 *   accept, claim ──▶ lanes of the endpoint ──▶ its turn for a slot ──▶ sent ──▶ settled: delivered | retry | exhausted
 *                        └── too old, webhook gone, endpoint failing, stopping ──▶ released
 */
export class Dispatcher implements Background {
  readonly #options: DispatcherOptions;
  readonly #settler: Settler;
  readonly #slots: Slots;
  readonly #claimer: Claimer;
  readonly #endpoints = new Map<number, Endpoint>();
  readonly #breaker: BreakerOptions;
  /** Everything that was accepted and whose end the store does not know yet. */
  readonly #held = new Set<ClaimedDelivery>();
  /** Deliveries whose next attempt is their second try on a new connection. */
  readonly #secondTries = new Set<number>();
  #share = wholeShare;
  #queued = 0;
  #queuedCharacters = 0;
  #lookAgainMs = 0;
  #stopping = false;
  #drained = Promise.withResolvers<undefined>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#slots = new Slots(options.concurrency);
    const outages = options.outages ?? new Outages(options.log);
    // Never slower than the schedule itself: where it is short, so is the breaker.
    const firstMs = Math.min(5_000, options.retryScheduleMs[0] ?? 5_000);
    const maxMs = Math.min(60_000, Math.max(firstMs, ...options.retryScheduleMs));
    this.#breaker = { threshold: 5, firstMs, maxMs, ...options.breaker };
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

  /** Returns waiting deliveries to the queue, lets requests under way end, aborts slow ones, and records all outcomes. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#claimer.stop();
    for (const endpoint of this.#endpoints.values()) this.#releaseAll(endpoint);
    if (!(await this.#drainedWithin(this.#options.drainMs ?? 10_000))) {
      await this.#options.sender.close();
      await this.#drainedWithin(settleBoundMs);
    }
    await this.#settler.flush(settleBoundMs);
  }

  /** Takes over the present subscriptions. What waits for one that is gone or inactive is handed back. */
  setWebhooks(webhooks: readonly Webhook[]): void {
    const nowMs = monotonicMs();
    const active = new Map(
      webhooks.filter((webhook) => webhook.isActive).map((webhook) => [webhook.id, webhook]),
    );
    for (const [id, endpoint] of this.#endpoints) {
      if (active.has(id)) continue;
      this.#releaseAll(endpoint);
      this.#endpoints.delete(id);
    }
    for (const [id, webhook] of active) {
      const known = this.#endpoints.get(id);
      if (known) this.#slots.track(known, () => known.update(webhook, nowMs));
      else this.#endpoints.set(id, this.#newEndpoint(webhook, nowMs));
    }
    this.wake();
  }

  /** Takes this process's part of each webhook's limits, which hold for all processes together. */
  setShare(share: Share): void {
    if (share.rank === this.#share.rank && share.of === this.#share.of) return;
    this.#share = share;
    const nowMs = monotonicMs();
    for (const endpoint of this.#endpoints.values()) {
      endpoint.setShare(share, nowMs);
      // What this process may not send is for the others.
      if (endpoint.stock(nowMs) === 0) this.#releaseAll(endpoint);
      else this.#enlist(endpoint, nowMs);
    }
    this.#pump();
    this.wake();
  }

  #newEndpoint(webhook: Webhook, nowMs: number): Endpoint {
    const endpoint = new Endpoint(webhook, this.#breaker, nowMs);
    endpoint.setShare(this.#share, nowMs);
    return endpoint;
  }

  /** How many fresh deliveries capture may mark as claimed by this process now, of all webhooks and of one. */
  room(): Room {
    const nowMs = monotonicMs();
    return {
      total: this.#totalRoom(),
      of: (webhookId) => this.#endpoints.get(webhookId)?.room(nowMs) ?? 0,
    };
  }

  /** Takes deliveries that this process has claimed, those of a lane in order. What it cannot send goes back at once. */
  accept(deliveries: readonly ClaimedDelivery[]): void {
    const nowMs = monotonicMs();
    for (const delivery of deliveries) this.#held.add(delivery);
    const refused = deliveries.filter((delivery) => !this.#take(delivery, nowMs));
    this.#settler.release(refused);
    this.#pump();
  }

  /** Ids of all that this process has claimed, as far as it knows: what the store has under its name besides was forgotten. */
  held(): Set<number> {
    return new Set([...this.#held].map(({ id }) => id));
  }

  /** Says that the store may have something due: asks it at once. */
  wake(): void {
    this.#claimer.askIn(0);
  }

  stats(): DispatcherStats {
    const nowMs = monotonicMs();
    return {
      inFlight: this.#slots.taken,
      queued: this.#queued,
      unsettled: this.#settler.backlog,
      webhooks: [...this.#endpoints].map(([webhookId, endpoint]) => ({
        webhookId,
        inFlight: endpoint.inFlight,
        queued: endpoint.lanes.size,
        breaker: endpoint.breaker.state(nowMs),
      })),
    };
  }

  /** The most that one endpoint may have underway. */
  get #cap(): number {
    return this.#slots.cap(this.#endpoints.size);
  }

  get #isOverfull(): boolean {
    return this.#settler.backlog > maximumUnsettled;
  }

  #totalRoom(): number {
    if (this.#stopping || this.#isOverfull || this.#queuedCharacters > maximumQueuedCharacters) return 0;
    return Math.max(0, maximumQueued - this.#queued);
  }

  #take(delivery: ClaimedDelivery, nowMs: number): boolean {
    const endpoint = this.#endpoints.get(delivery.webhookId);
    if (endpoint === undefined || endpoint.blocked || this.#stopping) return false;
    this.#counted(endpoint, () => endpoint.lanes.put(delivery, nowMs));
    this.#enlist(endpoint, nowMs);
    return true;
  }

  #releaseOld(nowMs: number): void {
    if (nowMs < this.#lookAgainMs) return;
    const boundMs = this.#options.holdMs ?? holdMs;
    this.#lookAgainMs = nowMs + boundMs / looksPerHold;
    const beforeMs = nowMs - boundMs;
    for (const endpoint of this.#endpoints.values()) {
      if (endpoint.lanes.size === 0) continue;
      this.#settler.release(this.#counted(endpoint, () => endpoint.lanes.takeOlder(beforeMs)));
    }
  }

  #releaseAll(endpoint: Endpoint): void {
    clearTimeout(endpoint.timer);
    this.#settler.release(this.#counted(endpoint, () => endpoint.lanes.takeOlder(Infinity)));
  }

  /** Does something to an endpoint's lanes and keeps the totals right. */
  #counted<T>(endpoint: Endpoint, act: () => T): T {
    const { size, characters } = endpoint.lanes;
    const result = act();
    this.#queued += endpoint.lanes.size - size;
    this.#queuedCharacters += endpoint.lanes.characters - characters;
    return result;
  }

  /** Lines an endpoint up for a slot, if it has something to send and may; else it is back when something ends or its time comes. */
  #enlist(endpoint: Endpoint, nowMs: number): void {
    if (endpoint.lanes.readyCount === 0 || endpoint.blocked) return;
    if (endpoint.inFlight < endpoint.limit(nowMs, this.#cap)) this.#slots.enlist(endpoint);
  }

  /** Sends as much as the limits allow. */
  #pump(): void {
    if (this.#stopping || this.#isOverfull) return;
    for (let endpoint = this.#slots.next(); endpoint !== undefined; endpoint = this.#slots.next()) {
      const nowMs = monotonicMs();
      if (this.#serve(endpoint, nowMs)) this.#enlist(endpoint, nowMs);
    }
  }

  /** Sends one delivery of an endpoint. Returns false when its limits forbid it just now. */
  #serve(endpoint: Endpoint, nowMs: number): boolean {
    if (endpoint.lanes.readyCount === 0 || endpoint.blocked) return false;
    const waitMs = endpoint.admit(nowMs, this.#cap);
    if (waitMs > 0) {
      if (waitMs !== Infinity) this.#comeBack(endpoint, waitMs);
      return false;
    }
    const delivery = this.#counted(endpoint, () => endpoint.lanes.next())!;
    this.#slots.track(endpoint, () => (endpoint.inFlight += 1));
    void this.#attempt(endpoint, delivery);
    return true;
  }

  /** Resumes an endpoint when its rate limit or its breaker allows it. */
  #comeBack(endpoint: Endpoint, waitMs: number): void {
    if (this.#stopping) return;
    clearTimeout(endpoint.timer);
    endpoint.timer = setTimeout(
      () => {
        this.#enlist(endpoint, monotonicMs());
        this.#pump();
        this.#claimer.feed(endpoint);
        // A timer may fire a fraction of a millisecond early.
      },
      Math.ceil(waitMs) + 1,
    );
  }

  async #attempt(endpoint: Endpoint, delivery: ClaimedDelivery): Promise<void> {
    const { webhook } = endpoint;
    const outcome = await this.#send(toRequest(delivery, webhook));
    const nowMs = monotonicMs();
    const isSecondTry = this.#secondTries.delete(delivery.id);
    const triesAgain = !isSecondTry && outcome.kind === 'failed' && outcome.idleConnectionDied === true;
    const opened = this.#slots.track(endpoint, () => {
      endpoint.inFlight -= 1;
      return triesAgain ? false : endpoint.record(outcome, nowMs);
    });
    const step = triesAgain ? this.#tryAgain(delivery) : this.#nextStep(outcome, delivery, isSecondTry);
    const { receiver } = webhook;
    const settlement = {
      ...{ delivery, outcome, explanation: explainOutcome(outcome) },
      ...{ endedAtMs: systemClock.now(), next: toRecordedStep(step) },
    };
    this.#settle({ ...settlement, ...(receiver !== undefined && { receiver }) }, endpoint);
    if (opened) this.#pause(endpoint, nowMs);
    if (step.kind === 'disable') this.#disable(endpoint);
    this.#options.onAttempt?.({ webhook, delivery, outcome, next: toRecordedStep(step) });
    this.#enlist(endpoint, nowMs);
    this.#pump();
    this.#claimer.feed(endpoint);
    if (this.#slots.taken === 0) this.#drained.resolve(undefined);
  }

  /** Once more at once, on a new connection: the dead one says nothing of the endpoint. It is an attempt of its own on record. */
  #tryAgain({ id }: ClaimedDelivery): NextStep {
    this.#secondTries.add(id);
    return { kind: 'retry', delayMs: 0 };
  }

  /** A second try does not use up the schedule. */
  #nextStep(outcome: Outcome, { attempt }: ClaimedDelivery, isSecondTry: boolean): NextStep {
    const scheduleMs = this.#options.retryScheduleMs;
    return nextStep(outcome, isSecondTry ? attempt - 1 : attempt, { scheduleMs });
  }

  async #send(request: Request): Promise<Outcome> {
    try {
      return await this.#options.sender.send(request);
    } catch (error) {
      this.#options.log.error(
        { error: messageOf(error), eventId: request.eventId },
        'an attempt failed by our own fault',
      );
      return { kind: 'failed', ...toFailure(error), reason: 'local', durationMs: 0 };
    }
  }

  #settle(settlement: Settlement, endpoint: Endpoint): void {
    const { delivery, next } = settlement;
    this.#settler.add(settlement);
    if (next.kind === 'retry') {
      const behind = this.#counted(endpoint, () => endpoint.lanes.giveBack(delivery));
      this.#settler.release(behind);
      this.#claimer.askIn(next.delayMs);
    } else {
      endpoint.lanes.finish(delivery);
    }
  }

  /** The breaker opened: what waits goes back, and one delivery is fetched when it is time for a probe. */
  #pause(endpoint: Endpoint, nowMs: number): void {
    const openUntilMs = endpoint.breaker.openUntilMs ?? nowMs;
    this.#options.log.warn(
      {
        webhook: endpoint.webhook.name,
        failures: endpoint.breaker.failures,
        pauseMs: Math.round(openUntilMs - nowMs),
      },
      'endpoint fails: its deliveries wait',
    );
    this.#releaseAll(endpoint);
    endpoint.hungry = true;
    this.#comeBack(endpoint, openUntilMs - nowMs);
  }

  #disable(endpoint: Endpoint): void {
    if (endpoint.blocked) return;
    endpoint.blocked = true;
    this.#releaseAll(endpoint);
    this.#settler.disable(endpoint.webhook.id);
  }

  #afterSettling(written: readonly ClaimedDelivery[], due: boolean): void {
    for (const delivery of written) this.#held.delete(delivery);
    if (due) this.wake();
    this.#pump();
  }

  async #drainedWithin(boundMs: number): Promise<boolean> {
    if (this.#slots.taken === 0) return true;
    this.#drained = Promise.withResolvers();
    const bound = new AbortController();
    await Promise.race([this.#drained.promise, sleep(boundMs, bound.signal)]);
    bound.abort();
    return this.#slots.taken === 0;
  }
}
