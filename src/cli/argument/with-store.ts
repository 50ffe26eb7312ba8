import { requirePinnedKey } from '../../audit/seal/pinned-key.ts';
import type { Config } from '../../config/types.ts';
import { openStore, type Store } from '../../db/connection/client.ts';
import { openCipher, type Cipher } from '../../crypto/cipher.ts';
import { migrateStore } from '../../db/schema/migrate.ts';
import { configOf, type ConfigOptions } from './config-option.ts';

export interface OpenedStore {
  config: Config;
  store: Store;
  cipher: Cipher;
}

interface Opening {
  /** For commands that verify the log or begin a new one: also opens a log whose key is not `audit.key`. */
  anyLog?: boolean;
}

/** Migrates and opens the configured store for one command. Throws as `requirePinnedKey` does. */
export async function withStore<T>(
  options: ConfigOptions,
  work: (opened: OpenedStore) => Promise<T>,
  { anyLog = false }: Opening = {},
): Promise<T> {
  const config = configOf(options);
  await migrateStore(config.store.url);
  const store = openStore(config.store.url, { connections: 4 });
  try {
    if (!anyLog) await requirePinnedKey(store, config.audit.key);
    return await work({ config, store, cipher: openCipher(config.store) });
  } finally {
    await store.close();
  }
}
