import { matchesFilter } from '../../event/filter.ts';
import { matchesPattern, selectFields } from '../../event/subscription.ts';
import type { DomainEvent } from '../../event/types.ts';
import { laneOf } from './lane.ts';
import type { Subscription } from '../types.ts';

/** A planned delivery: one event to one webhook. */
export interface Planned {
  webhookId: number;
  /** Null without ordering. */
  lane: number | null;
  /** The body, if it differs from the event's body. */
  payload: string | null;
}

/** Plans deliveries for one snapshot of the subscriptions. */
export type Router = (event: DomainEvent) => Planned[];

/** The webhooks of a type are looked up once for each type, not for each event. */
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

/** The delivery of an event to a webhook that subscribes to it. */
export function plan(webhook: Subscription, event: DomainEvent): Planned {
  return {
    webhookId: webhook.id,
    lane: webhook.order === 'none' ? null : laneOf(webhook.id, event.entity),
    payload: webhook.fields === null ? null : selectFields(event, webhook.fields),
  };
}
