import type { Cipher } from '../../crypto/cipher.ts';
import type { Store } from './client.ts';

/** The store, and the cipher for its encrypted columns. */
export interface EncryptedStore {
  store: Store;
  cipher: Cipher;
}
