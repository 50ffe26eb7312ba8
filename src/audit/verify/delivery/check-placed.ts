import type { EncryptedStore } from '../../../db/connection/encrypted-store.ts';
import type { Marker } from '../../../db/proof/marks.ts';
import { openPayloads, textOf, type StoredPayload } from '../../../outbox/payload/payloads.ts';
import { forgedReason } from '../../../outbox/queue/claim.ts';
import { provePlaced, type ToProve } from '../../../outbox/queue/placed-deliveries.ts';
import type { Verification } from '../verification.ts';
import { fail } from '../flaw.ts';

interface PlacedCheck {
  vault: EncryptedStore;
  marker: Marker;
  result: Pick<Verification, 'refused'>;
}

type QueuedRow = StoredPayload & Omit<ToProve, 'body'>;

/** For our delivery that SQL edited, and for a delivery that SQL created. */
const forgedRemedy =
  'put the edited columns of its rows of event_log and delivery_log back from a backup of the store; a daemon that has refused it meanwhile sends it after ' +
  '`deliveries retry ID`. Where there is no backup, or SQL made the delivery, nothing is to be done: a daemon ends it without sending it';

/** Rows read at once, with their payloads. */
const deliveriesAtOnce = 200;
const namedRefusals = 20;

/**
 * Checks that this program placed every delivery that is to be sent, with its present payload, and notes the deliveries that the daemon
 * refused because SQL had added or edited them.
 */
export async function checkPlaced({ vault, marker, result }: PlacedCheck): Promise<void> {
  const { store, cipher } = vault;
  for (let after = Number.MIN_SAFE_INTEGER; ;) {
    const rows = await store.rows<QueuedRow>(
      `SELECT q.delivery_id AS id, d.webhook_id AS webhookId, e.seq AS eventSeq, e.id AS eventId, e.type AS eventType, e.subject,
         COALESCE(d.payload, e.body) AS payload, d.mark
       FROM queue q JOIN delivery_log d ON d.id = q.delivery_id JOIN event_log e ON e.seq = d.event_seq
       WHERE q.delivery_id > ? ORDER BY q.delivery_id LIMIT ?`,
      [after, deliveriesAtOnce],
    );
    const opened = await openPayloads(store, cipher, rows);
    // A delivery without a payload is not sent.
    const readable = rows.flatMap((row, index) => {
      const body = textOf(opened[index]);
      return body === null ? [] : [{ ...row, body }];
    });
    const placed = await provePlaced(store, marker, readable);
    const forged = readable.find((_row, index) => !placed[index]);
    if (forged) {
      fail('forged', {
        message: `delivery ${forged.id} was not placed by odontology-webhooks, or not with the payload that it has: it is not sent (remedy: ${forgedRemedy})`,
        ...{ log: 'delivery_log', entryId: forged.id, delivery: forged.id, fields: ['mark'] },
      });
    }
    const last = rows.at(-1);
    if (!last || rows.length < deliveriesAtOnce) break;
    after = last.id;
  }
  const refused = await store.rows<{ id: number }>(
    'SELECT DISTINCT delivery_id AS id FROM attempts WHERE reason = ? ORDER BY delivery_id LIMIT ?',
    [forgedReason, namedRefusals],
  );
  result.refused.push(...refused.map(({ id }) => id));
}
