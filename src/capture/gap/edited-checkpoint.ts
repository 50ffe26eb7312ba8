import { findUnaccepted } from '../../audit/act/accepted-transactions.ts';
import { HaltError, type Halt } from '../../binlog/halt.ts';
import { editedCheckpointRemedy } from '../../binlog/remedy.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';
import { readMarker } from '../../db/proof/marks.ts';
import { isPositionProved } from '../../outbox/checkpoint-mark.ts';
import type { CaptureState } from '../../outbox/types.ts';

/**
 * The halt for a checkpoint that SQL has edited, null for one that this program wrote: a position without its mark, or transactions to pass
 * over that no act on record gave up. Read from such a place, changes would be lost, or read again. Throws AppError ERR_SECRET_KEY.
 */
export async function findCheckpointEdit(
  { store, cipher }: EncryptedStore,
  state: CaptureState,
): Promise<Halt | null> {
  if (!(await isPositionProved(store, cipher, state)))
    return editedHalt(state, 'the position was not written by odontology-webhooks: it was edited by SQL');
  const [wrong] = await unaccepted({ store, cipher }, state);
  if (wrong === undefined) return null;
  return editedHalt(state, `waived names the transaction ${wrong}, whose loss no act on record accepted`);
}

/** The transactions to pass over that acts on record gave up. */
export async function acceptedTransactions(vault: EncryptedStore, state: CaptureState): Promise<string[]> {
  const wrong = new Set(await unaccepted(vault, state));
  return state.waived.filter((id) => !wrong.has(id));
}

/** Throws a HaltError for a checkpoint that SQL has edited. */
export async function requireOwnCheckpoint(vault: EncryptedStore, state: CaptureState): Promise<void> {
  const halt = await findCheckpointEdit(vault, state);
  if (halt) throw new HaltError(halt);
}

async function unaccepted({ store, cipher }: EncryptedStore, { waived }: CaptureState): Promise<string[]> {
  const marker = waived.length === 0 ? null : await readMarker(store, cipher);
  return marker ? findUnaccepted(store, marker, waived) : [];
}

function editedHalt({ checkpoint }: CaptureState, what: string): Halt {
  const { file, offset } = checkpoint?.position ?? {};
  const at = file === undefined ? 'a checkpoint without a position' : `${file}:${offset}`;
  return {
    reason: 'checkpoint-edited',
    message: `Capture stopped at ${at}: ${what}.`,
    remedy: editedCheckpointRemedy,
    position: checkpoint?.position ?? null,
    transactionId: null,
    table: null,
    missing: null,
    span: { fromMs: null, untilMs: null },
  };
}
