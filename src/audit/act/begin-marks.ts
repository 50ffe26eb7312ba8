import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import { openMarker } from '../../db/proof/marks.ts';
import { stageOf, type SealState } from '../../db/proof/seal-key.ts';
import { adoptDeliveriesAction } from '../../outbox/queue/placed-deliveries.ts';
import { engine, writeAct } from './record-act.ts';

/**
 * In a store of version f84be48, writes the act up to which delivery no marks are expected. Called before the beginning of the log is
 * signed anew; after that the store counts as one whose deliveries all have marks.
 */
export async function beginMarks(tx: Session, state: SealState, cipher: Cipher): Promise<void> {
  if (stageOf(state) === 'old') await adoptDeliveries(tx, cipher);
}

/** Writes the act by which the existing deliveries are believed without a mark, unless the present log has it already. */
export async function adoptDeliveries(tx: Session, cipher: Cipher): Promise<void> {
  const marker = await openMarker(tx, cipher);
  const known = await readMarkedActs(tx, marker, { action: adoptDeliveriesAction, newest: 1 });
  if (known.length > 0) return;
  const [row] = await tx.rows<{ to: number }>(
    `SELECT GREATEST(COALESCE((SELECT MAX(id) FROM delivery_log), 0), COALESCE((SELECT next_delivery_id FROM checkpoint WHERE id = 1), 1) - 1) AS \`to\``,
  );
  if (row!.to === 0) return;
  await writeAct(tx, marker, { actor: engine, action: adoptDeliveriesAction, details: { to: row!.to } });
}
