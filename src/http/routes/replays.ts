import { toPage } from '../../audit/page.ts';
import { recordReplay, recordReplayEnd } from '../../audit/act/replay-acts.ts';
import {
  entityValue,
  eventValue,
  nameValue,
  rateValue,
  readQueryValue,
  reasonValue,
} from '../../config/setting/query-value.ts';
import { toJson } from '../../audit/to-json.ts';
import { systemClock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import {
  cancelReplay,
  createReplay,
  getReplay,
  listReplays,
  previewReplay,
  type ReplayRequest,
} from '../../outbox/replay/replay.ts';
import { findWebhookId } from '../../outbox/webhook/webhook-registry.ts';
import { answering, pageOf, replayAnswer, replayMadeAnswer, replayPreviewAnswer } from '../answers.ts';
import {
  asked,
  id,
  object,
  paging,
  pagingOf,
  period,
  periodOf,
  type ApiContext,
  type ApiRequest,
  type ApiRoute,
  type Schema,
} from '../route.ts';

const selection: Readonly<Record<string, Schema>> = {
  webhook: asked(nameValue, 'Id or name.'),
  events: { type: 'array', items: asked(eventValue), minItems: 1, maxItems: 100 },
  entity: asked(entityValue, 'table:key'),
  ...period,
  exhausted_only: { type: 'boolean' },
};

/** Replays of past events: count, start, watch, cancel. */
export const replayRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/api/replays',
    role: 'auditor',
    summary: 'Replays, newest first.',
    answer: pageOf('replays', replayAnswer),
    query: paging,
    async handle({ query }, { vault: { store } }) {
      const { limit, ...from } = pagingOf(query);
      const { items, nextCursor } = toPage(await listReplays(store, { ...from, limit: limit + 1 }), limit);
      return { replays: toJson(items), next_cursor: nextCursor };
    },
  },
  {
    method: 'GET',
    path: '/api/replays/:id',
    role: 'auditor',
    summary: 'How far one replay is: `queued` of at most `total`.',
    answer: answering({ replay: replayAnswer }),
    params: { id },
    async handle({ params }, { vault: { store } }) {
      return { replay: toJson(await getReplay(store, Number(params['id']))) };
    },
  },
  {
    method: 'POST',
    path: '/api/replays/preview',
    role: 'operator',
    summary: 'Counts what a replay would send, by event.',
    answer: replayPreviewAnswer,
    body: object(selection, ['webhook', 'since']),
    async handle({ body }, context) {
      const request = await toRequest(body as ReplayBody, context);
      return toJson(await previewReplay(context.vault.store, request, context.webhooks())) as object;
    },
  },
  {
    method: 'POST',
    path: '/api/replays',
    role: 'operator',
    summary: 'Sends past events again to one webhook.',
    answer: replayMadeAnswer,
    body: object(
      {
        ...selection,
        rate: {
          anyOf: [{ type: 'number', exclusiveMinimum: 0, maximum: 100_000 }, rateValue.json],
          mustBe: rateValue.mustBe,
          description: 'A number is one of events a second.',
        },
        reason: asked(reasonValue),
      },
      ['webhook', 'since', 'reason'],
    ),
    status: 201,
    handle: start,
  },
  {
    method: 'POST',
    path: '/api/replays/:id/cancel',
    role: 'operator',
    summary: 'Ends a replay; what it has put into the queue is still sent.',
    params: { id },
    async handle({ actor, params }, { vault: { store, cipher } }) {
      const cancelled = await cancelReplay(store, Number(params['id']), recordReplayEnd(cipher, actor));
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
}

/** Throws AppError ERR_USAGE, ERR_NOT_FOUND. */
async function toRequest(
  { webhook, events, entity, since, until, exhausted_only = false }: ReplayBody,
  { vault, check }: ApiContext,
): Promise<ReplayRequest> {
  const { sinceMs = 0, untilMs = systemClock.now() } = periodOf({
    since,
    ...(until !== undefined && { until }),
  });
  if (sinceMs >= untilMs) throw new AppError('ERR_USAGE', 'since must lie before until');
  const problems = await check({ events: events ?? [] });
  if (problems.length > 0) throw new AppError('ERR_USAGE', problems.join('\n'));
  return {
    webhookId: await findWebhookId(vault.store, webhook),
    sinceMs,
    untilMs,
    exhaustedOnly: exhausted_only,
    ...(events !== undefined && { events }),
    ...(entity !== undefined && { entity: readQueryValue(entityValue, { name: 'entity', text: entity }) }),
  };
}

async function start({ actor, body }: ApiRequest, context: ApiContext): Promise<object> {
  const {
    reason,
    rate = null,
    ...selected
  } = body as ReplayBody & { reason: string; rate?: number | string };
  const { since, until = null, events = null } = selected;
  const { store, cipher } = context.vault;
  const request = await toRequest(selected, context);
  const made = await createReplay(
    store,
    { ...request, requestedBy: actor.name, reason, ratePerSecond: rateOf(rate) },
    context.webhooks(),
    recordReplay(cipher, request.webhookId, { actor, details: { reason, since, until, events } }),
  );
  context.onQueued();
  return { success: true, ...made };
}

const rateOf = (rate: number | string | null): number | null =>
  typeof rate === 'string' ? readQueryValue(rateValue, { name: 'rate', text: rate }) : rate;
