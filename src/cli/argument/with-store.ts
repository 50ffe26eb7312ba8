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

/** Opens the store that the configuration names, up to date, for one command. */
export async function withStore<T>(
  options: ConfigOptions,
  work: (opened: OpenedStore) => Promise<T>,
): Promise<T> {
  const config = configOf(options);
  await migrateStore(config.store.url);
  const store = openStore(config.store.url, { connections: 4 });
  try {
    return await work({ config, store, cipher: openCipher(config.store) });
  } finally {
    await store.close();
  }
}
