import type { Cipher } from '../../crypto/cipher.ts';
import type { Store } from '../../db/connection/client.ts';
import { openMarker } from '../../db/proof/marks.ts';
import { resealSealKey } from '../../db/proof/seal-key.ts';
import { file, writeAct } from './record-act.ts';

/**
 * Seals the signing key of the log with the present encryption key, where it is sealed with another or lies in the clear, and puts the change
 * on record in the same transaction: as the configuration file's, with the ids of the keys. Returns whether there was one. Throws AppError
 * ERR_SECRET_KEY when the former key is not configured.
 */
export async function recordKeyChange(store: Store, cipher: Cipher): Promise<boolean> {
  return store.transaction(async (tx) => {
    const [row] = await tx.rows<{ sealed: string }>(
      'SELECT private_key AS sealed FROM seal_state WHERE id = 1 FOR UPDATE',
    );
    if (!row || !cipher.isStale(row.sealed)) return false;
    await resealSealKey(tx, cipher, row.sealed);
    const marker = await openMarker(tx, cipher);
    await writeAct(tx, marker, {
      actor: file,
      action: 'store.change-key',
      details: { from: cipher.keyIdOf(row.sealed), to: cipher.keyId },
    });
    return true;
  });
}
