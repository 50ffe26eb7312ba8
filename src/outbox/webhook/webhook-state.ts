import type { Session, Store } from '../../db/connection/client.ts';
import { and, eq, isNull } from '../../db/schema/drizzle.ts';
import { webhooks } from '../../db/schema/schema.ts';
import { webhookColumns } from '../../db/schema/webhook-columns.ts';
import { freshStart, lockEditable, managedByFile, notFound, type AfterWrite } from './webhook-registry.ts';
import { makeRetriesDue } from '../queue/owed.ts';
import type { DisableReason } from './webhook-row.ts';
import type { WebhookRow } from '../../db/schema/schema.ts';
import { notActive } from './webhook-summary.ts';

/**
 * Who decides whether a webhook is active:
 *
 *   a person: `is_active` and no reason     inactive: its events are not queued; what was queued waits
 *   a person: `paused_at`                   its events are queued and nothing is sent
 *   the engine: not active, with a reason   its events are still queued; `enable` sends them in order
 *
 * The file decides for its own webhooks; but an operator may enable a webhook of the file that the engine has disabled.
 */

/** Enables it, sends its waiting deliveries first, and ends a pause. Throws AppError ERR_NOT_FOUND, ERR_CONFLICT when the file sets it inactive. */
export async function enableWebhook(store: Store, id: number, along?: AfterWrite): Promise<void> {
  await store.transaction(async (tx) => {
    const row = await lockLive(tx, id);
    if (!row.isActive && row.managedBy === 'file' && row.disabledReason === null)
      throw managedByFile(row.name);
    await along?.before(tx, id);
    await tx.drizzle
      .update(webhooks)
      .set({ isActive: true, pausedAt: null, ...freshStart })
      .where(eq(webhooks.id, id));
    await along?.after(tx, id);
  });
  await makeRetriesDue(store, id);
}

/**
 * Pauses it, also if the file manages it: its events are queued and nothing is sent. Throws AppError ERR_NOT_FOUND, ERR_CONFLICT when it is disabled.
 */
export function pauseWebhook(store: Store, id: number, along?: AfterWrite): Promise<void> {
  return setPaused(store, id, 'COALESCE(paused_at, UTC_TIMESTAMP(3))', along);
}

/** Ends a pause: waiting deliveries are sent in order. Throws like `pauseWebhook`. */
export async function resumeWebhook(store: Store, id: number, along?: AfterWrite): Promise<void> {
  await setPaused(store, id, 'NULL', along);
  await makeRetriesDue(store, id);
}

async function setPaused(store: Store, id: number, pausedAt: string, along?: AfterWrite): Promise<void> {
  await store.transaction(async (tx) => {
    const row = await lockLive(tx, id);
    if (!row.isActive) throw notActive(row.name);
    await along?.before(tx, id);
    await tx.run(`UPDATE webhooks SET paused_at = ${pausedAt} WHERE id = ?`, [id]);
    await along?.after(tx, id);
  });
}

async function lockLive(tx: Session, id: number): Promise<WebhookRow> {
  const [row] = await tx.drizzle
    .select(webhookColumns)
    .from(webhooks)
    .where(and(eq(webhooks.id, id), isNull(webhooks.deletedAt)))
    .for('update');
  if (!row) throw notFound(id);
  return row;
}

/** Disables it by an operator's decision. Throws AppError ERR_NOT_FOUND, ERR_CONFLICT when the file manages it. */
export async function disableWebhook(store: Store, id: number, along?: AfterWrite): Promise<void> {
  await store.transaction(async (tx) => {
    await lockEditable(tx, id);
    await along?.before(tx, id);
    await tx.drizzle
      .update(webhooks)
      .set({ isActive: false, disabledAt: null, disabledReason: null })
      .where(eq(webhooks.id, id));
    await along?.after(tx, id);
  });
}

/**
 * Disables it by the engine's decision. Returns false when it was no longer active, so that only one of several processes announces it. Run it in a transaction together with `announce`.
 */
export async function disableByEngine(session: Session, id: number, reason: DisableReason): Promise<boolean> {
  const { affectedRows } = await session.run(
    `UPDATE webhooks SET is_active = FALSE, disabled_at = UTC_TIMESTAMP(3), disabled_reason = ?
     WHERE id = ? AND is_active = TRUE AND deleted_at IS NULL`,
    [reason, id],
  );
  return affectedRows === 1;
}

/**
 * Active webhooks without a success for this time that still fail, because a delivery waits for its retry: the candidates for `disableByEngine`. A webhook
 * with rare traffic that failed once and had nothing to send since is not a candidate until it fails again. An edit restarts the time, because plain SQL
 * may have enabled the webhook.
 */
export async function findLongFailing(
  session: Session,
  afterMs: number,
): Promise<{ id: number; name: string; failingSince: string }[]> {
  return session.rows(
    `SELECT id, name, failing_since AS failingSince FROM webhooks WHERE is_active = TRUE AND paused_at IS NULL AND deleted_at IS NULL
       AND GREATEST(failing_since, updated_at) < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND
       AND EXISTS (SELECT 1 FROM queue q FORCE INDEX (queue_due)
                   WHERE q.state = 'pending' AND q.webhook_id = webhooks.id AND q.attempt > q.attempts_before)
     ORDER BY id`,
    [afterMs * 1_000],
  );
}
