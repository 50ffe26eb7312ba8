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

  /** The number of waiting deliveries, and of characters in their bodies. */
  queued(): { deliveries: number; characters: number } {
    let deliveries = 0;
    let characters = 0;
    for (const endpoint of this) {
      deliveries += endpoint.queued;
      characters += endpoint.queuedCharacters;
    }
    return { deliveries, characters };
  }

  /** Applies the present subscriptions. Returns the deliveries that waited for a webhook that is now deleted or inactive. */
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

  /** Sets the share of all endpoints. Returns whether it changed. */
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
