import { changeDetails, recordAct } from '../../audit/act/record-act.ts';
import { recordAlong } from '../../audit/act/record-along.ts';
import { sendMissed } from '../../audit/act/send-missed.ts';
import { toJson } from '../../audit/to-json.ts';
import type { Store } from '../../db/connection/client.ts';
import {
  parseRotationInput,
  parseWebhookInput,
  requiredKeys,
  rotationInputSchema,
  webhookChangeSchema,
  webhookInputSchema,
} from '../../config/setting/webhook-input.ts';
import { testWebhook } from '../../delivery/send/test-webhook.ts';
import { formatDuration } from '../../lib/duration.ts';
import { AppError } from '../../lib/errors.ts';
import { webhookJson } from '../../outbox/webhook/webhook-json.ts';
import {
  createWebhook,
  deleteWebhook,
  getWebhook,
  listWebhooks,
  loadWebhook,
  rotateSecret,
  updateWebhook,
  type AfterWrite,
} from '../../outbox/webhook/webhook-registry.ts';
import type { WebhookRecord } from '../../outbox/webhook/webhook-row.ts';
import {
  disableWebhook,
  enableWebhook,
  pauseWebhook,
  resumeWebhook,
} from '../../outbox/webhook/webhook-state.ts';
import { summarizeWebhook, summaryInWords } from '../../outbox/webhook/webhook-summary.ts';
import { answering, done, standingAnswer, webhookAnswer, webhookMadeAnswer } from '../answers.ts';
import { id, object, type ApiContext, type ApiRequest, type ApiRoute, type Checked } from '../route.ts';

/** The subscriptions. Each change is recorded in the audit log in its own transaction, and takes effect before the answer. */
export const webhookRoutes: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/api/webhooks',
    role: 'admin',
    summary: 'Every webhook, active or not; never its secret.',
    answer: answering({ webhooks: { type: 'array', items: webhookAnswer } }),
    async handle(_request, context) {
      const all = await listWebhooks(context.vault);
      return { webhooks: all.map((webhook) => present(webhook, context)) };
    },
  },
  {
    method: 'GET',
    path: '/api/webhooks/:id',
    role: 'admin',
    summary: 'One webhook.',
    answer: answering({ webhook: webhookAnswer }),
    params: { id },
    async handle({ params }, context) {
      const webhook = await getWebhook(context.vault, Number(params['id']));
      return { webhook: present(webhook, context) };
    },
  },
  {
    method: 'POST',
    path: '/api/webhooks',
    role: 'admin',
    summary: 'Adds a webhook. Its secret is in the answer, and nowhere afterwards.',
    answer: webhookMadeAnswer,
    body: webhookInputSchema(),
    readsBody: true,
    status: 201,
    handle: create,
  },
  {
    method: 'PATCH',
    path: '/api/webhooks/:id',
    role: 'admin',
    summary: 'Changes what is named.',
    answer: answering({ success: { type: 'boolean' }, webhook: webhookAnswer }),
    params: { id },
    body: { ...webhookChangeSchema(), minProperties: 1 },
    readsBody: true,
    handle: update,
  },
  {
    method: 'DELETE',
    path: '/api/webhooks/:id',
    role: 'admin',
    summary: 'Ends a webhook: what waits for it is given up, its log stays.',
    answer: done,
    params: { id },
    handle: (request, context) => end(Number(request.params['id']), request, context),
  },
  {
    method: 'DELETE',
    path: '/api/webhooks',
    role: 'admin',
    summary: 'The same, with the id in the body.',
    answer: done,
    body: object({ id: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER } }, ['id']),
    handle: (request, context) => end((request.body as { id: number }).id, request, context),
  },
  {
    method: 'POST',
    path: '/api/webhooks/:id/rotate-secret',
    role: 'admin',
    summary:
      'Gives it another secret, shown once; both sign for `overlap`, by default delivery.secret_overlap.',
    params: { id },
    body: rotationInputSchema(),
    readsBody: true,
    handle: rotate,
  },
  {
    method: 'POST',
    path: '/api/webhooks/:id/test',
    role: 'admin',
    summary: 'Sends it one signed webhook.test, without data of a patient, and returns its outcome.',
    params: { id },
    handle: tryOut,
  },
  {
    method: 'POST',
    path: '/api/webhooks/:id/pause',
    role: 'operator',
    summary: 'Queues its events and sends nothing, until it is resumed.',
    answer: standingAnswer,
    params: { id },
    handle: changingStanding('webhook.pause', pauseWebhook),
  },
  {
    method: 'POST',
    path: '/api/webhooks/:id/resume',
    role: 'operator',
    summary: 'Ends a pause: sends what waits, in order.',
    answer: standingAnswer,
    params: { id },
    handle: changingStanding('webhook.resume', resumeWebhook),
  },
  {
    method: 'POST',
    path: '/api/webhooks/:id/enable',
    role: 'admin',
    summary:
      'Sends to it again, what waited first; with `missed`, also what was not queued while it was disabled.',
    answer: standingAnswer,
    params: { id },
    body: { ...object({ missed: { type: 'boolean' } }), type: ['object', 'null'] },
    handle: changingStanding('webhook.enable', enableWebhook),
  },
  {
    method: 'POST',
    path: '/api/webhooks/:id/disable',
    role: 'admin',
    summary: 'Sends nothing to it and queues nothing for it; what is queued waits.',
    answer: standingAnswer,
    params: { id },
    handle: changingStanding('webhook.disable', disableWebhook),
  },
];

function changingStanding(
  action: `webhook.${string}`,
  change: (store: Store, id: number, along: AfterWrite) => Promise<void>,
): ApiRoute['handle'] {
  return async ({ actor, params, body }, { vault, onWebhooksChanged, onQueued }) => {
    const webhookId = Number(params['id']);
    await change(vault.store, webhookId, recordAlong(vault.cipher, { actor, action }));
    if (toObject(body)['missed'] === true) await sendMissed(vault, webhookId, actor);
    await onWebhooksChanged();
    onQueued();
    const summary = await summarizeWebhook(vault, webhookId);
    return { success: true, ...summary, message: summaryInWords(summary) };
  };
}

function present(webhook: WebhookRecord, { problems }: ApiContext): object {
  const all = [...webhook.problems, ...(problems().get(webhook.id) ?? [])];
  return webhookJson({ ...webhook, problems: [...new Set(all)] });
}

async function create({ actor, body }: ApiRequest, context: ApiContext): Promise<object> {
  const { name = '', url = '', events = [], ...rest } = parseWebhookInput(toObject(body), requiredKeys);
  await requireFit({ ...rest, url, events }, context);
  const made = await createWebhook(
    context.vault,
    { ...context.webhookDefaults(), ...rest, name, url, events },
    recordAlong(context.vault.cipher, { actor, action: 'webhook.create', details: { name, url, events } }),
  );
  await context.onWebhooksChanged();
  const problems = context.problems().get(made.id);
  return { success: true, ...made, ...(problems && { problems }) };
}

async function update({ actor, params, body }: ApiRequest, context: ApiContext): Promise<object> {
  const webhookId = Number(params['id']);
  const { isActive, ...changes } = parseWebhookInput(toObject(body));
  const { store, cipher } = context.vault;
  if (Object.keys(changes).length === 0 && isActive === undefined)
    throw new AppError('ERR_USAGE', 'no change was named');
  if (changes.secret !== undefined) {
    throw new AppError('ERR_USAGE', 'secret is not changed here', {
      remedy: 'POST /api/webhooks/:id/rotate-secret',
    });
  }
  const { events, filter, fields } = await getWebhook(context.vault, webhookId);
  const chooses = choosing.some((key) => changes[key] !== undefined);
  await requireFit({ ...(chooses && { events, filter, fields }), ...changes }, context);
  if (Object.keys(changes).length > 0) {
    await updateWebhook(
      { store, cipher },
      webhookId,
      changes,
      recordAlong(cipher, { actor, action: 'webhook.update', details: changeDetails(changes) }),
    );
  }
  if (isActive !== undefined) await setActive(webhookId, isActive, { actor, context });
  await context.onWebhooksChanged();
  return { success: true, webhook: present(await getWebhook(context.vault, webhookId), context) };
}

/** Keys that must be checked together. */
const choosing = ['events', 'filter', 'fields'] as const;

async function setActive(
  webhookId: number,
  isActive: boolean,
  { actor, context }: { actor: ApiRequest['actor']; context: ApiContext },
): Promise<void> {
  const { store, cipher } = context.vault;
  const action = isActive ? 'webhook.enable' : 'webhook.disable';
  const set = isActive ? enableWebhook : disableWebhook;
  await set(store, webhookId, recordAlong(cipher, { actor, action }));
  if (isActive) context.onQueued();
}

async function end(webhookId: number, { actor }: ApiRequest, context: ApiContext): Promise<object> {
  const { store, cipher } = context.vault;
  const { name } = await getWebhook(context.vault, webhookId);
  await deleteWebhook(
    store,
    webhookId,
    recordAlong(cipher, { actor, action: 'webhook.delete', details: { name } }),
  );
  await context.onWebhooksChanged();
  return { success: true };
}

async function rotate({ actor, params, body }: ApiRequest, context: ApiContext): Promise<object> {
  const { secret: given, overlapMs = context.secretOverlapMs() } = parseRotationInput(toObject(body));
  const overlap = formatDuration(overlapMs);
  const { secret } = await rotateSecret(
    context.vault,
    Number(params['id']),
    { overlapMs, ...(given !== undefined && { secret: given }) },
    recordAlong(context.vault.cipher, { actor, action: 'webhook.rotate-secret', details: { overlap } }),
  );
  await context.onWebhooksChanged();
  return { success: true, secret, overlap };
}

async function tryOut({ actor, params }: ApiRequest, { vault, sender }: ApiContext): Promise<object> {
  const webhook = await loadWebhook(vault, Number(params['id']));
  const outcome = await testWebhook(sender, webhook);
  const act = {
    actor,
    action: 'webhook.test',
    target: String(webhook.id),
    details: { outcome: outcome.kind },
  };
  await recordAct(vault.store, vault.cipher, act);
  return { success: outcome.kind === 'delivered', outcome: toJson(outcome) };
}

async function requireFit(webhook: Checked, { check }: ApiContext): Promise<void> {
  const problems = await check(webhook);
  if (problems.length > 0)
    throw new AppError('ERR_USAGE', problems.join('\n'), { remedy: 'Correct these fields.' });
}

const toObject = (body: unknown): Readonly<Record<string, unknown>> =>
  (body ?? {}) as Record<string, unknown>;
