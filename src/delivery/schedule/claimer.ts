import { monotonicMs } from '../../lib/clock.ts';
import { type Background, createLoop, type Loop } from '../../lib/loop/loop.ts';
import type { FailureReporter } from '../../lib/loop/failure-log.ts';
import type { ClaimedDelivery } from '../../outbox/types.ts';
import type { Endpoint } from './endpoint.ts';
import type { Endpoints } from './endpoints.ts';
import type { DeliveryStore, Want } from '../types.ts';

export interface ClaimerOptions {
  claim: DeliveryStore['claim'];
  /** Called before every round, at least every `pollMs`. */
  beforeRound(): void;
  endpoints: Endpoints;
  /** How many deliveries fit into memory, over all endpoints. */
  totalRoom(): number;
  accept(deliveries: readonly ClaimedDelivery[]): void;
  /** How often the store is asked when nothing is known to be due, ms. */
  pollMs: number;
  /** Success and failure of claims. */
  reports: FailureReporter;
}

/** Maximum number of deliveries in one claim, over all webhooks, so that its transaction stays short. */
const maximumClaim = 1_000;
/** The shortest pause after a claim that could not take all due deliveries because another instance holds them. */
const idleClaimMs = 200;

/**
 * Claims due deliveries from the store: at once for an endpoint that has sent half of its prefetched deliveries and is known to have more; for all
 * endpoints when the next retry is due, when woken, and otherwise every `pollMs`.
 */
export class Claimer implements Background {
  readonly #options: ClaimerOptions;
  readonly #loop: Loop;
  /** Time of the next claim for all endpoints, by the monotonic clock. */
  #nextAskMs = 0;

  constructor(options: ClaimerOptions) {
    this.#options = options;
    this.#loop = createLoop({ step: () => this.#step(), ...options.reports });
  }

  start(): void {
    this.#loop.start();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
  }

  /** Schedules a claim for all endpoints in at most this many ms. */
  askIn(delayMs: number): void {
    const askMs = monotonicMs() + delayMs;
    if (askMs >= this.#nextAskMs) return;
    this.#nextAskMs = askMs;
    this.#loop.wake();
  }

  /** Claims one endpoint's deliveries when the store is known to have some and half of the prefetched ones are sent. */
  feed(endpoint: Endpoint): void {
    if (endpoint.isHungry && this.#room(endpoint, monotonicMs()) > 0) this.#loop.wake();
  }

  /** One round; returns how long to wait for the next, ms. */
  async #step(): Promise<number> {
    this.#options.beforeRound();
    const nowMs = monotonicMs();
    const all = nowMs >= this.#nextAskMs;
    // Set before asking, so that a wake in the meantime is not overwritten.
    if (all) this.#nextAskMs = nowMs + this.#options.pollMs;
    const wants = this.#wants(nowMs, all);
    if (wants.length > 0) {
      const { deliveries, nextDueInMs } = await this.#options.claim(wants);
      this.#noteHunger(wants, deliveries, nextDueInMs !== undefined && nextDueInMs <= 0);
      if (nextDueInMs !== undefined) this.askIn(Math.max(idleClaimMs, nextDueInMs));
      this.#options.accept(deliveries);
      if (this.#wants(monotonicMs(), false).length > 0) return 0;
    }
    return Math.max(1, this.#nextAskMs - monotonicMs());
  }

  /** What to claim, for all endpoints or for endpoints that need more; each gets at most its share of the limits of one claim and of memory. */
  #wants(nowMs: number, all: boolean): Want[] {
    const wants: Want[] = [];
    for (const endpoint of this.#options.endpoints) {
      const room = all || endpoint.isHungry ? this.#room(endpoint, nowMs) : 0;
      if (room > 0) wants.push({ webhookId: endpoint.webhook.id, room, hungry: endpoint.isHungry });
    }
    const total = Math.min(maximumClaim, this.#options.totalRoom());
    if (total === 0) return [];
    const share = Math.max(1, Math.floor(total / wants.length));
    return wants.map((want) => ({ ...want, room: Math.min(want.room, share) }));
  }

  /** How many deliveries an endpoint takes now: none before half of the prefetched ones are sent, so that claims are not too small. */
  #room(endpoint: Endpoint, nowMs: number): number {
    const room = endpoint.room(nowMs);
    return room >= endpoint.stock(nowMs) / 2 ? room : 0;
  }

  /**
   * Claims again, as soon as there is capacity, for an endpoint whose claim was full, or partly full while more is due. An empty
   * claim is not repeated: another instance has locked what is due.
   */
  #noteHunger(wants: readonly Want[], deliveries: readonly ClaimedDelivery[], moreIsDue: boolean): void {
    const counts = new Map<number, number>();
    for (const { webhookId } of deliveries) counts.set(webhookId, (counts.get(webhookId) ?? 0) + 1);
    for (const { webhookId, room } of wants) {
      const count = counts.get(webhookId) ?? 0;
      this.#options.endpoints.get(webhookId)?.noteClaim(count >= room || (count > 0 && moreIsDue));
    }
  }
}
