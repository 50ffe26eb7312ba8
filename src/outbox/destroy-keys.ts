import type { Session } from '../db/client.ts';
import type { KeyFile } from '../db/key-file.ts';
import { AppError } from '../lib/errors.ts';
import type { WebhookVault } from './webhook-registry.ts';

/**
 * Makes the key file at the first start; from then on the store knows it by its id. Throws AppError ERR_SECRET_KEY when it is not
 * there any more, or another one.
 */
export async function ensureKeyFile({ store, box }: WebhookVault): Promise<void> {
  const { keyFile } = box.forPatients;
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

/**
 * Takes the keys that erasures gave up out of the key file: the erasure itself does, and every daemon now and then, because a crash may
 * have come between, or somebody put an old copy of the file in its place. Returns how many were still there.
 */
export async function destroyKeys({ store, box }: WebhookVault): Promise<number> {
  const { keyFile } = box.forPatients;
  if (keyFile === null) return 0;
  keyFile.reload();
  if ((await readPending(store, keyFile)).length === 0) return 0;
  return store.transaction(async (tx) => {
    // One process at a time replaces the file.
    await tx.rows('SELECT id FROM installation WHERE id = 1 FOR UPDATE');
    keyFile.reload();
    const pending = await readPending(tx, keyFile);
    if (pending.length > 0) await keyFile.destroy(pending);
    return pending.length;
  });
}

async function readPending(session: Session, keyFile: KeyFile): Promise<string[]> {
  const rows = await session.rows<{ slot: string }>('SELECT slot FROM destroyed_keys WHERE key_file = ?', [
    keyFile.id,
  ]);
  return rows.map(({ slot }) => slot).filter((slot) => keyFile.has(slot));
}
