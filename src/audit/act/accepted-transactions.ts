import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import type { Marker } from '../../db/proof/marks.ts';
import type { Session } from '../../db/connection/client.ts';

/** Returns the ids of `waived` that no recorded act accepted: SQL put them into the checkpoint, and their changes would be lost. */
export async function findUnaccepted(
  session: Session,
  marker: Marker,
  waived: readonly string[],
): Promise<string[]> {
  if (waived.length === 0) return [];
  const acts = [
    ...(await readMarkedActs(session, marker, { action: 'capture.accept-gap' })),
    ...(await readMarkedActs(session, marker, { action: 'store.adopt' })),
  ];
  const accepted = new Set(
    acts.flatMap(({ details }) => [
      details?.['transaction'],
      ...((details?.['transaction_ids'] ?? []) as unknown[]),
      ...((details?.['waived'] ?? []) as unknown[]),
    ]),
  );
  return waived.filter((id) => !accepted.has(id));
}
