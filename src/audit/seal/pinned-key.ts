import type { Session } from '../../db/connection/client.ts';
import { fingerprintOf, readSealState } from '../../db/proof/seal-key.ts';
import { AppError } from '../../lib/errors.ts';

const remedy =
  'Put the tables seal_state, seals and seal_packs back from a backup of the store, and run `audit verify`. If store.url names the right store, ' +
  'and the new log is meant (a new store, `audit begin-anew`), set audit.key to the fingerprint of its key, or to null before its first start.';

/** The error for a store that has no log. */
export function missingLog(key: string): AppError {
  return new AppError('ERR_AUDIT', `the store has no sealed log, and audit.key names the key ${key}`, {
    remedy,
  });
}

/**
 * Refuses a log that is not signed by the configured key (`audit.key`, a fingerprint; null for any), and a store without a log. The host
 * thereby remembers that a log existed. Throws AppError ERR_AUDIT.
 */
export async function requirePinnedKey(session: Session, key: string | null): Promise<void> {
  if (key === null) return;
  const state = await readSealState(session);
  if (!state) throw missingLog(key);
  const found = fingerprintOf(state.publicKey);
  if (found === key) return;
  throw new AppError('ERR_AUDIT', `the sealed log is that of the key ${found}, and audit.key names ${key}`, {
    remedy,
  });
}
