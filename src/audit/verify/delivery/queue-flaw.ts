import { laneOf } from '../../../outbox/append/lane.ts';

/** An open delivery's row of the queue, with the event and the last attempt. */
export interface QueuePlace {
  webhookId: number;
  eventSeq: number;
  entityTable: string | null;
  entityKey: string | null;
  queuedWebhook: number | null;
  queuedEvent: number | null;
  queuedLane: number | null;
  queuedState: 'sending' | 'pending' | 'waiting' | null;
  isDue: number;
  attempt: number | null;
  attemptsBefore: number | null;
  dueInS: number | null;
}

interface QueueFlaw {
  fields: string[];
  why: string;
}

/**
 * Returns the impossible fields of the queue's row: it would send another event, to another webhook, in another order, under another
 * number, or never. Not derived: which delivery of a lane is next (two of one lane may be sent at a time, and the sweep of lanes repairs
 * the rest), and when exactly a retry is due: its jitter and the delay that the receiver asked for are not recorded. `last`: the number of
 * the last attempt, 0 without one.
 */
export function findQueueFlaw(row: QueuePlace, last: number): QueueFlaw | undefined {
  const { webhookId, queuedLane: lane, queuedState: state, attempt } = row;
  if (row.queuedWebhook !== webhookId) return { fields: ['webhook_id'], why: 'is another one in the queue' };
  if (row.queuedEvent !== row.eventSeq) return { fields: ['event_seq'], why: 'is another one in the queue' };
  // Null without an order: the webhook may have had another setting when the delivery was queued.
  if (lane !== null && lane !== laneOf(webhookId, { table: row.entityTable!, key: row.entityKey! }))
    return { fields: ['lane'], why: 'in the queue is not that of its webhook and entity' };
  if (state === 'waiting' && lane === null)
    return { fields: ['state'], why: 'is waiting, and there is nothing that it could wait for' };
  if ((state === 'waiting') === (row.isDue === 1))
    return { fields: ['due_at'], why: `in the queue does not fit the state ${state}` };
  if (attempt !== last + (state === 'sending' ? 1 : 0))
    return { fields: ['attempt'], why: 'in the queue does not follow from its attempts' };
  return undefined;
}

/** The last attempt of a delivery. */
export interface LastAttempt {
  dueAfterS: number | null;
}

/** The clocks of a store's servers may differ by this much after a failover. */
const skewS = 600;
/** The longest delay that `delivery.retry_schedule` accepts, 30 days, with its jitter of 20 %. */
const longestRetryS = 36 * 86_400;

/** Returns why the delivery cannot be due so late; undefined if it can, or is not in the queue. */
export function findLateness(
  { queuedState, dueInS, attempt, attemptsBefore }: QueuePlace,
  last: LastAttempt | undefined,
): string | undefined {
  if (dueInS === null || dueInS <= skewS) return undefined;
  if (queuedState === 'sending') return 'later than a claim can end: it would not be sent before';
  if (attempt === attemptsBefore) return 'in the future, and no attempt has failed since it was opened';
  const delayS = last?.dueAfterS ?? dueInS;
  return delayS > longestRetryS + skewS
    ? 'later than any retry can be due after its last attempt'
    : undefined;
}
