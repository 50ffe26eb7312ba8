import { explainWebhook } from '../audit/act/explain-webhooks.ts';
import { engine, recordWebhookAct } from '../audit/act/record-act.ts';
import type { Session } from '../db/connection/client.ts';
import type { Installation } from '../db/schema/installation.ts';
import { formatTimestamp } from '../event/body.ts';
import { createSystemEvent } from '../event/system-events.ts';
import type { DomainEvent } from '../event/types.ts';
import { systemClock } from '../lib/clock.ts';
import { AppError } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { appendSystemEvent } from '../outbox/append/append-system-event.ts';
import type { Router } from '../outbox/append/fan-out.ts';
import type { Claimant } from '../outbox/types.ts';
import type { DisableReason } from '../outbox/webhook/webhook-row.ts';
import { disableByEngine } from '../outbox/webhook/webhook-state.ts';

export interface DisablingOptions {
  claimant: Claimant;
  installation: Installation;
  log: Log;
  nameOf(webhookId: number): string;
  route(): Router;
  /** A webhook may have been disabled: the subscriptions must be reloaded. */
  onDisabled(): void;
}

/**
 * Disables a webhook for the engine, and reports it in the log and by the event `webhook.disabled`; once, even if other processes do the
 * same.
 */
export type DisableByEngine = (webhookId: number, reason: DisableReason) => Promise<void>;

export function createDisabling(options: DisablingOptions): DisableByEngine {
  const { claimant, installation, log, nameOf, route, onDisabled } = options;
  return async (webhookId, reason) => {
    const name = nameOf(webhookId);
    const event = disabledEvent(installation.uuid, { id: webhookId, name }, reason);
    const work = async (tx: Session): Promise<boolean> => {
      await tx.rows('SELECT id FROM webhooks WHERE id = ? FOR UPDATE', [webhookId]);
      await explainWebhook(tx, claimant.cipher, webhookId);
      if (!(await disableByEngine(tx, webhookId, reason))) return false;
      const act = { actor: engine, action: 'webhook.disable', details: { reason } } as const;
      await recordWebhookAct(tx, claimant.cipher, webhookId, act);
      await appendSystemEvent(tx, event, { route: route(), cipher: claimant.cipher });
      return true;
    };
    const done = await claimant.store.transaction(work).catch((error: unknown) => {
      // SQL has changed the webhook, and the file's settings are restored first: the next failed attempt disables it.
      if (error instanceof AppError && error.code === 'ERR_CONFLICT') return false;
      throw error;
    });
    if (done) {
      log.error(
        { webhook: name, reason },
        'webhook disabled; its events wait until it is enabled: webhooks enable',
      );
    }
    onDisabled();
  };
}

function disabledEvent(
  installation: string,
  { id, name }: { id: number; name: string },
  reason: DisableReason,
): DomainEvent {
  const occurredAtMs = systemClock.now();
  const timestamp = formatTimestamp(occurredAtMs);
  return createSystemEvent({
    type: 'webhook.disabled',
    installation,
    occasion: [String(id), timestamp],
    occurredAtMs,
    entity: { table: 'webhooks', key: String(id) },
    data: { webhook_id: id, name, reason, timestamp },
  });
}
