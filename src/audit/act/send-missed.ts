import { loadWebhooks, notFound } from '../../outbox/webhook/webhook-registry.ts';
import { replayMissed } from '../../outbox/webhook/missed.ts';
import type { Actor } from './record-act.ts';
import { recordAlong } from './record-along.ts';
import { recordReplay } from './replay-acts.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/**
 * Starts a replay, on record, of the events that were not queued for a webhook while it was disabled. Returns null if there are none.
 * Throws AppError ERR_NOT_FOUND.
 */
export async function sendMissed(
  vault: EncryptedStore,
  id: number,
  actor: Actor,
): Promise<{ id: number; total: number } | null> {
  const { webhooks } = await loadWebhooks(vault);
  const webhook = webhooks.find((each) => each.id === id);
  if (!webhook) throw notFound(id);
  return replayMissed(vault.store, webhook, {
    requestedBy: actor.name,
    along: recordAlong(vault.cipher, { actor, action: 'webhook.missed' }),
    record: recordReplay(vault.cipher, id, { actor, details: { missed: true } }),
  });
}
