import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { readMarkedActs } from '../../db/proof/marked-acts.ts';
import { openMarker } from '../../db/proof/marks.ts';
import { stageOf, type SealState } from '../../db/proof/seal-key.ts';
import { adoptDeliveriesAction } from '../../outbox/queue/placed-deliveries.ts';
import { readCaptureState, writeMark } from '../../outbox/checkpoint.ts';
import { engine, writeAct } from './record-act.ts';

/**
 * Runs before the beginning of the log is signed as one whose rows all have marks. In a store of version f84be48, writes the act that says
 * up to which delivery no mark is expected, and marks the checkpoint at its present position; in a new store, marks that nothing was
 * captured.
 */
export async function beginMarks(tx: Session, state: SealState, cipher: Cipher): Promise<void> {
  const stage = stageOf(state);
  if (stage === 'old') await adoptDeliveries(tx, cipher);
  if (stage === 'old' || stage === 'empty') await markCheckpoint(tx, cipher, { evenMoved: stage === 'old' });
}

async function markCheckpoint(
  tx: Session,
  cipher: Cipher,
  { evenMoved }: { evenMoved: boolean },
): Promise<void> {
  await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
  const { epoch, checkpoint, mark } = await readCaptureState(tx);
  if (mark !== null || (checkpoint !== null && !evenMoved)) return;
  await writeMark(tx, { marker: await openMarker(tx, cipher), epoch, from: checkpoint });
}

/** Writes the act by which the existing deliveries are accepted without a mark, unless the present log already has that act. */
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
