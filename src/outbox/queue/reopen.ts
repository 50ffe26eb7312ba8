import type { Session, Store } from '../../db/connection/client.ts';
import { idIn } from '../../db/connection/sql-text.ts';
import { AppError } from '../../lib/errors.ts';
import { claimVariables, insertQueue, type QueueRow } from '../append/append-statements.ts';
import { enterQueue } from '../append/enter-queue.ts';
import { laneOf } from '../append/lane.ts';
import { promoteLanes } from './promote.ts';
import { lanesInUse, lanesOf } from './queue-lanes.ts';

/** A delivery that enters the queue from the log: a new delivery, or an ended one. */
export interface Entering {
  id: number;
  webhookId: number;
  eventSeq: number;
  lane: number | null;
  /** Attempts so far: the count continues, the retry schedule starts over. */
  attempts: number;
}

/**
 * Statements that put deliveries into the queue, in the order of the log, each behind the deliveries already in its lane. They require `claimVariables`; `promoteLanes` must follow the commit.
 */
export async function enterStatements(tx: Session, entering: readonly Entering[]): Promise<string[]> {
  const held = await lanesInUse(tx, lanesOf(entering));
  const rows = entering.map(({ attempts, ...row }): QueueRow => {
    const free = row.lane === null || !held.has(row.lane);
    if (row.lane !== null) held.add(row.lane);
    return { ...row, state: free ? 'pending' : 'waiting', attemptsBefore: attempts };
  });
  return insertQueue(rows, '');
}

/** UPDATE that reopens ended deliveries. */
export function reopenLog(ids: readonly number[]): string {
  return `UPDATE delivery_log SET status = 'open', delivered_at = NULL, failed_at = NULL, exhausted_at = NULL
    WHERE ${idIn('id', ids)}`;
}

interface DeliveryRow extends Omit<Entering, 'lane'> {
  status: 'open' | 'delivered' | 'exhausted';
  entityTable: string;
  entityKey: string;
  hasBody: number;
  deliveryOrder: 'entity' | 'none' | null;
}

/** What `retryDelivery` did: reopened the delivery, made its next attempt due now, or did nothing because it is in progress. */
export type Retried = 'reopened' | 'due' | 'unchanged';

/**
 * Sends one delivery again: the same id, with a new retry schedule. A delivery that waits for its retry becomes due at once; one that is being sent or
 * waits for another is not changed. `record` writes in the same transaction. Throws AppError ERR_NOT_FOUND when the delivery, its webhook or its payload
 * no longer exists.
 */
export async function retryDelivery(
  store: Store,
  id: number,
  record?: (tx: Session) => Promise<void>,
): Promise<Retried> {
  const { retried, lane } = await store.transaction(async (tx) => {
    const result = await enterQueue(tx, async () => {
      const row = await readDelivery(tx, id);
      const lane = row.deliveryOrder === 'none' ? null : laneOf(row.webhookId, rowEntity(row));
      const statements =
        row.status === 'open'
          ? []
          : [claimVariables(0), reopenLog([row.id]), ...(await enterStatements(tx, [{ ...row, lane }]))];
      return { statements, events: 0, deliveries: 0, result: { status: row.status, lane } };
    });
    await record?.(tx);
    if (result.status !== 'open') return { retried: 'reopened' as const, lane: result.lane };
    const { affectedRows } = await tx.run(
      "UPDATE queue SET due_at = UTC_TIMESTAMP(3) WHERE delivery_id = ? AND state = 'pending'",
      [id],
    );
    return { retried: affectedRows === 1 ? ('due' as const) : ('unchanged' as const), lane: null };
  });
  if (lane !== null) await promoteLanes(store, new Set([lane]));
  return retried;
}

function rowEntity({ entityTable, entityKey }: DeliveryRow): { table: string; key: string } {
  return { table: entityTable, key: entityKey };
}

async function readDelivery(tx: Session, id: number): Promise<DeliveryRow> {
  const [row] = await tx.rows<DeliveryRow>(
    `SELECT d.id, d.webhook_id AS webhookId, d.event_seq AS eventSeq, d.status,
       COALESCE((SELECT MAX(a.number) FROM attempts a WHERE a.delivery_id = d.id), 0) AS attempts,
       e.entity_table AS entityTable, e.entity_key AS entityKey,
       COALESCE(d.payload, e.body) IS NOT NULL AS hasBody, w.delivery_order AS deliveryOrder
     FROM delivery_log d JOIN event_log e ON e.seq = d.event_seq
     LEFT JOIN webhooks w ON w.id = d.webhook_id AND w.deleted_at IS NULL WHERE d.id = ?`,
    [id],
  );
  if (!row) throw new AppError('ERR_NOT_FOUND', `there is no delivery ${id}`);
  if (row.deliveryOrder === null)
    throw new AppError('ERR_NOT_FOUND', `the webhook of delivery ${id} has been deleted`);
  if (!row.hasBody) {
    throw new AppError(
      'ERR_NOT_FOUND',
      `the payload of delivery ${id} has been removed, it cannot be sent again`,
      {
        remedy: 'Payloads are kept for retention.payloads, and until they are erased.',
      },
    );
  }
  return row;
}
