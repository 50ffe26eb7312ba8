import type { Session } from '../../db/connection/client.ts';
import { idIn, literal } from '../../db/connection/sql-text.ts';
import { claimVariables } from '../append/append-statements.ts';
import { laneText } from '../append/lane.ts';
import { fromSqlDatetime } from '../sql-datetime.ts';
import { provePlaced } from './placed-deliveries.ts';
import { openPayloads, textOf, type OpenedPayload, type StoredPayload } from '../payload/payloads.ts';
import { settle } from './settle.ts';
import type { PayloadKey } from '../payload/subject-keys.ts';
import type { ClaimedDelivery, Claimant, Settlement } from '../types.ts';

/** How many deliveries of one webhook are wanted. */
export interface Want {
  webhookId: number;
  room: number;
  /** The last claim left some due deliveries: no query is needed whether anything is due. */
  hungry?: boolean;
}

export interface Claimed {
  /** At most one of each lane. */
  deliveries: ClaimedDelivery[];
  /** When the next delivery of these webhooks is due, ms from now; undefined when none is pending. 0 when all requests were filled. */
  nextDueInMs: number | undefined;
  /** Deliveries that SQL added or edited: they ended unsent, each with an attempt that records it. */
  refused: number[];
}

interface DueRow {
  webhookId: number;
  dueInMs: number | null;
}

interface ClaimRow extends StoredPayload {
  id: number;
  webhookId: number;
  mark: Buffer | null;
  lane: number | null;
  attempt: number;
  eventType: string;
  occurredAt: string;
}

type OpenedRow = ClaimRow & { opened: OpenedPayload; isPlaced: boolean };

/**
 * Claims due deliveries, only for the given webhooks: one index look-up for each webhook, regardless of the rest of the queue, and a transaction only when
 * something is due. It skips claims of other processes and does not wait for them.
 */
export async function claim(claimant: Claimant, wants: readonly Want[]): Promise<Claimed> {
  const { store } = claimant;
  const unsure = wants.filter(({ hungry }) => hungry !== true);
  const due = unsure.length === 0 ? [] : await store.rows<DueRow>(selectDue(unsure));
  const dueIds = new Set(
    due.filter(({ dueInMs }) => dueInMs !== null && dueInMs <= 0).map(({ webhookId }) => webhookId),
  );
  const wanted = wants.filter(
    ({ webhookId, room, hungry }) => room > 0 && (hungry === true || dueIds.has(webhookId)),
  );
  if (wanted.length === 0) return { deliveries: [], nextDueInMs: earliest(due), refused: [] };
  const rows = await claimRows(claimant, wanted);
  // Under load this is nearly always the case. The query for the next due delivery reads past all recently claimed rows.
  const isFull = rows.length === wants.reduce((sum, { room }) => sum + room, 0);
  const nextDueInMs = isFull ? 0 : earliest(await store.rows<DueRow>(selectDue(wants)));
  const refused = rows.filter(({ opened, isPlaced }) => opened.kind === 'readable' && !isPlaced);
  return {
    deliveries: await withBodies(claimant, rows),
    nextDueInMs,
    refused: refused.map(({ id }) => id),
  };
}

/**
 * When the next unclaimed delivery of each webhook is due, ms from now. The webhooks are literals: for an id that
 * comes from another table MySQL 9.7 reads all entries, 200 ms for a million in the queue. And it locks: a read without a lock looks up the row of each
 * index entry that a claim has left for the purge, which takes 7 ms after 20 claims of 200 instead of 2.
 */
function selectDue(wants: readonly Want[]): string {
  const each = wants.map(({ webhookId }) => {
    const id = literal(webhookId);
    return `SELECT ${id} AS webhookId, CEIL(TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(3),
      (SELECT q.due_at FROM queue q FORCE INDEX (queue_due)
       WHERE q.state = 'pending' AND q.webhook_id = ${id} ORDER BY q.due_at LIMIT 1 FOR UPDATE SKIP LOCKED)) / 1000) + 0e0 AS dueInMs`;
  });
  return each.join(' UNION ALL ');
}

function earliest(due: readonly DueRow[]): number | undefined {
  const times = due.map(({ dueInMs }) => dueInMs).filter((ms) => ms !== null);
  return times.length === 0 ? undefined : Math.max(0, Math.min(...times));
}

/** SELECT that locks one webhook's due deliveries, oldest due first, skipping deliveries that another claimer has locked. */
function selectClaimable({ webhookId, room }: Want): string {
  return (
    `SELECT delivery_id AS id FROM queue FORCE INDEX (queue_due) WHERE state = 'pending' AND webhook_id = ${literal(webhookId)}` +
    ` AND due_at <= UTC_TIMESTAMP(3) ORDER BY due_at LIMIT ${literal(room)} FOR UPDATE SKIP LOCKED`
  );
}

/** Decrypts the payloads before the commit: deliveries whose key is not configured stay in the queue. */
function claimRows(
  { store, cipher, owner, claimMs }: Claimant,
  wanted: readonly Want[],
): Promise<OpenedRow[]> {
  return store.transaction(async (tx) => {
    const found = await tx.script<{ id: number }>(wanted.map(selectClaimable));
    const ids = found.flat().map(({ id }) => id);
    if (ids.length === 0) return [];
    const [rows = []] = await tx.script<ClaimRow>([
      claimVariables(claimMs),
      `UPDATE queue SET state = 'sending', due_at = @until, attempt = attempt + 1, claimed_at = @now, claimed_by = ${literal(owner)}
       WHERE ${idIn('delivery_id', ids)}`,
      selectBodies(ids),
    ]);
    const opened = await openPayloads(tx, cipher, rows);
    const placed = await provePlaced(
      tx,
      cipher,
      rows.map((row, index) => ({ ...row, body: textOf(opened[index]) ?? '' })),
    );
    return rows.map((row, index) => ({ ...row, opened: opened[index]!, isPlaced: placed[index]! }));
  });
}

function selectBodies(ids: readonly number[]): string {
  return `SELECT q.delivery_id AS id, q.webhook_id AS webhookId, q.lane, q.attempt - q.attempts_before AS attempt,
      e.id AS eventId, e.seq AS eventSeq, e.type AS eventType, e.subject, COALESCE(d.payload, e.body) AS payload,
      e.occurred_at AS occurredAt, d.mark
    FROM queue q JOIN delivery_log d ON d.id = q.delivery_id JOIN event_log e ON e.seq = q.event_seq
    WHERE ${idIn('q.delivery_id', ids)} ORDER BY q.due_at, q.event_seq`;
}

/** A delivery without its payload (pruned or erased), or one that was changed in the store, cannot be sent: it is ended here, with a recorded attempt. */
async function withBodies(claimant: Claimant, rows: readonly OpenedRow[]): Promise<ClaimedDelivery[]> {
  const claimed: ClaimedDelivery[] = [];
  const unsendable: Settlement[] = [];
  for (const { opened, isPlaced, ...row } of rows) {
    switch (opened.kind) {
      case 'readable':
        if (isPlaced) claimed.push(toClaimed(row, opened));
        else unsendable.push(toUnsendable(row, forgedReason));
        break;
      case 'gone':
        unsendable.push(toUnsendable(row, 'no-payload'));
        break;
      case 'damaged':
        unsendable.push(toUnsendable(row, 'damaged-payload'));
    }
  }
  await settle(claimant, unsendable);
  return claimed;
}

function toClaimed(
  { id, webhookId, lane, attempt, eventId, eventType, occurredAt }: ClaimRow,
  { text, key }: { text: string; key: PayloadKey | null },
): ClaimedDelivery {
  return {
    ...{ id, webhookId, attempt, eventId, eventType },
    lane: laneText(lane),
    body: text,
    occurredAtMs: fromSqlDatetime(occurredAt),
    ...(key !== null && { key }),
  };
}

/** Reason of the attempt that ends a delivery that SQL added or edited. */
export const forgedReason = 'forged-delivery';

const unsendableWords = {
  [forgedReason]:
    'nothing was sent: odontology-webhooks did not place this delivery, or not with this payload',
  'no-payload': 'nothing was sent: the payload was pruned or erased before',
  'damaged-payload':
    'nothing was sent: the payload cannot be decrypted, for it or its key was edited in the store',
};

function toUnsendable(row: ClaimRow, reason: keyof typeof unsendableWords): Settlement {
  const delivery = toClaimed(row, { text: '', key: null });
  return {
    delivery,
    outcome: { kind: 'failed', reason, durationMs: 0 },
    explanation: unsendableWords[reason],
    endedAtMs: delivery.occurredAtMs,
    next: { kind: 'exhausted' },
  };
}

/** Deliveries in the queue of each webhook, and how long its oldest due one has been waiting, ms. For status and metrics. */
export interface QueueDepth {
  webhookId: number;
  pending: number;
  waiting: number;
  sending: number;
  oldestDueMs: number | null;
}

/** Counts the queue. Reads an index entry for each delivery in it: a million take about 0.3 s, so not for every request. */
export async function readQueueDepths(session: Session): Promise<QueueDepth[]> {
  return session.rows<QueueDepth>(
    `SELECT webhook_id AS webhookId, SUM(state = 'pending') + 0e0 AS pending, SUM(state = 'waiting') + 0e0 AS waiting,
       SUM(state = 'sending') + 0e0 AS sending,
       TIMESTAMPDIFF(MICROSECOND, MIN(IF(state = 'pending' AND due_at <= UTC_TIMESTAMP(3), due_at, NULL)), UTC_TIMESTAMP(3)) / 1000 + 0e0
         AS oldestDueMs
     FROM queue GROUP BY webhook_id ORDER BY webhook_id`,
  );
}

/** For each webhook, the outcome of the last attempt of its newest delivery that will be retried: a status or a word. */
export async function readQueueErrors(session: Session): Promise<Map<number, string>> {
  const rows = await session.rows<{ webhookId: number; error: string }>(
    `SELECT q.webhook_id AS webhookId, CAST(COALESCE(a.response_status, a.reason, a.outcome) AS CHAR) AS error
     FROM (SELECT webhook_id, MAX(delivery_id) AS delivery_id FROM queue WHERE state = 'pending' AND attempt > 0 GROUP BY webhook_id) q
     JOIN attempts a ON a.id = (SELECT MAX(b.id) FROM attempts b WHERE b.delivery_id = q.delivery_id)`,
  );
  return new Map(rows.map(({ webhookId, error }) => [webhookId, error]));
}
