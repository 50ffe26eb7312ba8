import type { Session, Store } from '../../db/connection/client.ts';
import { idIn } from '../../db/connection/sql-text.ts';
import { createReplay, previewReplay, type ReplayRequest } from '../replay/replay.ts';
import type { Subscription } from '../types.ts';
import type { AfterWrite } from './webhook-registry.ts';

/*
 * Events that a webhook did not get while it was inactive, or while its row did not name its events. They are the matching events from `missed_from` on
 * that have no delivery to it. Each process records the beginning before it stops queueing; the end is recorded when every process has queued again for a
 * while, and may be late without harm.
 */

/** After this time every process knows that a webhook is active again: they poll each second. */
export const knownToAllMs = 10_000;

/** A range of the log: from (inclusive) to (exclusive, null while it is open). */
export interface MissedRange {
  from: number;
  to: number | null;
}

/**
 * Records the first event that is not queued for these webhooks. Call it before they are left out. `along` writes in the transaction of each: the range
 * decides what `enable --missed` sends.
 */
export async function noteMissed(
  store: Store,
  webhookIds: readonly number[],
  along?: AfterWrite,
): Promise<void> {
  await setMissed(store, webhookIds, {
    where: '(missed_from IS NULL OR missed_to IS NOT NULL)',
    set: `missed_from = COALESCE(missed_from, ${nextEventSeq}), missed_to = NULL`,
    along,
  });
}

/** Records the end, for webhooks whose events have been queued again for long enough. `along` as for `noteMissed`. */
export async function closeMissed(
  store: Store,
  webhookIds: readonly number[],
  along?: AfterWrite,
): Promise<void> {
  await setMissed(store, webhookIds, {
    where: `missed_from IS NOT NULL AND missed_to IS NULL
      AND updated_at < UTC_TIMESTAMP(3) - INTERVAL ${knownToAllMs * 1_000} MICROSECOND`,
    set: `missed_to = ${nextEventSeq}`,
    along,
  });
}

const nextEventSeq = '(SELECT next_event_seq FROM checkpoint WHERE checkpoint.id = 1)';

interface SetMissed {
  /** Selects the webhooks; checked again under the lock of the row. */
  where: string;
  set: string;
  along: AfterWrite | undefined;
}

async function setMissed(
  store: Store,
  webhookIds: readonly number[],
  { where, set, along }: SetMissed,
): Promise<void> {
  if (webhookIds.length === 0) return;
  const found = await store.rows<{ id: number }>(
    `SELECT id FROM webhooks WHERE ${idIn('id', webhookIds)} AND ${where}`,
  );
  for (const { id } of found) {
    await store.transaction(async (tx) => {
      const locked = await tx.rows(`SELECT 1 FROM webhooks WHERE id = ? AND ${where} FOR UPDATE`, [id]);
      if (locked.length === 0) return;
      await along?.before(tx, id);
      await tx.run(`UPDATE webhooks SET ${set}, updated_at = updated_at WHERE id = ?`, [id]);
      await along?.after(tx, id);
    });
  }
}

/** Null when no event was missed. */
async function readMissed(session: Session, webhookId: number): Promise<MissedRange | null> {
  const [row] = await session.rows<{ from: number | null; to: number | null }>(
    'SELECT missed_from AS `from`, missed_to AS `to` FROM webhooks WHERE id = ?',
    [webhookId],
  );
  return row === undefined || row.from === null ? null : { from: row.from, to: row.to };
}

/** Counts them by type; the webhook's filter is applied only when they are sent, so this is an upper bound. */
export async function countMissed(session: Session, webhook: Subscription): Promise<number> {
  const range = await readMissed(session, webhook.id);
  if (range === null) return 0;
  return (await previewReplay(session, requestOf(webhook), [webhook], range)).total;
}

export interface MissedReplay {
  requestedBy: string;
  /** Around the change of the webhook's row. */
  along: AfterWrite;
  record(tx: Session, replay: number, total: number): Promise<void>;
}

/** Begins a replay of them, which the daemon executes; null when there is none. */
export async function replayMissed(
  store: Store,
  webhook: Subscription,
  { requestedBy, along, record }: MissedReplay,
): Promise<{ id: number; total: number } | null> {
  const range = await readMissed(store, webhook.id);
  if (range === null) return null;
  const reason = 'events that were not queued while the webhook was disabled';
  return createReplay(
    store,
    { ...requestOf(webhook), requestedBy, reason, ratePerSecond: null, range },
    [webhook],
    async (tx, id, total) => {
      await along.before(tx, webhook.id);
      await tx.run(
        'UPDATE webhooks SET missed_from = NULL, missed_to = NULL, updated_at = updated_at WHERE id = ?',
        [webhook.id],
      );
      await along.after(tx, webhook.id);
      await record(tx, id, total);
    },
  );
}

/** No time limit: the range of the log selects the events. */
function requestOf({ id }: Subscription): ReplayRequest {
  return { webhookId: id, sinceMs: 0, untilMs: Date.parse('9999-12-31T00:00:00Z'), missedOnly: true };
}
