import { fromSqlDatetime } from '../../../outbox/sql-datetime.ts';
import { failDelivery, type DeliveryWalk } from './delivery-walk.ts';
import { findLateness, findQueueFlaw } from './queue-flaw.ts';
import type { Delivery } from './read-deliveries.ts';

/*
 * The unsealed columns of `delivery_log` follow from the attempts of a delivery, and from the acts that end or reopen it:
 *
 *   open        in the queue; failed_at is that of the last attempt, unless it was reopened since
 *   delivered   the last attempt was delivered; delivered_at is when that was recorded
 *   exhausted   the last attempt failed; or an erasure, or the deletion of the webhook, ended it at that time
 *
 *   retry_count, response_status   of the last attempt
 */

/** Returns whether the delivery was reopened, which an act must explain. */
export function checkStatus(walk: DeliveryWalk, delivery: Delivery): boolean {
  switch (delivery.status) {
    case 'open':
      return checkOpen(walk, delivery);
    case 'delivered':
      checkDelivered(delivery);
      return false;
    case 'exhausted':
      checkExhausted(walk, delivery);
      return false;
  }
}

function checkOpen(walk: DeliveryWalk, delivery: Delivery): boolean {
  checkPlace(walk, delivery);
  const last = delivery.attempts.at(-1);
  if (delivery.isQueued === 0) {
    if (delivery.isBeingQueued === 1) return false;
    failDelivery(
      delivery,
      ['status'],
      'is open and it is not in the queue: it would never be sent',
      'deleted',
    );
  }
  const count = last?.number ?? 0;
  const isReopened = delivery.attemptsBefore! > 0 && delivery.attemptsBefore === count;
  if (last?.outcome === 'delivered' && !isReopened)
    failDelivery(delivery, ['status'], 'is open and its last attempt was delivered');
  const failedAt = isReopened || !last ? null : last.recordedAt;
  if (isReopened || !last || last.recordedAt !== null) requireMoments(delivery, { failedAt });
  return isReopened;
}

function checkDelivered(delivery: Delivery): void {
  requireNotQueued(delivery);
  const last = delivery.attempts.at(-1);
  if (last?.outcome !== 'delivered')
    failDelivery(delivery, ['status'], 'is delivered and its last attempt was not');
  if (last.recordedAt !== null) requireMoments(delivery, { deliveredAt: last.recordedAt });
}

function checkExhausted(walk: DeliveryWalk, delivery: Delivery): void {
  requireNotQueued(delivery);
  const last = delivery.attempts.at(-1);
  const { exhaustedAt, failedAt } = delivery;
  if (exhaustedAt === null) failDelivery(delivery, ['exhausted_at'], 'is missing');
  if (last && last.outcome !== 'delivered' && last.recordedAt === null) return;
  if (last && last.outcome !== 'delivered' && exhaustedAt === last.recordedAt) {
    requireMoments(delivery, { exhaustedAt, failedAt: exhaustedAt });
    return;
  }
  if (!isGivenUp(walk, delivery)) {
    const why = last ? 'is not when its last attempt was recorded' : 'is explained by no attempt';
    const outcome = last?.outcome === 'delivered' ? ['status'] : ['exhausted_at'];
    failDelivery(
      delivery,
      outcome,
      `${why}, and no act on record ended it then`,
      last ? 'edited' : 'unexplained',
    );
  }
  const isOneOf = failedAt === exhaustedAt || (last !== undefined && failedAt === last.recordedAt);
  if (!isOneOf)
    failDelivery(delivery, ['failed_at'], 'is neither that of its last attempt nor when it was ended');
  requireMoments(delivery, { exhaustedAt, failedAt });
}

/** Whether an erasure or the deletion of its webhook ended the delivery at that time. */
function isGivenUp({ excuses, webhooks, progress }: DeliveryWalk, delivery: Delivery): boolean {
  const { subject, eventSeq, webhookId, exhaustedAt, id } = delivery;
  const atMs = fromSqlDatetime(exhaustedAt!);
  const erasedAtMs = excuses.erasedAtMs(subject, eventSeq);
  const deletedAt = webhooks.get(webhookId)?.deleted_at ?? null;
  // For version f84be48 the times are not known exactly.
  if (id <= progress.old.delivery_log) return erasedAtMs.length > 0 || deletedAt !== null;
  return erasedAtMs.includes(atMs) || (deletedAt !== null && Date.parse(deletedAt) === atMs);
}

function requireNotQueued(delivery: Delivery): void {
  if (delivery.isQueued === 1)
    failDelivery(delivery, ['status'], `is ${delivery.status} and it is in the queue`, 'inserted');
}

type Moments = Partial<Pick<Delivery, 'deliveredAt' | 'failedAt' | 'exhaustedAt'>>;

function requireMoments(
  delivery: Delivery,
  { deliveredAt = null, failedAt = null, exhaustedAt = null }: Moments,
): void {
  const wrong = [
    ...(delivery.deliveredAt === deliveredAt ? [] : ['delivered_at']),
    ...(delivery.failedAt === failedAt ? [] : ['failed_at']),
    ...(delivery.exhaustedAt === exhaustedAt ? [] : ['exhausted_at']),
  ];
  if (wrong.length > 0) failDelivery(delivery, wrong, 'is not what its attempts say');
}

/** Checks that the queue would send this event to this webhook, in its order. */
function checkPlace({ progress }: DeliveryWalk, delivery: Delivery): void {
  const { id, isQueued, queuedAttempt: attempt } = delivery;
  if (isQueued === 0) return;
  const found = findQueueFlaw({ ...delivery, attempt }, delivery.attempts.at(-1)?.number ?? 0);
  if (!found) return;
  // Attempt numbers and order of version f84be48 are not checked.
  const isOfOld = id <= progress.old.delivery_log && !isPlace(found.fields);
  if (!isOfOld) failDelivery(delivery, found.fields, found.why);
}

/** Checks that the delivery is due at a time that the retry schedule can produce. Runs last, because other flaws of a delivery say more. */
export function checkLateness({ progress }: DeliveryWalk, delivery: Delivery): void {
  if (delivery.isQueued === 0 || delivery.id <= progress.old.delivery_log) return;
  const late = findLateness({ ...delivery, attempt: delivery.queuedAttempt }, delivery.attempts.at(-1));
  if (late !== undefined) failDelivery(delivery, ['due_at'], `in the queue is ${late}`);
}

const isPlace = ([field]: readonly string[]): boolean => field === 'webhook_id' || field === 'event_seq';
