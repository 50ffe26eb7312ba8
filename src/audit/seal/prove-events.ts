import type { Session } from '../../db/connection/client.ts';
import { idIn } from '../../db/connection/sql-text.ts';
import { readSealState } from '../../db/proof/seal-key.ts';
import { anchorSeal, broken, proveAnchor, proveSeal, readLastSeal, readSeals, type Seal } from './chain.ts';
import { entryHash, readEntries } from './entry.ts';
import type { Leaf } from './pack.ts';
import { readProvedLeaves } from './prove-leaves.ts';

/**
 * Returns which of these events are in the log as sealed, including their times: only their age may be trusted. Unsealed events are left
 * out. Throws AppError ERR_AUDIT if an event was changed.
 */
export async function proveEvents(tx: Session, seqs: readonly number[]): Promise<Set<number>> {
  const proved = new Set<number>();
  const state = await readSealState(tx);
  const last = state && (await readLastSeal(tx));
  if (!last) return proved;
  const rows = new Map((await readEntries(tx, 'event_log', idIn('{id}', seqs))).map((row) => [row.id, row]));
  let leaves = new Map<number, Leaf>();
  for (const seq of seqs) {
    if (!leaves.has(seq)) {
      const seal = await findSeal(tx, seq, { from: state.anchor.number + 1, to: last.number });
      if (!seal) continue;
      proveSeal(seal, state.publicKey);
      const byLog = await readProvedLeaves(tx, seal);
      leaves = new Map((byLog.get('event_log') ?? []).map((leaf) => [leaf.id, leaf]));
    }
    const [leaf, row] = [leaves.get(seq), rows.get(seq)];
    if (!leaf || !row) continue;
    if (!entryHash('event_log', row, leaf.content).equals(leaf.hash)) throw broken(`event ${seq} was edited`);
    proved.add(seq);
  }
  return proved;
}

/** Finds the seal of an event by binary search: progress grows with the seal number. Seals of version 1 contain no events. */
async function findSeal(
  tx: Session,
  seq: number,
  range: { from: number; to: number },
): Promise<Seal | undefined> {
  let { from, to } = range;
  let found: Seal | undefined;
  while (from <= to) {
    const middle = Math.floor((from + to) / 2);
    const [seal] = await readSeals(tx, 'number = ?', [middle]);
    if (!seal) throw broken(`seal ${middle} is missing`);
    if ((seal.progress?.event_log.to ?? 0) >= seq) {
      found = seal;
      to = middle - 1;
    } else from = middle + 1;
  }
  return found;
}

/** Returns up to which event retention has dropped seals; 0 before the first drop. Throws AppError ERR_AUDIT. */
export async function readDroppedTo(session: Session): Promise<number> {
  const state = await readSealState(session);
  if (!state || state.anchor.number === 0) return 0;
  proveAnchor(state);
  return anchorSeal(state)?.progress?.event_log.to ?? 0;
}
