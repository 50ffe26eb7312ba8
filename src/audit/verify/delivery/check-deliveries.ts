import type { Session } from '../../../db/connection/client.ts';
import { readAhead } from '../../../lib/read-ahead.ts';
import { readRecordedStates } from '../../act/webhook-state.ts';
import { fail } from '../flaw.ts';
import { checkReopened } from './check-reopened.ts';
import { checkLateness, checkStatus } from './check-status.ts';
import { failDelivery, type DeliveryWalk } from './delivery-walk.ts';
import { readDeliveries, type Delivery } from './read-deliveries.ts';

/** Compares every delivery with its attempts and with the acts on record. */
export async function checkDeliveries(walk: DeliveryWalk): Promise<void> {
  const pages = readAhead(readDeliveries(walk.session), 1, (page) => Promise.resolve(page));
  for await (const deliveries of pages) {
    const reopened: Delivery[] = [];
    for (const delivery of deliveries) if (checkDelivery(walk, delivery)) reopened.push(delivery);
    await checkReopened(walk, reopened);
    await checkWebhooksOf(walk, deliveries);
    for (const delivery of deliveries) checkLateness(walk, delivery);
    for (const { webhookId, attempts } of deliveries)
      for (const attempt of attempts) walk.failing.see(webhookId, attempt);
    walk.onDeliveries(deliveries.length);
  }
  await checkOrphans(walk.session);
  await walk.failing.end();
}

/** Returns whether the delivery was reopened, which an act must explain. */
function checkDelivery(walk: DeliveryWalk, delivery: Delivery): boolean {
  const { progress, droppedTo } = walk;
  if (delivery.id < 1 || delivery.id >= delivery.nextId)
    failDelivery(delivery, [], 'was inserted: its number has not been given out', 'inserted');
  if (delivery.eventId === null)
    failDelivery(delivery, ['event_seq'], 'names an event that is not there', 'deleted');
  if (delivery.isHidden === 1) {
    // Nothing of a transaction that is being staged is sealed yet.
    if (delivery.id > progress.delivery_log.to) return false;
    failDelivery(delivery, ['staging'], 'was edited: it is hidden from all lists');
  }
  // Retention removes the attempts first.
  if (droppedTo !== null && delivery.id <= droppedTo && delivery.attempts.length === 0) return false;
  checkNumbers(delivery, droppedTo !== null);
  return checkStatus(walk, delivery);
}

/** Fails for deliveries to webhooks that no act created. Some webhooks of version f84be48 are no longer known. */
async function checkWebhooksOf(walk: DeliveryWalk, deliveries: readonly Delivery[]): Promise<void> {
  const findStrange = (): Delivery | undefined =>
    deliveries.find(
      ({ id, webhookId }) => id > walk.progress.old.delivery_log && !walk.webhooks.has(webhookId),
    );
  if (!findStrange()) return;
  // The webhook may have been created since.
  walk.webhooks = await readRecordedStates(walk.session, walk.marker);
  const strange = findStrange();
  if (strange) failDelivery(strange, ['webhook_id'], 'names a webhook that is on no record', 'unexplained');
}

function checkNumbers(delivery: Delivery, mayLackFirst: boolean): void {
  const numbers = delivery.attempts.map(({ number }) => number);
  const first = numbers[0] ?? 1;
  const follows = numbers.every((number, index) => number === first + index);
  if (!follows || (first !== 1 && !mayLackFirst))
    failDelivery(
      delivery,
      ['number'],
      `of its attempts does not count from 1 (${numbers.slice(0, 10).join(', ')})`,
    );
  const last = delivery.attempts.at(-1);
  if (delivery.retryCount !== (last?.number ?? 1) - 1)
    failDelivery(delivery, ['retry_count'], `is not that of its ${numbers.length} attempts`);
  if (!last && delivery.hasAnswer === 1)
    failDelivery(delivery, ['response_body'], 'is there without an attempt', 'inserted');
  // Version f84be48 kept the response of the attempt before a lost one.
  if (last?.outcome === 'lost' && last.recordedAt === null) return;
  if (delivery.responseStatus !== (last?.responseStatus ?? null))
    failDelivery(delivery, ['response_status'], 'is not that of its last attempt');
}

/** Fails for rows of the queue whose delivery is not in the log. */
async function checkOrphans(session: Session): Promise<void> {
  const [orphan] = await session.rows<{ id: number }>(
    'SELECT q.delivery_id AS id FROM queue q LEFT JOIN delivery_log d ON d.id = q.delivery_id WHERE d.id IS NULL LIMIT 1',
  );
  if (!orphan) return;
  fail('inserted', {
    message: `delivery ${orphan.id} is in the queue and not in the log`,
    delivery: orphan.id,
  });
}
