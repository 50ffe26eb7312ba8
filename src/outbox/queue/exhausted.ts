import type { Session } from '../../db/connection/client.ts';

export const exhaustedEvent = 'delivery.exhausted';

/** An exhausted delivery, with its last attempt. */
export interface Exhausted {
  deliveryId: number;
  attempt: number;
  webhookId: number;
  /** Null once the webhook's row is gone. */
  webhookName: string | null;
  eventId: string;
  eventType: string;
  outcome: string;
  responseStatus: number | null;
  reason: string | null;
  recordedAt: string;
}

/** Exhausted deliveries whose event is not in the log yet, in the order of their creation, at most 500. */
export function listExhausted(session: Session): Promise<Exhausted[]> {
  return session.rows<Exhausted>(
    `SELECT x.delivery_id AS deliveryId, x.attempt, d.webhook_id AS webhookId, w.name AS webhookName, e.id AS eventId,
       e.type AS eventType, a.outcome, a.response_status AS responseStatus, a.reason, a.recorded_at AS recordedAt
     FROM exhausted_deliveries x JOIN delivery_log d ON d.id = x.delivery_id JOIN event_log e ON e.seq = d.event_seq
     JOIN attempts a ON a.delivery_id = x.delivery_id AND a.number = x.attempt LEFT JOIN webhooks w ON w.id = d.webhook_id
     ORDER BY x.delivery_id, x.attempt LIMIT 500`,
  );
}

/** Removes the entry, because its event is in the log. False when another process was faster. */
export async function forgetExhausted(
  session: Session,
  { deliveryId, attempt }: Exhausted,
): Promise<boolean> {
  const { affectedRows } = await session.run(
    'DELETE FROM exhausted_deliveries WHERE delivery_id = ? AND attempt = ?',
    [deliveryId, attempt],
  );
  return affectedRows === 1;
}

/** Removes these entries, because no webhook subscribes to their events. */
export async function dropExhausted(session: Session, unwanted: readonly Exhausted[]): Promise<void> {
  if (unwanted.length === 0) return;
  const pairs = unwanted.map(({ deliveryId, attempt }) => [deliveryId, attempt]);
  await session.run('DELETE FROM exhausted_deliveries WHERE (delivery_id, attempt) IN (?)', [pairs]);
}
