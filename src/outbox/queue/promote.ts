import type { Store } from '../../db/connection/client.ts';
import { idIn } from '../../db/connection/sql-text.ts';
import { sleep } from '../../lib/clock.ts';
import { readActive, selectFreeHeads } from './queue-lanes.ts';

/** UPDATE that makes waiting deliveries due, if they still wait. */
export function makeDue(ids: readonly number[]): string {
  return `UPDATE queue SET state = 'pending', due_at = UTC_TIMESTAMP(3) WHERE ${idIn('delivery_id', ids)} AND state = 'waiting'`;
}

/**
 * Makes the first delivery of each of these lanes due, unless it still waits for another delivery. Returns how many.
 *
 * An append that put a delivery behind another cannot know whether the other was being settled at the same time: neither transaction sees the other's
 * rows. So after its commit the append checks again, and waits for such a settlement to end: either the settlement came later and saw the follower, or it
 * is over and this check sees that its delivery is gone.
 */
export async function promoteLanes(store: Store, lanes: ReadonlySet<number>): Promise<number> {
  if (lanes.size === 0) return 0;
  const active = await readActive(store, lanes);
  // The locks are used only to wait: once they are granted, no settlement of these deliveries is running.
  await store.rows(`SELECT 1 FROM queue WHERE ${idIn('delivery_id', active)} LOCK IN SHARE MODE`);
  return promoteFree(store, lanes);
}

export interface FollowUp {
  /** Checks these lanes soon. */
  add(lanes: ReadonlySet<number>): void;
  /** Waits for the pending check. */
  close(): Promise<void>;
}

export interface FollowUpOptions {
  /** Called when a check made a delivery due. */
  onDue(): void;
  /** Called when the store did not answer; the sweep finds the waiting deliveries later. */
  onError(error: unknown): void;
  /** Called after every successful check, and at the end. */
  onRecovered?(): void;
}

/**
 * Appends in quick succession share a check, which runs three queries: at 1,500 changes a second, with one in ten behind another of its lane, these were
 * half of all queries of capture.
 */
const gatherMs = 50;

/** Calls `promoteLanes` in the background after appends, so that appends are not delayed. */
export function createFollowUp(store: Store, { onDue, onError, onRecovered }: FollowUpOptions): FollowUp {
  let gathered = new Set<number>();
  let looking: Promise<void> | undefined;

  async function look(): Promise<void> {
    while (gathered.size > 0) {
      await sleep(gatherMs);
      const lanes = gathered;
      gathered = new Set();
      try {
        if ((await promoteLanes(store, lanes)) > 0) onDue();
        onRecovered?.();
      } catch (error) {
        onError(error);
      }
    }
    looking = undefined;
  }

  return {
    add(lanes) {
      for (const lane of lanes) gathered.add(lane);
      if (gathered.size > 0) looking ??= look();
    },
    async close() {
      await looking;
      onRecovered?.();
    },
  };
}

/**
 * A step of the sweep for deliveries that were left waiting by a process that died between a commit and its check. It goes through the lanes in the order
 * of their numbers; returns where the next step begins, null after the last.
 */
export async function sweepLanes(
  store: Store,
  { afterLane, lanes: limit }: { afterLane: number; lanes: number },
): Promise<{ promoted: number; nextLane: number | null }> {
  const rows = await store.rows<{ lane: number }>(
    'SELECT DISTINCT lane FROM queue FORCE INDEX (queue_lane) WHERE lane > ? ORDER BY lane LIMIT ?',
    [afterLane, limit],
  );
  const last = rows.at(-1);
  if (last === undefined) return { promoted: 0, nextLane: null };
  const promoted = await promoteFree(store, new Set(rows.map(({ lane }) => lane)));
  return { promoted, nextLane: rows.length < limit ? null : last.lane };
}

/** Checks without a lock first and rarely finds anything; then rechecks under the lock, so that two processes do not make two deliveries of one lane due. */
async function promoteFree(store: Store, lanes: ReadonlySet<number>): Promise<number> {
  const seen = await store.rows(selectFreeHeads(lanes));
  if (seen.length === 0) return 0;
  return store.transaction(async (tx) => {
    await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
    const heads = await tx.rows<{ id: number }>(selectFreeHeads(lanes));
    if (heads.length === 0) return 0;
    const { affectedRows } = await tx.run(makeDue(heads.map(({ id }) => id)));
    return affectedRows;
  });
}
