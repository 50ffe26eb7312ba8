import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { AppError } from '../lib/errors.ts';

/** A key of 32 bytes and the name under which its ciphertexts are found again. */
export interface EncryptionKey {
  /** Letters, digits, `-` and `_`. */
  id: string;
  bytes: Uint8Array;
}

/** Seals short texts (secrets) for the store. `context` is authenticated: a text moved to another row does not open. */
export interface SecretBox {
  /** Null when texts are stored in the clear. */
  readonly keyId: string | null;
  seal(plain: string, context: string): string;
  /** Opens what any of the keys sealed; a text in the clear comes back as it is. Throws AppError ERR_SECRET_KEY. */
  open(stored: string, context: string): string;
  /** Whether `seal` would store it differently: in the clear, or under an older key. */
  isStale(stored: string): boolean;
}

const prefix = 'enc:v1:';
const algorithm = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;

/** A box that stores in the clear: no key is configured. It still refuses what a key has sealed. */
export const clearBox: SecretBox = createSecretBox([]);

/** The first key seals, all of them open: to rotate, put the new one first and keep the old until `reseal` has run. */
export function createSecretBox(keys: readonly EncryptionKey[]): SecretBox {
  for (const { id, bytes } of keys) {
    if (!/^[\w-]{1,32}$/.test(id))
      throw new AppError('ERR_CONFIG', `"${id}" is not the id of an encryption key`);
    if (bytes.length !== 32)
      throw new AppError('ERR_CONFIG', `the encryption key "${id}" must have 32 bytes`);
  }
  const current = keys[0];
  return {
    keyId: current?.id ?? null,
    seal: (plain, context) => (current ? encrypt(current, plain, context) : plain),
    open(stored, context) {
      if (!stored.startsWith(prefix)) return stored;
      const [id = '', sealed = ''] = stored.slice(prefix.length).split(':');
      const key = keys.find((candidate) => candidate.id === id);
      if (!key) {
        throw new AppError(
          'ERR_SECRET_KEY',
          `a secret is sealed with the encryption key "${id}", which is not configured`,
        );
      }
      return decrypt(key, sealed, context);
    },
    isStale: (stored) => (current ? !stored.startsWith(`${prefix}${current.id}:`) : false),
  };
}

function encrypt({ id, bytes }: EncryptionKey, plain: string, context: string): string {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv(algorithm, bytes, iv).setAAD(Buffer.from(context));
  const sealed = Buffer.concat([iv, cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `${prefix}${id}:${sealed.toString('base64')}`;
}

function decrypt({ id, bytes }: EncryptionKey, sealed: string, context: string): string {
  const raw = Buffer.from(sealed, 'base64');
  try {
    const decipher = createDecipheriv(algorithm, bytes, raw.subarray(0, ivBytes), { authTagLength: tagBytes })
      .setAAD(Buffer.from(context))
      .setAuthTag(raw.subarray(raw.length - tagBytes));
    const plain = decipher.update(raw.subarray(ivBytes, raw.length - tagBytes));
    return Buffer.concat([plain, decipher.final()]).toString('utf8');
  } catch (error) {
    throw new AppError('ERR_SECRET_KEY', `a secret does not open with the encryption key "${id}"`, {
      cause: error,
    });
  }
}
