import type { Cipher } from '../crypto/cipher.ts';
import type { Session } from '../db/connection/client.ts';
import { Marker, type MarkedCheckpoint } from '../db/proof/marks.ts';
import { markKeyOf, readSealState, stageOf } from '../db/proof/seal-key.ts';
import type { CaptureState, Checkpoint } from './types.ts';

/** What the mark of the checkpoint's row covers; null for a checkpoint that has no position. */
export function markedCheckpoint(epoch: number, checkpoint: Checkpoint | null): MarkedCheckpoint {
  const { gtid = null, file = null, offset = null, fileCreatedAt = null } = checkpoint?.position ?? {};
  return {
    ...{ epoch, gtid, file, offset, fileCreatedAt },
    lineage: checkpoint?.lineage ?? null,
    flavour: checkpoint?.flavour ?? null,
    serverUuid: checkpoint?.serverUuid ?? null,
    committedAtMs: wholeMs(checkpoint?.committedAtMs ?? null),
    passedMs: wholeMs(checkpoint?.passedMs ?? null),
  };
}

/** The store keeps milliseconds. */
const wholeMs = (ms: number | null): number | null => (ms === null ? null : Math.trunc(ms));

/**
 * Whether this program wrote the position and the epoch that the checkpoint has. A row without a position needs a mark as well, so that
 * SQL cannot make a store look as if nothing had been captured; only a new store has none until its first seal. An older row that SQL puts
 * back with its mark is not noticed: its changes are read again, under the same ids. Throws AppError ERR_SECRET_KEY.
 */
export async function isPositionProved(
  session: Session,
  cipher: Cipher,
  { epoch, mark, checkpoint }: Pick<CaptureState, 'epoch' | 'mark' | 'checkpoint'>,
): Promise<boolean> {
  const state = await readSealState(session);
  // Opening the appender has made the key, so SQL took it away: sealing and the next append refuse.
  if (!state) return mark === null && checkpoint === null;
  const marker = new Marker(markKeyOf(state, cipher));
  if (marker.isOfCheckpoint(mark, markedCheckpoint(epoch, checkpoint))) return true;
  return mark === null && checkpoint === null && stageOf(state) === 'empty';
}
