import {
  getDelivery,
  listDeliveries,
  type DeliveryFilter,
  statusFilters,
  type StatusFilter,
} from '../../audit/deliveries.ts';
import { recordListing, recordReading } from '../../audit/act/reading-acts.ts';
import { requireKnownEvent } from '../../audit/known-event.ts';
import { recordAct } from '../../audit/act/record-act.ts';
import { toJson } from '../../audit/to-json.ts';
import {
  entityValue,
  eventValue,
  nameValue,
  readQueryValue,
  wordValue,
} from '../../config/setting/query-value.ts';
import type { Session } from '../../db/connection/client.ts';
import type { EventTypeInfo } from '../../event/types.ts';
import { retryDelivery } from '../../outbox/queue/reopen.ts';
import { findLoggedWebhook } from '../../outbox/webhook/find-logged-webhook.ts';
import { answering, deliveryAnswer, deliveryDetailAnswer, pageOf } from '../answers.ts';
import {
  asked,
  id,
  paging,
  pagingOf,
  period,
  periodOf,
  type ApiContext,
  type ApiRequest,
  type ApiRoute,
} from '../route.ts';

/** The delivery log, and retrying a delivery. */
export const deliveryRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/api/deliveries',
    role: 'auditor',
    summary: 'Deliveries, newest first, without their payloads. That they were read is put on record.',
    answer: pageOf('deliveries', deliveryAnswer),
    query: {
      event: asked(eventValue, 'A type, or noun.*'),
      webhook: asked(nameValue, 'Id or name.'),
      status: asked(wordValue(statusFilters)),
      entity: asked(entityValue, 'table:key'),
      patient: asked(nameValue),
      ...period,
      ...paging,
    },
    async handle({ actor, query }, { vault, eventTypes }) {
      const filter = await filterOf(vault.store, query, eventTypes());
      await recordListing(vault, actor, filter);
      const { items, nextCursor } = await listDeliveries(vault.store, filter, pagingOf(query));
      return { deliveries: toJson(items), next_cursor: nextCursor };
    },
  },
  {
    method: 'GET',
    path: '/api/deliveries/:id',
    role: 'auditor',
    summary: 'One delivery with its payload and its attempts. That it was read is put on record.',
    answer: answering({ delivery: deliveryDetailAnswer }),
    params: { id },
    async handle({ actor, params }, { vault }) {
      const delivery = await getDelivery(vault, Number(params['id']));
      await recordReading(vault, actor, delivery);
      return { delivery: toJson(delivery) };
    },
  },
  {
    method: 'POST',
    path: '/api/deliveries/:id/retry',
    role: 'operator',
    summary: 'Sends one delivery again, under the same id.',
    params: { id },
    async handle({ actor, params }, { vault: { store, cipher }, onQueued }) {
      const target = params['id']!;
      const result = await retryDelivery(store, Number(target), async (tx) => {
        await recordAct(tx, cipher, { actor, action: 'delivery.retry', target });
      });
      onQueued();
      return { success: true, result };
    },
  },
];

async function filterOf(
  session: Session,
  query: ApiRequest['query'],
  { events, own }: ReturnType<ApiContext['eventTypes']>,
): Promise<DeliveryFilter> {
  const { event, webhook, status, patient } = query;
  if (event !== undefined) {
    const typesOf = (infos: readonly EventTypeInfo[]): string[] => infos.map(({ type }) => type);
    await requireKnownEvent(session, event, { domain: typesOf(events), own: typesOf(own) });
  }
  return {
    ...periodOf(query),
    ...(event !== undefined && { event }),
    // The log of a deleted webhook can be found only by its id.
    ...(webhook !== undefined && {
      webhookId: await findLoggedWebhook(session, webhook),
    }),
    ...(status !== undefined && { status: status as StatusFilter }),
    ...(query['entity'] !== undefined && {
      entity: readQueryValue(entityValue, { name: 'entity', text: query['entity'] }),
    }),
    ...(patient !== undefined && { patient }),
  };
}
