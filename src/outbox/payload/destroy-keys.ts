import type { Session } from '../../db/connection/client.ts';
import type { KeyFile } from '../../crypto/key-file.ts';
import { AppError } from '../../lib/errors.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/**
 * Makes the key file at the first start; from then on the store knows it by its id. Throws AppError ERR_SECRET_KEY when it is not
 * there any more, or another one.
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

/** Keys of a key file that may be destroyed: erasures that gave them up are on record and sealed. */
export type Erasures = (session: Session, slots: readonly string[]) => Promise<ReadonlySet<string>>;

export interface Destroyed {
  destroyed: number;
  /** Keys that the store names and no sealed erasure does: nothing is done to them. */
  unexplained: number;
}

/**
 * Takes the keys that erasures gave up out of the key file: the erasure itself does, and every daemon now and then, because a crash may
 * have come between, or an old copy of the file was put in its place. The table that names them is not believed: a key that is destroyed
 * for a wrong reason is lost for good.
 */
export async function destroyKeys({ store, cipher }: EncryptedStore, erasures: Erasures): Promise<Destroyed> {
  const { keyFile } = cipher.forPatients;
  const nothing = { destroyed: 0, unexplained: 0 };
  if (keyFile === null) return nothing;
  keyFile.reload();
  if ((await readPending(store, keyFile)).length === 0) return nothing;
  return store.transaction(async (tx) => {
    // One process at a time replaces the file.
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
