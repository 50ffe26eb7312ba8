import type { SecretBox } from '../../crypto/encryption.ts';
import type { Store } from './client.ts';

/** The store, and what encrypts in it. */
export interface EncryptedStore {
  store: Store;
  box: SecretBox;
}
