import type { Session } from '../../db/connection/client.ts';
import type { KeyFile } from '../../crypto/key-file.ts';
import { AppError } from '../../lib/errors.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/**
 * Creates the key file at the first start; from then on the store knows its id. Throws AppError ERR_SECRET_KEY when it is missing, or when it is a
 * different file.
 */
export async function ensureKeyFile({ store, cipher }: EncryptedStore): Promise<void> {
  const { keyFile } = cipher.forPatients;
  if (keyFile === null) return;
  if ((await readKnown(store)) === null) {
    await keyFile.create();
    await store.run('UPDATE installation SET key_file = ? WHERE id = 1 AND key_file IS NULL', [keyFile.id]);
  }
  const known = await readKnown(store);
  if (known === keyFile.id) return;
  throw new AppError(
    'ERR_SECRET_KEY',
    `${keyFile.path} is the key file ${keyFile.id}, this store's is ${known!}`,
    {
      remedy:
        'Let store.key_file name that one, or put the latest copy of it there: every daemon on this store needs the same file.',
    },
  );
}

async function readKnown(session: Session): Promise<string | null> {
  const [row] = await session.rows<{ id: string | null }>(
    'SELECT key_file AS id FROM installation WHERE id = 1',
  );
  return row?.id ?? null;
}

/** Keys of a key file that may be destroyed, because their erasures are recorded and sealed. */
export type Erasures = (session: Session, slots: readonly string[]) => Promise<ReadonlySet<string>>;

export interface Destroyed {
  destroyed: number;
  /** Keys that the store names but no sealed erasure: they are not changed. */
  unexplained: number;
}

/**
 * Removes the keys of erased patients from the key file. The erasure itself calls it, and every daemon repeats it from time to time, because a crash may
 * have interrupted it, or an old copy of the file may have been restored. It does not trust the table that names the keys, because a wrongly destroyed key
 * is lost forever.
 */
export async function destroyKeys({ store, cipher }: EncryptedStore, erasures: Erasures): Promise<Destroyed> {
  const { keyFile } = cipher.forPatients;
  const nothing = { destroyed: 0, unexplained: 0 };
  if (keyFile === null) return nothing;
  keyFile.reload();
  if ((await readPending(store, keyFile)).length === 0) return nothing;
  return store.transaction(async (tx) => {
    // Only one process at a time replaces the file.
    await tx.rows('SELECT id FROM installation WHERE id = 1 FOR UPDATE');
    keyFile.reload();
    const pending = await readPending(tx, keyFile);
    if (pending.length === 0) return nothing;
    const allowed = await erasures(tx, pending);
    const slots = pending.filter((slot) => allowed.has(slot));
    if (slots.length > 0) await keyFile.destroy(slots);
    return { destroyed: slots.length, unexplained: pending.length - slots.length };
  });
}

async function readPending(session: Session, keyFile: KeyFile): Promise<string[]> {
  const rows = await session.rows<{ slot: string }>('SELECT slot FROM destroyed_keys WHERE key_file = ?', [
    keyFile.id,
  ]);
  return rows.map(({ slot }) => slot).filter((slot) => keyFile.has(slot));
}
