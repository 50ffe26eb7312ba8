import type { Session } from '../../db/connection/client.ts';
import { openMarker, type MarkedAttempt } from '../../db/proof/marks.ts';
import { idIn, literal } from '../../db/connection/sql-text.ts';
import { insertAttemptRows } from './insert-attempts.ts';
import { makeDue } from './promote.ts';
import { lanesOf, selectFreeHeads } from './queue-lanes.ts';
import type { ClaimedDelivery, Claimant } from '../types.ts';

interface ClaimRow {
  id: number;
  lane: number | null;
  attempt: number;
  attemptsBefore: number;
}

const claimColumns = 'delivery_id AS id, lane, attempt, attempts_before AS attemptsBefore';
const rescueRows = 500;

/** Releases claims that were not sent: they are due again at once, behind earlier deliveries of their lane. No attempt is recorded. */
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
 * Releases orphaned claims of this process: the answer to the commit that made them was lost, so no process sends them. It waits `afterMs`, because until
 * then the answer may still arrive. Returns how many.
 */
export async function releaseForgotten(
  { store, owner }: Claimant,
  { held, afterMs }: { held: () => ReadonlySet<number>; afterMs: number },
): Promise<number> {
  // A missing time, or a time in the future, was written by SQL: it would block the delivery forever.
  const old = `state = 'sending' AND claimed_by = ?
    AND (claimed_at IS NULL OR ABS(TIMESTAMPDIFF(MICROSECOND, claimed_at, UTC_TIMESTAMP(3))) > ?)`;
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
    // Checked again, because a locked delivery may have been settled and claimed again meanwhile.
    const forgotten = withoutHeld(locked);
    await putBack(tx, forgotten, 'attempt - 1');
    return forgotten.length;
  });
}

interface ExpiredRow extends ClaimRow {
  webhook: number;
  claimedAt: string;
  durationMs: number;
  now: string;
  eventId: string;
  eventType: string;
  receiver: number | null;
}

/**
 * Ends claims that expired: their process died or hung. The attempt, which may have reached the receiver, is recorded as
 * `lost`, and the delivery is due again. Returns how many were rescued; call again at once while that is `rescueRows`.
 */
export async function rescueExpired({ store, cipher }: Pick<Claimant, 'store' | 'cipher'>): Promise<number> {
  const expired = `FROM queue FORCE INDEX (queue_due) WHERE state = 'sending' AND due_at < UTC_TIMESTAMP(3) LIMIT ${rescueRows}`;
  const seen = await store.rows(`SELECT 1 ${expired}`);
  if (seen.length === 0) return 0;
  const marker = await openMarker(store, cipher);
  return store.transaction(async (tx) => {
    const locked = await tx.rows<ClaimRow>(`SELECT ${claimColumns} ${expired} FOR UPDATE SKIP LOCKED`);
    if (locked.length === 0) return 0;
    const ids = locked.map(({ id }) => id);
    const rows = await tx.rows<ExpiredRow>(selectExpired(ids));
    await tx.script([
      ...insertAttemptRows(rows.map(toLost), marker),
      // The stored answer belongs to the previous attempt.
      `UPDATE delivery_log d JOIN queue q ON q.delivery_id = d.id
       SET d.failed_at = ${literal(rows[0]!.now)}, d.retry_count = q.attempt - 1, d.response_status = NULL, d.response_body = NULL
       WHERE ${idIn('q.delivery_id', ids)}`,
    ]);
    await putBack(tx, locked, 'attempt');
    return locked.length;
  });
}

/** With the receiver that the webhook had when it was claimed. */
function selectExpired(ids: readonly number[]): string {
  return `SELECT q.delivery_id AS id, q.lane, q.attempt, q.attempts_before AS attemptsBefore, q.webhook_id AS webhook,
      q.claimed_at AS claimedAt, TIMESTAMPDIFF(MICROSECOND, q.claimed_at, UTC_TIMESTAMP(3)) DIV 1000 AS durationMs,
      UTC_TIMESTAMP(3) AS now, e.id AS eventId, e.type AS eventType,
      (SELECT MAX(r.id) FROM receivers r WHERE r.webhook_id = q.webhook_id AND r.since <= q.claimed_at) AS receiver
    FROM queue q JOIN delivery_log d ON d.id = q.delivery_id JOIN event_log e ON e.seq = d.event_seq
    WHERE ${idIn('q.delivery_id', ids)} ORDER BY q.delivery_id`;
}

const lostExplanation =
  'the process that sent it ended before it had recorded the result: the receiver may have got it';

function toLost({ id, attempt, claimedAt, durationMs, now, ...row }: ExpiredRow): MarkedAttempt {
  const { webhook, eventId, eventType, receiver } = row;
  return {
    ...{ delivery: id, number: attempt, startedAt: claimedAt, durationMs, outcome: 'lost' },
    ...{ responseStatus: null, reason: null, explanation: lostExplanation },
    ...{ recordedAt: now, receiver, webhook, eventId, eventType },
  };
}

/** First all deliveries with a lane wait, then the first of each lane becomes due, because several of one lane may have been claimed. */
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
