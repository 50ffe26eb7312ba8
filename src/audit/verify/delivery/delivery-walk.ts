import type { Session } from '../../../db/connection/client.ts';
import type { Marker } from '../../../db/proof/marks.ts';
import type { WebhookState } from '../../act/webhook-state.ts';
import type { Progress } from '../../seal/progress.ts';
import type { Excuses } from '../excuses.ts';
import { fail } from '../flaw.ts';
import type { FailingSince } from './failing-since.ts';
import type { Delivery } from './read-deliveries.ts';

export interface DeliveryWalk {
  session: Session;
  marker: Marker;
  excuses: Excuses;
  progress: Progress;
  /** The last delivery whose attempts retention may have dropped; null if it has dropped no seal. */
  droppedTo: number | null;
  webhooks: ReadonlyMap<number, WebhookState | null>;
  failing: FailingSince;
  onDeliveries(count: number): void;
}

export function failDelivery(
  delivery: Delivery,
  fields: string[],
  why: string,
  kind: 'edited' | 'deleted' | 'inserted' | 'unexplained' = 'edited',
): never {
  return fail(kind, {
    message: `delivery ${delivery.id}: ${fields.join(', ')}${fields.length > 0 ? ' ' : ''}${why}`,
    ...{ log: 'delivery_log', entryId: delivery.id, delivery: delivery.id, fields },
  });
}
