import type { Session, Store } from '../db/client.ts';
import { idList } from '../db/sql-text.ts';
import { giveUp } from './end-queued.ts';
import { makeDue } from './promote.ts';
import { lanesOf, selectWaitingHeads } from './queue-lanes.ts';

export interface PruneOptions {
  /** What changed at the source longer ago than this goes. */
  olderThanMs: number;
  /** Events of one transaction at most. Default 500. */
  batch?: number;
}

export interface Pruned {
  /** Events whose payload, or whose whole record, was removed. */
  events: number;
  /** Deliveries that had not ended and never will: to be told, for they are lost. */
  gaveUp: number;
}

const defaultBatch = 500;

/**
 * Removes the payloads of the next events that are too old, one bounded transaction; the record of what was sent stays. Call
 * again while it returns events. What waits for a webhook that has been unwell for so long is given up.
 */
export async function prunePayloads(store: Store, options: PruneOptions): Promise<Pruned> {
  return store.transaction(async (tx) => {
    const [done] = await tx.rows<{ seq: number }>(
      'SELECT payloads_pruned_to AS seq FROM installation WHERE id = 1 FOR UPDATE',
    );
    const seqs = await oldEvents(tx, done?.seq ?? 0, options);
    if (seqs.length === 0) return { events: 0, gaveUp: 0 };
    const list = idList(seqs);
    const gaveUp = await giveUpOpen(tx, list);
    await tx.script([
      `UPDATE event_log SET body = NULL WHERE seq IN (${list})`,
      `UPDATE delivery_log SET payload = NULL, response_body = NULL WHERE event_seq IN (${list})`,
      `UPDATE installation SET payloads_pruned_to = ${seqs.at(-1)!} WHERE id = 1`,
    ]);
    return { events: seqs.length, gaveUp };
  });
}

/** Removes the oldest events that are too old for the log, with their deliveries and attempts. Call again while it returns events. */
export async function pruneLog(store: Store, options: PruneOptions): Promise<Pruned> {
  return store.transaction(async (tx) => {
    const seqs = await oldEvents(tx, 0, options);
    if (seqs.length === 0) return { events: 0, gaveUp: 0 };
    const list = idList(seqs);
    const gaveUp = await giveUpOpen(tx, list);
    const deliveries = await tx.rows<{ id: number }>(
      `SELECT id FROM delivery_log WHERE event_seq IN (${list})`,
    );
    const ids = idList(deliveries.map(({ id }) => id));
    await tx.script([
      `DELETE FROM attempts WHERE delivery_id IN (${ids})`,
      `DELETE FROM queue WHERE delivery_id IN (${ids})`,
      `DELETE FROM delivery_log WHERE id IN (${ids})`,
      `DELETE FROM event_log WHERE seq IN (${list})`,
    ]);
    return { events: seqs.length, gaveUp };
  });
}

/** The events that follow in the log, up to the first that is young enough. */
async function oldEvents(
  tx: Session,
  afterSeq: number,
  { olderThanMs, batch = defaultBatch }: PruneOptions,
): Promise<number[]> {
  const rows = await tx.rows<{ seq: number; isOld: number }>(
    `SELECT seq, occurred_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND AS isOld
     FROM event_log FORCE INDEX (PRIMARY) WHERE seq > ? ORDER BY seq LIMIT ?`,
    [olderThanMs * 1_000, afterSeq, batch],
  );
  const young = rows.findIndex(({ isOld }) => isOld === 0);
  return rows.slice(0, young < 0 ? rows.length : young).map(({ seq }) => seq);
}

/** What is being sent at this moment is left to its settlement; without a payload it is not sent again. */
async function giveUpOpen(tx: Session, seqList: string): Promise<number> {
  const open = await tx.rows<{ id: number; lane: number | null }>(
    `SELECT q.delivery_id AS id, q.lane FROM delivery_log d JOIN queue q ON q.delivery_id = d.id
     WHERE d.event_seq IN (${seqList}) AND d.status = 'open' AND q.state <> 'sending' FOR UPDATE`,
  );
  await giveUp(
    tx,
    open.map(({ id }) => id),
  );
  const lanes = lanesOf(open);
  if (lanes.size > 0) {
    const [heads = []] = await tx.script<{ id: number }>([selectWaitingHeads(lanes)]);
    if (heads.length > 0) await tx.run(makeDue(heads.map(({ id }) => id)));
  }
  return open.length;
}
