import type { Cipher } from '../../crypto/cipher.ts';
import type { Store } from './client.ts';

/** The store, and what encrypts in it. */
export interface EncryptedStore {
  store: Store;
  cipher: Cipher;
}
