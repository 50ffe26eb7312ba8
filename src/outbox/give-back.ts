import type { Session, Store } from '../db/client.ts';
import { idIn } from '../db/sql-text.ts';
import { makeDue } from './promote.ts';
import { lanesOf, selectFreeHeads } from './queue-lanes.ts';
import type { ClaimedDelivery, Claimant } from './types.ts';

interface ClaimRow {
  id: number;
  lane: number | null;
  attempt: number;
  attemptsBefore: number;
}

const claimColumns = 'delivery_id AS id, lane, attempt, attempts_before AS attemptsBefore';
const rescueRows = 500;

/** Takes back claims that were not sent: due again at once, behind an earlier one of their lane. No attempt is recorded. */
export async function release(
  { store, owner }: Claimant,
  deliveries: readonly ClaimedDelivery[],
): Promise<void> {
  if (deliveries.length === 0) return;
  const attempts = new Map(deliveries.map(({ id, attempt }) => [id, attempt]));
  await store.transaction(async (tx) => {
    const rows = await tx.rows<ClaimRow>(
      `SELECT ${claimColumns} FROM queue FORCE INDEX (PRIMARY)
       WHERE ${idIn('delivery_id', attempts.keys())} AND state = 'sending' AND claimed_by = ?
       ORDER BY delivery_id FOR UPDATE`,
      [owner],
    );
    const owned = rows.filter(
      ({ id, attempt, attemptsBefore }) => attempts.get(id) === attempt - attemptsBefore,
    );
    await putBack(tx, owned, 'attempt - 1');
  });
}

/**
 * Takes back this process's own claims that it knows nothing of: the answer to the commit that made them was lost on the way,
 * and nobody sends them. Not before `afterMs`, because until then an answer may still be coming. Returns how many.
 */
export async function releaseForgotten(
  { store, owner }: Claimant,
  { held, afterMs }: { held: () => ReadonlySet<number>; afterMs: number },
): Promise<number> {
  const old = `state = 'sending' AND claimed_by = ? AND claimed_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND`;
  const values = [owner, afterMs * 1_000];
  const withoutHeld = (rows: readonly ClaimRow[]): ClaimRow[] => {
    const ids = held();
    return rows.filter(({ id }) => !ids.has(id));
  };
  const seen = withoutHeld(
    await store.rows<ClaimRow>(
      `SELECT ${claimColumns} FROM queue FORCE INDEX (queue_due) WHERE ${old}`,
      values,
    ),
  );
  if (seen.length === 0) return 0;
  return store.transaction(async (tx) => {
    const locked = await tx.rows<ClaimRow>(
      `SELECT ${claimColumns} FROM queue FORCE INDEX (PRIMARY)
       WHERE ${idIn(
         'delivery_id',
         seen.map(({ id }) => id),
       )} AND ${old} ORDER BY delivery_id FOR UPDATE`,
      values,
    );
    // Asked again: what was held meanwhile may have been settled and claimed anew.
    const forgotten = withoutHeld(locked);
    await putBack(tx, forgotten, 'attempt - 1');
    return forgotten.length;
  });
}

/**
 * Ends claims that expired: their process died or hung. The attempt, which may have reached the receiver, is recorded as
 * `lost`, and the delivery is due again. Returns how many were rescued; call again at once while that is `rescueRows`.
 */
export async function rescueExpired(store: Store): Promise<number> {
  const expired = `FROM queue FORCE INDEX (queue_due) WHERE state = 'sending' AND due_at < UTC_TIMESTAMP(3) LIMIT ${rescueRows}`;
  const seen = await store.rows(`SELECT 1 ${expired}`);
  if (seen.length === 0) return 0;
  return store.transaction(async (tx) => {
    const rows = await tx.rows<ClaimRow>(`SELECT ${claimColumns} ${expired} FOR UPDATE SKIP LOCKED`);
    if (rows.length === 0) return 0;
    const ids = rows.map(({ id }) => id);
    await tx.script([
      `INSERT INTO attempts (delivery_id, number, started_at, duration_ms, outcome)
       SELECT delivery_id, attempt, claimed_at, TIMESTAMPDIFF(MICROSECOND, claimed_at, UTC_TIMESTAMP(3)) DIV 1000, 'lost'
       FROM queue WHERE ${idIn('delivery_id', ids)}`,
      `UPDATE delivery_log d JOIN queue q ON q.delivery_id = d.id
       SET d.failed_at = UTC_TIMESTAMP(3), d.retry_count = q.attempt - 1 WHERE ${idIn('q.delivery_id', ids)}`,
    ]);
    await putBack(tx, rows, 'attempt');
    return rows.length;
  });
}

/** All that have a lane wait, then the first of each lane is due: several of one lane may have been claimed. */
async function putBack(
  tx: Session,
  rows: readonly ClaimRow[],
  attempt: 'attempt' | 'attempt - 1',
): Promise<void> {
  if (rows.length === 0) return;
  const lanes = lanesOf(rows);
  const [heads = []] = await tx.script<{ id: number }>([
    `UPDATE queue SET state = IF(lane IS NULL, 'pending', 'waiting'), due_at = IF(lane IS NULL, UTC_TIMESTAMP(3), NULL),
       attempt = ${attempt}
     WHERE ${idIn(
       'delivery_id',
       rows.map(({ id }) => id),
     )}`,
    ...(lanes.size === 0 ? [] : [selectFreeHeads(lanes)]),
  ]);
  if (heads.length > 0) await tx.run(makeDue(heads.map(({ id }) => id)));
}
