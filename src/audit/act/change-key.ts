import type { Cipher } from '../../crypto/cipher.ts';
import type { Store } from '../../db/connection/client.ts';
import { openMarker } from '../../db/proof/marks.ts';
import { resealSealKey } from '../../db/proof/seal-key.ts';
import { file, writeAct } from './record-act.ts';

/**
 * Encrypts the signing key of the log with the present encryption key, if it is encrypted with another or stored in clear text, and records
 * the change in the same transaction, with the configuration file as actor and the ids of the keys. Returns whether the signing key was
 * encrypted again. Throws AppError ERR_SECRET_KEY if the former key is not configured.
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
