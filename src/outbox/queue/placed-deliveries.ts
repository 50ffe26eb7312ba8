import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import { openMarker, type MarkedDelivery, type Marker } from '../../db/proof/marks.ts';

/** The act that names the last delivery that is trusted without a mark. */
export const adoptDeliveriesAction = 'store.adopt-deliveries';

/** A delivery to send, with its mark. */
export interface ToProve extends MarkedDelivery {
  mark: Buffer | null;
}

/**
 * Checks for each delivery whether this program placed it, with its present body. Rows of earlier versions have no marks: they are trusted up to the
 * number in the act. Throws AppError ERR_SECRET_KEY.
 */
export async function provePlaced(
  session: Session,
  cipher: Cipher | Marker,
  deliveries: readonly ToProve[],
): Promise<boolean[]> {
  if (deliveries.length === 0) return [];
  const marker = 'encrypt' in cipher ? await openMarker(session, cipher) : cipher;
  const marked = deliveries.map(({ mark, ...delivery }) => marker.isOfDelivery(mark, delivery));
  if (marked.every(Boolean)) return marked;
  const [act] = await readMarkedActs(session, marker, { action: adoptDeliveriesAction, newest: 1 });
  const adoptedTo = Number(act?.details?.['to'] ?? 0);
  return marked.map((isMarked, index) => isMarked || deliveries[index]!.id <= adoptedTo);
}
