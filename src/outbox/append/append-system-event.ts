import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { openMarker } from '../../db/proof/marks.ts';
import type { DomainEvent } from '../../event/types.ts';
import {
  claimVariables,
  insertDeliveries,
  insertEvents,
  insertQueue,
  type PlacedDelivery,
} from './append-statements.ts';
import { enterQueue } from './enter-queue.ts';
import type { Router } from './fan-out.ts';
import { createPayloadEncryptor } from '../payload/payload-encryptor.ts';
import { lanesInUse, lanesOf } from '../queue/queue-lanes.ts';

/**
 * Appends a system event (`webhook.disabled`, `audit.sealed`, `capture.gap`) within the transaction that causes it. Any process may do this. Returns the
 * number of its deliveries; 0 also when the log already has the event.
 */
export async function appendSystemEvent(
  tx: Session,
  event: DomainEvent,
  { route, cipher }: { route: Router; cipher: Cipher },
): Promise<number> {
  return enterQueue(tx, async ({ eventSeq, deliveryId }) => {
    const known = await tx.rows('SELECT 1 FROM event_log WHERE id = ?', [event.id]);
    if (known.length > 0) return { statements: [], events: 0, deliveries: 0, result: 0 };
    const placed = { seq: eventSeq, event, transactionId: 'odontology-webhooks' };
    const encryptor = await createPayloadEncryptor(tx, cipher, [event]);
    const marker = await openMarker(tx, cipher);
    const planned = route(event);
    const used = await lanesInUse(tx, lanesOf(planned));
    const deliveries = planned.map((delivery, index): PlacedDelivery => ({
      ...delivery,
      id: deliveryId + index,
      of: placed,
      state: delivery.lane !== null && used.has(delivery.lane) ? 'waiting' : 'pending',
    }));
    const rows = deliveries.map(({ id, webhookId, lane, state }) => ({
      id,
      webhookId,
      eventSeq,
      lane,
      state,
    }));
    return {
      statements: [
        claimVariables(0),
        ...encryptor.statements,
        ...insertEvents([placed], { staging: 0, encryptor }),
        ...insertDeliveries(deliveries, { encryptor, marker }),
        ...insertQueue(rows, ''),
      ],
      events: 1,
      deliveries: deliveries.length,
      result: deliveries.length,
    };
  });
}
