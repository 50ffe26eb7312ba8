import type { Session, Store } from '../db/client.ts';
import { idList } from '../db/sql-text.ts';
import { AppError } from '../lib/errors.ts';
import { claimVariables, insertQueue, type QueueRow } from './append-statements.ts';
import { enterQueue } from './enter-queue.ts';
import { laneOf } from './lane.ts';
import { lanesInUse, lanesOf } from './queue-lanes.ts';

/** A delivery that has ended, as far as opening it again needs it. */
export interface EndedDelivery {
  id: number;
  webhookId: number;
  eventSeq: number;
  lane: number | null;
  /** Attempts so far: the count goes on, the retry schedule starts over. */
  attempts: number;
}

/** Statements that open ended deliveries again, each behind what is already in its lane. They need `claimVariables`. */
export async function reopenStatements(tx: Session, ended: readonly EndedDelivery[]): Promise<string[]> {
  if (ended.length === 0) return [];
  const held = await lanesInUse(tx, lanesOf(ended));
  const rows = ended.map(({ id, webhookId, eventSeq, lane, attempts }): QueueRow => {
    const free = lane === null || !held.has(lane);
    if (lane !== null) held.add(lane);
    return { id, webhookId, eventSeq, lane, state: free ? 'pending' : 'waiting', attemptsBefore: attempts };
  });
  return [
    `UPDATE delivery_log SET status = 'open', delivered_at = NULL, failed_at = NULL, exhausted_at = NULL
     WHERE id IN (${idList(ended.map(({ id }) => id))})`,
    ...insertQueue(rows, ''),
  ];
}

interface DeliveryRow extends Omit<EndedDelivery, 'lane'> {
  status: 'open' | 'delivered' | 'exhausted';
  entityTable: string;
  entityKey: string;
  hasBody: number;
  deliveryOrder: 'entity' | 'none' | null;
}

/**
 * Sends one delivery again: the same id, with the whole retry schedule before it. One that is waiting for its retry is due
 * at once; one that is being sent or waits for another is left as it is. Throws AppError ERR_NOT_FOUND when it, its webhook or
 * its payload is gone.
 */
export async function retryDelivery(store: Store, id: number): Promise<void> {
  await store.transaction(async (tx) => {
    await enterQueue(tx, async () => {
      const row = await readDelivery(tx, id);
      if (row.status === 'open') {
        const makeDue = `UPDATE queue SET due_at = UTC_TIMESTAMP(3) WHERE delivery_id = ${row.id} AND state = 'pending'`;
        return { statements: [makeDue], events: 0, deliveries: 0, result: undefined };
      }
      const entity = { table: row.entityTable, key: row.entityKey };
      const lane = row.deliveryOrder === 'none' ? null : laneOf(row.webhookId, entity);
      const statements = [claimVariables(0), ...(await reopenStatements(tx, [{ ...row, lane }]))];
      return { statements, events: 0, deliveries: 0, result: undefined };
    });
  });
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
