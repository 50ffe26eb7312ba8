import type { Session } from '../../../db/connection/client.ts';
import type { QueuePlace } from './queue-flaw.ts';

interface Row {
  id: number;
  webhookId: number;
  eventSeq: number;
  status: 'open' | 'delivered' | 'exhausted';
  responseStatus: number | null;
  deliveredAt: string | null;
  failedAt: string | null;
  exhaustedAt: string | null;
  retryCount: number;
  hasAnswer: number;
  eventId: string | null;
  eventType: string | null;
  entityTable: string | null;
  entityKey: string | null;
  occurredAt: string | null;
  subject: string | null;
  isHidden: number | null;
  isQueued: number;
  queuedWebhook: number | null;
  queuedEvent: number | null;
  queuedLane: number | null;
  queuedState: QueuePlace['queuedState'];
  isDue: number;
  /** Seconds until it is due, negative once it is; null if it is not in the queue, or waits. */
  dueInS: number | null;
  queuedAttempt: number | null;
  attemptsBefore: number | null;
  isBeingQueued: number | null;
  nextId: number;
  attempt: number | null;
  number: number | null;
  outcome: string | null;
  attemptStatus: number | null;
  recordedAt: string | null;
  dueAfterS: number | null;
}

interface Attempt {
  number: number;
  outcome: string;
  responseStatus: number | null;
  recordedAt: string | null;
  /** Seconds until the delivery is due. */
  dueAfterS: number | null;
}

export type Delivery = Omit<
  Row,
  'attempt' | 'number' | 'outcome' | 'attemptStatus' | 'recordedAt' | 'dueAfterS'
> & {
  attempts: Attempt[];
};

const deliveriesAtOnce = 1_000;

/** Reads every delivery with its attempts, in order of id. One statement reads both, so that they are consistent. */
export async function* readDeliveries(session: Session): AsyncGenerator<Delivery[], void, undefined> {
  for (let after = Number.MIN_SAFE_INTEGER; ;) {
    const deliveries = group(await session.rows<Row>(select, [after, deliveriesAtOnce]));
    yield deliveries;
    const last = deliveries.at(-1);
    if (!last || deliveries.length < deliveriesAtOnce) return;
    after = last.id;
  }
}

const columns =
  'id, webhook_id, event_seq, status, response_status, delivered_at, failed_at, exhausted_at, retry_count, response_body IS NOT NULL AS has_answer';
const select = `SELECT d.id, d.webhook_id AS webhookId, d.event_seq AS eventSeq, d.status, d.response_status AS responseStatus,
    d.delivered_at AS deliveredAt, d.failed_at AS failedAt, d.exhausted_at AS exhaustedAt, d.retry_count AS retryCount,
    d.has_answer AS hasAnswer, e.id AS eventId, e.type AS eventType, e.entity_table AS entityTable, e.entity_key AS entityKey,
    e.occurred_at AS occurredAt, e.subject, e.staging >= c.staging AS isHidden, q.delivery_id IS NOT NULL AS isQueued,
    q.webhook_id AS queuedWebhook, q.event_seq AS queuedEvent, q.lane AS queuedLane, q.state AS queuedState,
    q.due_at IS NOT NULL AS isDue, TIMESTAMPDIFF(SECOND, UTC_TIMESTAMP(3), q.due_at) AS dueInS, q.attempt AS queuedAttempt, q.attempts_before AS attemptsBefore, d.id >= c.unqueued_from AND d.id < c.unqueued_to AS isBeingQueued,
    c.next_delivery_id AS nextId, a.id AS attempt, a.number, a.outcome, a.response_status AS attemptStatus,
    a.recorded_at AS recordedAt, TIMESTAMPDIFF(SECOND, a.recorded_at, q.due_at) AS dueAfterS
  FROM (SELECT ${columns} FROM delivery_log WHERE id > ? ORDER BY id LIMIT ?) d
  JOIN checkpoint c ON c.id = 1
  LEFT JOIN event_log e ON e.seq = d.event_seq
  LEFT JOIN queue q ON q.delivery_id = d.id
  LEFT JOIN attempts a ON a.delivery_id = d.id
  ORDER BY d.id, a.id`;

/** Merges the rows of a delivery, one for each attempt, into one with all attempts. */
function group(rows: readonly Row[]): Delivery[] {
  const deliveries: Delivery[] = [];
  for (const row of rows) {
    const { attempt, number, outcome, attemptStatus, recordedAt, dueAfterS } = row;
    if (deliveries.at(-1)?.id !== row.id) deliveries.push(Object.assign(row, { attempts: [] }));
    if (attempt === null) continue;
    deliveries.at(-1)!.attempts.push({
      ...{ number: number!, outcome: outcome!, responseStatus: attemptStatus, recordedAt, dueAfterS },
    });
  }
  return deliveries;
}
