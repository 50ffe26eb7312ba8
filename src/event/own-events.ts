import type { EventTypeInfo } from './types.ts';

/** Events about this installation itself: sent only to webhooks that name them, never for `*` or `noun.*`. */
export const ownEvents: readonly EventTypeInfo[] = [
  {
    type: 'webhook.disabled',
    table: 'webhooks',
    rule: 'a webhook answered 410, or failed for delivery.disable_after',
    fields: ['webhook_id', 'name', 'reason', 'timestamp'],
  },
  {
    type: 'capture.gap',
    table: 'checkpoint',
    rule: 'a person let capture go on after a halt, past what is missing',
    fields: [
      'given_up',
      'reason',
      'message',
      'table',
      'transaction',
      'missing',
      'since',
      'until',
      'from',
      'to',
    ],
  },
];

export const ownEventTypes: readonly string[] = [...ownEvents.map(({ type }) => type), 'audit.sealed'];
