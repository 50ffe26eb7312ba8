import { toJson } from '../audit/to-json.ts';
import type { CheckResult } from '../binlog/preflight/preflight.ts';
import type { Source } from '../binlog/source/source.ts';
import type { Dispatcher } from '../delivery/schedule/dispatcher.ts';
import type { Sender } from '../delivery/send/send.ts';
import { systemEvents } from '../event/system-events.ts';
import type { ApiContext } from '../http/route.ts';
import type { WebhookFeed } from '../outbox/webhook/webhook-feed.ts';
import type { CaptureLoop } from '../capture/capture-loop.ts';
import type { LiveState } from './live-state.ts';
import { validateInput, validateInputSelection } from './validate-webhook.ts';
import { webhookProblems } from './webhook-problems.ts';
import { readBacklog } from '../capture/log-end.ts';
import { findFailingChecks } from './check/find-failing-checks.ts';
import { readStatus, shownByStatus } from './status.ts';
import type { EncryptedStore } from '../db/connection/encrypted-store.ts';

export interface ApiParts {
  vault: EncryptedStore;
  source: Source;
  sender: Sender;
  inForce: LiveState;
  captureLoop: CaptureLoop;
  dispatcher: Dispatcher;
  feed: WebhookFeed;
}

/** Creates the context of the API: the present state of this process. */
export function createApiContext({ vault, sender, inForce, feed, ...parts }: ApiParts): ApiContext {
  const { source, captureLoop, dispatcher } = parts;
  let checking: Promise<readonly CheckResult[]> | undefined;
  /** Runs once at a time, however many requests wait: the checks run a hundred statements (100 to 280 ms). */
  const failingChecks = (): Promise<readonly CheckResult[]> =>
    (checking ??= findFailingChecks({ config: inForce.config, source, store: vault.store }).finally(
      () => (checking = undefined),
    ));
  return {
    vault,
    sender,
    webhooks: () => inForce.webhooks,
    problems: () => webhookProblems(inForce),
    webhookDefaults: () => inForce.config.webhookDefaults,
    secretOverlapMs: () => inForce.config.delivery.secretOverlapMs,
    async check(webhook) {
      const { config, clinic } = inForce;
      const { events = [], filter = null, fields = null } = webhook;
      return [
        ...validateInput(webhook, config, clinic.rules.types),
        ...(await validateInputSelection({ events, filter, fields }, { config, source, clinic })).problems,
      ];
    },
    onWebhooksChanged: () => feed.edited(),
    onQueued: () => dispatcher.wake(),
    backlog: () => readBacklog(source, vault.store),
    async status() {
      const shown = await readStatus(source, vault, () => webhookProblems(inForce));
      const { capture, ...status } = shown;
      const failing = (await failingChecks()).filter(({ id }) => !shownByStatus(shown).includes(id));
      const { role, lastError, failures, silentMs, readers, blockedBy } = captureLoop.status();
      return {
        ...status,
        capture: {
          ...{ ...capture, role, last_error: lastError, failures, silent_ms: silentMs, readers },
          blocked_by: blockedBy,
        },
        failing_checks: failing,
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
      own: systemEvents,
    }),
  };
}
