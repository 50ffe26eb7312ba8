import type { Session } from '../../db/connection/client.ts';

/** Free positions in the log, and the rows to write there. */
export interface Entry<T> {
  statements: readonly string[];
  events: number;
  deliveries: number;
  result: T;
}

/**
 * Inserts rows into the log or the queue while another process may capture. It holds the lock of the checkpoint's row and moves its counters, so that an
 * append planned meanwhile is planned again. Call it within a transaction.
 */
export async function enterQueue<T>(
  tx: Session,
  build: (places: { eventSeq: number; deliveryId: number }) => Promise<Entry<T>>,
): Promise<T> {
  const [places] = await tx.rows<{ eventSeq: number; deliveryId: number }>(
    'SELECT next_event_seq AS eventSeq, next_delivery_id AS deliveryId FROM checkpoint WHERE id = 1 FOR UPDATE',
  );
  const { statements, events, deliveries, result } = await build(places!);
  if (statements.length > 0) {
    await tx.script([
      ...statements,
      // At least one, because a reopened delivery takes no number but enters the queue.
      `UPDATE checkpoint SET next_event_seq = next_event_seq + ${events},
         next_delivery_id = next_delivery_id + ${Math.max(1, deliveries)} WHERE id = 1`,
    ]);
  }
  return result;
}
