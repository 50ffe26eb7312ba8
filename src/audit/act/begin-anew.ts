import { makeSealKey, readSealState } from '../../db/proof/seal-key.ts';
import { openMarker } from '../../db/proof/marks.ts';
import type { Session } from '../../db/connection/client.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';
import { AppError } from '../../lib/errors.ts';
import { acceptPosition, readCaptureState } from '../../outbox/checkpoint.ts';
import { proveEnd } from '../seal/chain.ts';
import { beginAnewAction, type AcceptedEntries } from '../seal/accepted-entries.ts';
import { adoptStore } from './adopt.ts';
import { adoptDeliveries } from './begin-marks.ts';
import { writeAct, type Actor } from './record-act.ts';

/** The reason for a new log, and the counts of the rows that it takes over without proof. */
export interface NewBeginning {
  /** Why the old log cannot be continued. */
  lost: string;
  events: number;
  deliveries: number;
  attempts: number;
  acts: number;
  /** Deliveries in the queue: they will be sent. */
  queued: number;
  /** Running replays: they will be cancelled. */
  replays: number;
}

/** Returns what `beginAnew` would do. Throws AppError ERR_USAGE if the end of the log is valid: then nothing is lost. */
export async function checkLostLog(
  session: Session,
  cipher: EncryptedStore['cipher'],
): Promise<NewBeginning> {
  const lost = await findLoss(session, cipher);
  const [row] = await session.rows<Omit<NewBeginning, 'lost'>>(
    `SELECT (SELECT COUNT(*) FROM event_log) AS events, (SELECT COUNT(*) FROM delivery_log) AS deliveries,
       (SELECT COUNT(*) FROM attempts) AS attempts, (SELECT COUNT(*) FROM audit_log) AS acts, (SELECT COUNT(*) FROM queue) AS queued,
       (SELECT COUNT(*) FROM replays WHERE state = 'running') AS replays`,
  );
  return { lost, ...row! };
}

async function findLoss(session: Session, cipher: EncryptedStore['cipher']): Promise<string> {
  const state = await readSealState(session);
  if (!state) return 'its signing key is missing';
  try {
    await proveEnd(session, state, { cipher, memory: {} });
  } catch (error) {
    if (error instanceof AppError && error.code === 'ERR_AUDIT') return error.message;
    throw error;
  }
  throw new AppError('ERR_USAGE', 'The end of the sealed log holds, so there is nothing to begin anew.', {
    remedy: 'odontology-webhooks audit verify names what was edited.',
  });
}

/**
 * Begins a new log with a new key when the old one cannot be continued, on record: the first act says who accepted it, why, and up to which
 * entries the new log takes over rows that nothing proves. Removes the remaining old seals. A patient's key that is still in the key file
 * is not destroyed because of such an unproved row. Throws as `checkLostLog`, and AppError ERR_SECRET_KEY.
 */
export async function beginAnew(
  { store, cipher }: EncryptedStore,
  { actor, reason }: { actor: Actor; reason: string },
): Promise<NewBeginning> {
  return store.transaction(async (tx) => {
    await tx.rows('SELECT id FROM checkpoint WHERE id = 1 FOR UPDATE');
    const found = await checkLostLog(tx, cipher);
    for (const table of ['seal_state', 'seals', 'seal_packs', 'seal_leaves'])
      await tx.run(`DELETE FROM ${table}`);
    await tx.run(
      "UPDATE replays SET state = 'cancelled', finished_at = UTC_TIMESTAMP(3) WHERE state = 'running'",
    );
    await makeSealKey(tx, cipher, { onlyIfEmpty: false });
    const [taken] = await tx.rows<AcceptedEntries>(
      `SELECT COALESCE((SELECT MAX(id) FROM attempts), 0) AS attempts, COALESCE((SELECT MAX(id) FROM audit_log), 0) AS audit_log,
         COALESCE((SELECT MAX(id) FROM delivery_log), 0) AS delivery_log`,
    );
    const { checkpoint, epoch, waived } = await readCaptureState(tx);
    const position = checkpoint?.position ?? null;
    const details = { reason, lost: found.lost, taken_over: taken!, position };
    const marker = await openMarker(tx, cipher);
    await writeAct(tx, marker, { actor, action: beginAnewAction, details });
    await adoptStore(tx, cipher, { kind: 'lost', to: taken! });
    await adoptDeliveries(tx, cipher);
    // A process that captures with the former key rereads the row.
    await acceptPosition(tx, waived, { marker, epoch, from: checkpoint });
    return found;
  });
}
