import { idIn } from '../db/sql-text.ts';
import type { SealVault } from './seal.ts';
import { anchorText, privateKeyOf, readSealState, signText } from './seal-key.ts';
import { sealedLogs } from './entry.ts';

const sealsAtOnce = 20;

/**
 * Removes the oldest seals whose time is over, with all their entries, in one bounded transaction. The chain then begins with a
 * signed note of where it was cut, so that it still verifies; its last seal always stays. Returns how many went; call
 * again while that is `sealsAtOnce`.
 */
export async function dropSeals(
  { store, box }: SealVault,
  { olderThanMs }: { olderThanMs: number },
): Promise<{ dropped: number; more: boolean }> {
  return store.transaction(async (tx) => {
    const state = await readSealState(tx, { lock: true });
    if (!state) return { dropped: 0, more: false };
    const old = await tx.rows<{ number: number; hash: string; isOld: number }>(
      `SELECT number, hash, sealed_at < UTC_TIMESTAMP(3) - INTERVAL ? MICROSECOND AS isOld FROM seals
       WHERE number < ? ORDER BY number LIMIT ?`,
      [olderThanMs * 1_000, state.progress.seals, sealsAtOnce],
    );
    const young = old.findIndex(({ isOld }) => isOld === 0);
    const dropped = young < 0 ? old : old.slice(0, young);
    const last = dropped.at(-1);
    if (!last) return { dropped: 0, more: false };
    for (const log of sealedLogs) {
      const entries = await tx.rows<{ id: number }>(
        'SELECT entry_id AS id FROM seal_leaves WHERE seal <= ? AND log = ?',
        [last.number, log],
      );
      await tx.run(
        `DELETE FROM ${log} WHERE ${idIn(
          'id',
          entries.map(({ id }) => id),
        )}`,
      );
    }
    const signature = signText(privateKeyOf(state, box), anchorText(last));
    await tx.run('DELETE FROM seal_leaves WHERE seal <= ?', [last.number]);
    await tx.run('DELETE FROM seals WHERE number <= ?', [last.number]);
    await tx.run(
      'UPDATE seal_state SET anchor_number = ?, anchor_hash = ?, anchor_signature = ? WHERE id = 1',
      [last.number, last.hash, signature],
    );
    return { dropped: dropped.length, more: dropped.length === sealsAtOnce };
  });
}
