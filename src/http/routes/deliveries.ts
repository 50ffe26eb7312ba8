import {
  deliveryStatuses,
  getDelivery,
  listDeliveries,
  type DeliveryFilter,
  type DeliveryStatus,
} from '../../audit/deliveries.ts';
import { recordAct } from '../../audit/record-act.ts';
import { toJson } from '../../audit/to-json.ts';
import type { Session } from '../../db/client.ts';
import { systemClock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import { retryDelivery } from '../../outbox/reopen.ts';
import { cancelReplay, createReplay, getReplay, listReplays } from '../../outbox/replay.ts';
import { findWebhookId } from '../../outbox/webhook-registry.ts';
import {
  entity,
  entityOf,
  id,
  object,
  paging,
  pagingOf,
  period,
  periodOf,
  text,
  type ApiRequest,
  type ApiRoute,
} from '../route.ts';

/** The log of what was sent to whom, and sending it again. */
export const deliveryRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/api/deliveries',
    role: 'auditor',
    summary: 'Deliveries, newest first, without their payloads.',
    query: {
      event: { ...text(128), description: 'A type, or noun.*' },
      webhook: { ...text(255), description: 'Id or name.' },
      status: { enum: deliveryStatuses },
      entity,
      patient: text(255),
      ...period,
      ...paging,
    },
    async handle({ query }, { vault: { store } }) {
      const { items, nextCursor } = await listDeliveries(
        store,
        await filterOf(store, query),
        pagingOf(query),
      );
      return { deliveries: toJson(items), next_cursor: nextCursor };
    },
  },
  {
    method: 'GET',
    path: '/api/deliveries/:id',
    role: 'auditor',
    summary: 'One delivery with its payload and its attempts. That it was read is put on record.',
    params: { id },
    async handle({ actor, params }, { vault: { store } }) {
      const delivery = await getDelivery(store, Number(params['id']));
      await recordAct(store, { actor, action: 'delivery.read', target: params['id']! });
      return { delivery: toJson(delivery) };
    },
  },
  {
    method: 'POST',
    path: '/api/deliveries/:id/retry',
    role: 'operator',
    summary: 'Sends one delivery again, under the same id.',
    params: { id },
    async handle({ actor, params }, { vault: { store }, onQueued }) {
      const target = params['id']!;
      const result = await retryDelivery(store, Number(target), (tx) =>
        recordAct(tx, { actor, action: 'delivery.retry', target }),
      );
      onQueued();
      return { success: true, result };
    },
  },
  {
    method: 'GET',
    path: '/api/replays',
    role: 'auditor',
    summary: 'Replays, newest first.',
    handle: async (_request, { vault: { store } }) => ({ replays: toJson(await listReplays(store)) }),
  },
  {
    method: 'POST',
    path: '/api/replays',
    role: 'operator',
    summary: 'Sends past events again to one webhook.',
    body: object(
      {
        webhook: { ...text(255), description: 'Id or name.' },
        events: { type: 'array', items: text(128), minItems: 1, maxItems: 100 },
        entity,
        ...period,
        exhausted_only: { type: 'boolean' },
        rate: { type: 'number', exclusiveMinimum: 0, maximum: 100_000 },
        reason: text(1_024),
      },
      ['webhook', 'since', 'reason'],
    ),
    status: 201,
    handle: replay,
  },
  {
    method: 'POST',
    path: '/api/replays/:id/cancel',
    role: 'operator',
    summary: 'Ends a replay; what it has put into the queue is still sent.',
    params: { id },
    async handle({ actor, params }, { vault: { store } }) {
      const target = params['id']!;
      await getReplay(store, Number(target));
      const cancelled = await store.transaction(async (tx) => {
        const was = await cancelReplay(tx, Number(target));
        if (was) await recordAct(tx, { actor, action: 'replay.cancel', target });
        return was;
      });
      return { success: true, cancelled };
    },
  },
];

interface ReplayBody {
  webhook: string;
  events?: string[];
  entity?: string;
  since: string;
  until?: string;
  exhausted_only?: boolean;
  rate?: number;
  reason: string;
}

async function replay(
  { actor, body }: ApiRequest,
  { vault: { store }, webhooks, onQueued }: Parameters<ApiRoute['handle']>[1],
): Promise<object> {
  const asked = body as ReplayBody;
  const { sinceMs = 0, untilMs = systemClock.now() } = periodOf(asked);
  if (sinceMs >= untilMs) throw new AppError('ERR_USAGE', 'since must lie before until');
  const { reason, rate = null, events } = asked;
  const webhookId = await findWebhookId(store, asked.webhook);
  const made = await createReplay(
    store,
    {
      webhookId,
      sinceMs,
      untilMs,
      exhaustedOnly: asked.exhausted_only ?? false,
      ...(events !== undefined && { events }),
      ...(asked.entity !== undefined && { entity: entityOf(asked.entity) }),
      requestedBy: actor.name,
      reason,
      ratePerSecond: rate,
    },
    webhooks(),
    (tx, replayId, total) =>
      recordAct(tx, {
        actor,
        action: 'replay.create',
        target: String(webhookId),
        details: {
          replay: replayId,
          total,
          reason,
          since: asked.since,
          until: asked.until ?? null,
          events: events ?? null,
        },
      }),
  );
  onQueued();
  return { success: true, ...made };
}

async function filterOf(session: Session, query: ApiRequest['query']): Promise<DeliveryFilter> {
  const { event, webhook, status, patient } = query;
  return {
    ...periodOf(query),
    ...(event !== undefined && { event }),
    // The log of a webhook that was deleted is found by its id alone.
    ...(webhook !== undefined && {
      webhookId: /^\d+$/.test(webhook) ? Number(webhook) : await findWebhookId(session, webhook),
    }),
    ...(status !== undefined && { status: status as DeliveryStatus }),
    ...(query['entity'] !== undefined && { entity: entityOf(query['entity']) }),
    ...(patient !== undefined && { patient }),
  };
}
