import { matchesFilter } from '../../event/filter.ts';
import { matchesPattern, selectFields } from '../../event/subscription.ts';
import type { DomainEvent } from '../../event/types.ts';
import { laneOf } from './lane.ts';
import type { Subscription } from '../types.ts';

/** A delivery to be: one event to one webhook. */
export interface Planned {
  webhookId: number;
  /** Null when it has no ordering. */
  lane: number | null;
  /** The body, where it is not the event's own. */
  payload: string | null;
}

/** Plans deliveries for one snapshot of the subscriptions. */
export type Router = (event: DomainEvent) => Planned[];

/** Which webhooks want which type is looked up once a type, not once an event. */
export function createRouter(webhooks: readonly Subscription[]): Router {
  const byType = new Map<string, readonly Subscription[]>();
  const collecting = webhooks.filter((webhook) => webhook.collects);
  return (event) => {
    let interested = byType.get(event.type);
    if (!interested) {
      interested = collecting.filter(({ events }) =>
        events.some((pattern) => matchesPattern(pattern, event.type)),
      );
      byType.set(event.type, interested);
    }
    const planned: Planned[] = [];
    for (const webhook of interested) {
      if (webhook.filter === null || matchesFilter(webhook.filter, event)) planned.push(plan(webhook, event));
    }
    return planned;
  };
}

/** The delivery of an event to a webhook that is known to want it. */
export function plan(webhook: Subscription, event: DomainEvent): Planned {
  return {
    webhookId: webhook.id,
    lane: webhook.order === 'none' ? null : laneOf(webhook.id, event.entity),
    payload: webhook.fields === null ? null : selectFields(event, webhook.fields),
  };
}
