import { toJson } from '../audit/to-json.ts';
import type { SealVault } from '../audit/seal.ts';
import type { Source } from '../binlog/source.ts';
import type { Dispatcher } from '../delivery/dispatcher.ts';
import type { Sender } from '../delivery/send.ts';
import { ownEvents } from '../event/own-events.ts';
import type { ApiContext } from '../http/route.ts';
import type { WebhookFeed } from '../outbox/webhook-feed.ts';
import type { CaptureLoop } from './capture-loop.ts';
import { filterNames, type InForce } from './in-force.ts';
import { judgeInput, judgeInputSelection, judgeWebhook } from './judge.ts';
import { readStatus } from './status.ts';

export interface ApiParts {
  vault: SealVault;
  source: Source;
  sender: Sender;
  inForce: InForce;
  captureLoop: CaptureLoop;
  dispatcher: Dispatcher;
  feed: WebhookFeed;
}

/** What the API works on: this process, as it is now. */
export function createApiContext({ vault, sender, inForce, feed, ...parts }: ApiParts): ApiContext {
  const { source, captureLoop, dispatcher } = parts;
  return {
    vault,
    sender,
    webhooks: () => inForce.webhooks,
    problems: () => problemsOf(inForce),
    webhookDefaults: () => inForce.config.webhookDefaults,
    secretOverlapMs: () => inForce.config.delivery.secretOverlapMs,
    async judge(webhook) {
      const { config, clinic } = inForce;
      const { events = [], filter = null, fields = null } = webhook;
      return [
        ...judgeInput(webhook, config, clinic.rules.types),
        ...(await judgeInputSelection({ events, filter, fields }, { config, source, clinic })),
      ];
    },
    onWebhooksChanged: () => feed.edited(),
    onQueued: () => dispatcher.wake(),
    async status() {
      const { capture, ...status } = await readStatus(source, vault.store);
      const { role, lastError, failures, silentMs, readers } = captureLoop.status();
      return {
        ...status,
        capture: { ...capture, role, last_error: lastError, failures, silent_ms: silentMs, readers },
        dispatch: toJson(dispatcher.stats()),
      };
    },
    eventTypes: () => ({
      events: inForce.clinic.rules.types.map(({ type, table, rule, fields }) => ({
        type,
        table,
        rule,
        fields,
      })),
      own: ownEvents,
    }),
  };
}

/** By id of the webhook: what its row has that cannot be used, and what it names that there is not. */
function problemsOf({ webhooks, problems, clinic }: InForce): ReadonlyMap<number, readonly string[]> {
  const all = new Map<number, string[]>();
  const add = (id: number, ...messages: string[]): void =>
    void all.set(id, [...(all.get(id) ?? []), ...messages]);
  for (const { id, message } of problems) add(id, message);
  for (const webhook of webhooks) {
    // Until the columns of a new filter are read, nobody can tell whether there are any.
    if (!filterNames([webhook]).isSubsetOf(clinic.filterNames)) continue;
    const found = judgeWebhook(webhook, clinic);
    if (found.length > 0) add(webhook.id, ...found);
  }
  return all;
}
