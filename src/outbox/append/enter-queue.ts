import type { Session } from '../../db/connection/client.ts';

/** Places in the log that may be used, and what to write there. */
export interface Entry<T> {
  statements: readonly string[];
  events: number;
  deliveries: number;
  result: T;
}

/**
 * Puts rows into the log or the queue beside the process that captures: under the lock of the checkpoint's row, and moving
 * its counters, which makes an append that was planned meanwhile plan again. Call it within a transaction.
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
      // At least one: a delivery that is opened again takes no number, but enters the queue.
      `UPDATE checkpoint SET next_event_seq = next_event_seq + ${events},
         next_delivery_id = next_delivery_id + ${Math.max(1, deliveries)} WHERE id = 1`,
    ]);
  }
  return result;
}
