import { formatTimestamp, renderBody } from './body.ts';
import { eventId, idPart } from './event-id.ts';
import type { DomainEvent, EventTypeInfo } from './types.ts';

/** Events about this installation itself: sent only to webhooks that name them, never for `*` or `noun.*`. */
export const systemEvents: readonly EventTypeInfo[] = [
  {
    type: 'webhook.disabled',
    table: 'webhooks',
    rule: 'a webhook answered 410, or failed for delivery.disable_after',
    fields: ['webhook_id', 'name', 'reason', 'timestamp'],
  },
  {
    type: 'webhook.failing',
    table: 'webhooks',
    rule: 'every delivery to a webhook has failed for an hour: once until it succeeds',
    fields: ['webhook_id', 'name', 'failing_since', 'timestamp'],
  },
  {
    type: 'delivery.exhausted',
    table: 'deliveries',
    rule: 'a delivery has failed at its last retry and is not sent again; not for a delivery of this event itself',
    fields: [
      ...['delivery_id', 'webhook_id', 'name', 'event_id', 'event_type', 'attempts', 'outcome'],
      ...['response_status', 'reason', 'timestamp'],
    ],
  },
  {
    type: 'capture.halted',
    table: 'checkpoint',
    rule: 'capture halted: no change is read until the cause is gone or a person accepts the gap',
    fields: ['reason', 'message', 'remedy', 'table', 'transaction', 'missing', 'timestamp'],
  },
  {
    type: 'capture.resumed',
    table: 'checkpoint',
    rule: 'capture reads on after a halt',
    fields: ['halted_event', 'halted_at', 'accepted', 'timestamp'],
  },
  {
    type: 'capture.gap',
    table: 'checkpoint',
    rule: 'a person let capture continue after a halt, past the missing changes',
    fields: [
      'given_up',
      'reason',
      'message',
      'table',
      'gone_tables',
      'transaction',
      'transactions',
      'reasons',
      'missing',
      'since',
      'until',
      'from',
      'to',
    ],
  },
  {
    type: 'capture.unlogged_cascade',
    table: 'foreign_keys',
    rule: 'rows of a parent table were deleted, or their referenced key changed, and the log does not show which rows of watched tables its foreign keys may have deleted or changed',
    fields: ['table', 'operation', 'children', 'transaction', 'position', 'timestamp'],
  },
  {
    type: 'audit.stopped',
    table: 'seals',
    rule: 'the log is not sealed any more: the chain is not as it was sealed, or sealing is behind',
    fields: ['last_seal', 'why', 'message', 'unsealed_age_s', 'timestamp'],
  },
  {
    type: 'audit.sealed',
    table: 'seals',
    rule: 'the log was sealed: the head, to be kept elsewhere',
    fields: [
      ...['number', 'sealed_at', 'entries', 'root', 'previous_hash', 'hash', 'signature', 'public_key'],
      ...['fingerprint', 'version', 'progress_hash', 'timestamp'],
    ],
  },
];

export const systemEventTypes: readonly string[] = systemEvents.map(({ type }) => type);

export interface SystemEvent {
  type:
    | 'webhook.disabled'
    | 'webhook.failing'
    | 'delivery.exhausted'
    | 'capture.halted'
    | 'capture.resumed'
    | 'capture.gap'
    | 'capture.unlogged_cascade'
    | 'audit.stopped'
    | 'audit.sealed';
  /** Uuid of the installation. */
  installation: string;
  /** The id is made from it, the type and the installation: the same occasion has the same id. */
  occasion: readonly string[];
  occurredAtMs: number;
  entity: DomainEvent['entity'];
  data: DomainEvent['data'];
}

/** Creates a system event, ready for the outbox. */
export function createSystemEvent({ type, installation, occasion, ...rest }: SystemEvent): DomainEvent {
  return {
    ...rest,
    id: eventId(idPart(installation), idPart(...occasion), type),
    type,
    subject: null,
    body: renderBody(type, formatTimestamp(rest.occurredAtMs), JSON.stringify(rest.data)),
    column: () => undefined,
  };
}
