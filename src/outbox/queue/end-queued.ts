import type { Session, Store } from '../../db/connection/client.ts';
import { idIn, literal } from '../../db/connection/sql-text.ts';

const endRows = 1_000;

/** Ends all waiting deliveries of a deleted webhook, in bounded transactions. Requests in flight end with their settlement. */
export async function endQueued(store: Store, webhookId: number): Promise<number> {
  let ended = 0;
  for (;;) {
    const count = await store.transaction(async (tx) => {
      const rows = await tx.rows<{ id: number }>(
        `SELECT delivery_id AS id FROM queue FORCE INDEX (queue_due)
         WHERE state IN ('pending', 'waiting') AND webhook_id = ? LIMIT ? FOR UPDATE SKIP LOCKED`,
        [webhookId, endRows],
      );
      const [webhook] = await tx.rows<{ deletedAt: string | null }>(
        'SELECT deleted_at AS deletedAt FROM webhooks WHERE id = ?',
        [webhookId],
      );
      await exhaust(
        tx,
        rows.map(({ id }) => id),
        webhook?.deletedAt ?? null,
      );
      return rows.length;
    });
    ended += count;
    if (count === 0) return ended;
  }
}

/** Ends deliveries of deleted webhooks that a process appended before it noticed the deletion. Returns how many. */
export async function endOrphans(store: Store): Promise<number> {
  const rows = await store.rows<{ id: number }>(
    `SELECT w.id FROM webhooks w WHERE w.deleted_at IS NOT NULL AND EXISTS
       (SELECT 1 FROM queue q FORCE INDEX (queue_due) WHERE q.state IN ('pending', 'waiting') AND q.webhook_id = w.id)`,
  );
  let ended = 0;
  for (const { id } of rows) ended += await endQueued(store, id);
  return ended;
}

/**
 * Ends deliveries without an attempt: their state becomes exhausted, at the time of the act that ended them (an erasure, the deletion of their webhook);
 * `audit verify` finds the reason by this time. `at` is UTC as the store writes it; null for now.
 */
export async function exhaust(tx: Session, ids: readonly number[], at: string | null): Promise<void> {
  if (ids.length === 0) return;
  const moment = at === null ? 'UTC_TIMESTAMP(3)' : literal(at);
  await tx.script([
    `DELETE FROM queue WHERE ${idIn('delivery_id', ids)}`,
    `UPDATE delivery_log SET status = 'exhausted', exhausted_at = ${moment}, failed_at = COALESCE(failed_at, ${moment}) WHERE ${idIn('id', ids)}`,
  ]);
}
