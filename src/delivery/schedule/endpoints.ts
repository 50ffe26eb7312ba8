import type { ClaimedDelivery, Webhook } from '../../outbox/types.ts';
import type { BreakerOptions } from './breaker.ts';
import { Endpoint } from './endpoint.ts';
import { type Share, wholeShare } from './share.ts';
import type { TakenSlots } from './taken-slots.ts';

export interface EndpointsOptions {
  breaker: BreakerOptions;
  taken: TakenSlots;
}

/** The endpoints of all active webhooks, with this process's share of each one's limits. */
export class Endpoints {
  readonly #options: EndpointsOptions;
  readonly #byWebhook = new Map<number, Endpoint>();
  #share = wholeShare;

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  [Symbol.iterator](): Iterator<Endpoint> {
    return this.#byWebhook.values();
  }

  get count(): number {
    return this.#byWebhook.size;
  }

  get(webhookId: number): Endpoint | undefined {
    return this.#byWebhook.get(webhookId);
  }

  /** How many deliveries wait, and how many characters their bodies have. */
  queued(): { deliveries: number; characters: number } {
    let deliveries = 0;
    let characters = 0;
    for (const endpoint of this) {
      deliveries += endpoint.queued;
      characters += endpoint.queuedCharacters;
    }
    return { deliveries, characters };
  }

  /** Takes over the present subscriptions. Returns what waited for a webhook that is deleted or inactive now. */
  setWebhooks(webhooks: readonly Webhook[], nowMs: number): ClaimedDelivery[] {
    const active = new Map(
      webhooks.filter((webhook) => webhook.isActive).map((webhook) => [webhook.id, webhook]),
    );
    const left: ClaimedDelivery[] = [];
    for (const [id, endpoint] of this.#byWebhook) {
      if (active.has(id)) continue;
      left.push(...endpoint.takeAll());
      this.#byWebhook.delete(id);
    }
    for (const webhook of active.values()) this.#setWebhook(webhook, nowMs);
    return left;
  }

  /** Gives all endpoints another share of their limits. Returns whether it differs from the one before. */
  setShare(share: Share, nowMs: number): boolean {
    if (share.rank === this.#share.rank && share.of === this.#share.of) return false;
    this.#share = share;
    for (const endpoint of this) endpoint.setShare(share, nowMs);
    return true;
  }

  #setWebhook(webhook: Webhook, nowMs: number): void {
    const known = this.#byWebhook.get(webhook.id);
    if (known !== undefined) {
      known.update(webhook, nowMs);
      return;
    }
    const { breaker, taken } = this.#options;
    const endpoint = new Endpoint(webhook, breaker, nowMs, taken);
    endpoint.setShare(this.#share, nowMs);
    this.#byWebhook.set(webhook.id, endpoint);
  }
}
