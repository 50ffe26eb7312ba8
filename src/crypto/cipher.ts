import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { AppError } from '../lib/errors.ts';
import { KeyFile } from './key-file.ts';

/** A key of 32 bytes and the name under which its ciphertexts are found again. */
export interface EncryptionKey {
  /** Letters, digits, `-` and `_`. */
  id: string;
  bytes: Uint8Array;
}

/** Seals short texts for the store. `context` is authenticated: a text moved to another row does not open. */
interface TextCipher {
  encrypt(plain: string, context: string): string;
  /** Opens what any of the keys sealed; a text in the clear comes back as it is. Throws AppError ERR_SECRET_KEY. */
  decrypt(stored: string, context: string): string;
  /** Whether `seal` would store it differently: in the clear, or under an older key. */
  isStale(stored: string): boolean;
}

/** Seals secrets: those of webhooks, the key of the sealed log. */
export interface Cipher extends TextCipher {
  /** Null when texts are stored in the clear. */
  readonly keyId: string | null;
  /** The id of the key that sealed a text; null for one in the clear. */
  keyIdOf(stored: string): string | null;
  /** Seals the keys of patients. */
  readonly forPatients: PatientCipher;
}

/** With a key file each patient's keys are sealed under a key of their own out of it; without, as secrets are. */
export interface PatientCipher extends TextCipher {
  /** False when texts are stored in the clear: then payloads are too. */
  readonly encrypts: boolean;
  readonly keyFile: KeyFile | null;
  /** `beside`: the present value of the row, whose key is used again. */
  encrypt(plain: string, context: string, beside?: string): string;
  /** Whether the key file has lost the key that sealed it: nothing opens it any more. */
  isDestroyed(stored: string): boolean;
}

/*
 *   enc:v1:<id of the key>:<base64>                     a secret, or a patient's key where there is no key file
 *   file:v1:<id of the key file>:<slot>:<base64>        a patient's key
 */
const prefix = 'enc:v1:';
const filePrefix = 'file:v1:';
const algorithm = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;

/** A cipher that stores in the clear: no key is configured. It still refuses what a key has sealed. */
export const clearCipher: Cipher = createCipher([]);

/** As the configuration says; the key file is read when it is needed. */
export function openCipher({ encryptionKeys, keyFile }: CipherOptions): Cipher {
  return createCipher(encryptionKeys, keyFile === null ? null : new KeyFile(keyFile));
}

/** The key is configured, and the sealed text is not what it sealed for this place: it was edited, or the key is another one of the name. */
export class DoesNotOpenError extends AppError {
  constructor(message: string, cause?: unknown) {
    super('ERR_SECRET_KEY', message, { cause });
  }
}

interface CipherOptions {
  encryptionKeys: readonly EncryptionKey[];
  /** Path of the key file; null without one. */
  keyFile: string | null;
}

/** The first key seals, all of them open: to rotate, put the new one first and keep the old until `reseal` has run. */
export function createCipher(keys: readonly EncryptionKey[], keyFile: KeyFile | null = null): Cipher {
  for (const { id, bytes } of keys) {
    if (!/^[\w-]{1,32}$/.test(id))
      throw new AppError('ERR_CONFIG', `"${id}" is not the id of an encryption key`);
    if (bytes.length !== 32)
      throw new AppError('ERR_CONFIG', `the encryption key "${id}" must have 32 bytes`);
  }
  const current = keys[0];
  const cipher: TextCipher = {
    encrypt: (plain, context) =>
      current ? `${prefix}${current.id}:${encryptWith(current.bytes, plain, context)}` : plain,
    decrypt(stored, context) {
      if (!stored.startsWith(prefix)) return stored;
      const [id = '', ciphertext = ''] = stored.slice(prefix.length).split(':');
      const key = keys.find((candidate) => candidate.id === id);
      if (!key) {
        throw new AppError(
          'ERR_SECRET_KEY',
          `a secret is sealed with the encryption key "${id}", which is not configured`,
        );
      }
      return decryptWith(key, ciphertext, context);
    },
    isStale: (stored) => (current ? !stored.startsWith(`${prefix}${current.id}:`) : false),
  };
  const keyId = current?.id ?? null;
  const keyIdOf = (stored: string): string | null =>
    stored.startsWith(prefix) ? (stored.slice(prefix.length).split(':')[0] ?? null) : null;
  return { ...cipher, keyId, keyIdOf, forPatients: createPatientCipher(cipher, keyId !== null, keyFile) };
}

function createPatientCipher(cipher: TextCipher, encrypts: boolean, keyFile: KeyFile | null): PatientCipher {
  const fileAndSlotOf = (stored: string): { file: KeyFile; slot: string; ciphertext: string } => {
    const { id, slot, ciphertext } = parseCiphertext(stored);
    if (keyFile?.id === id) return { file: keyFile, slot, ciphertext };
    throw new AppError(
      'ERR_SECRET_KEY',
      `patients' keys are sealed with the key file ${id}, ${describe(keyFile)}`,
      {
        remedy:
          'Let store.key_file name that file, or put the latest copy of it there: every daemon on this store needs the same.',
      },
    );
  };
  const decrypt = (stored: string, context: string): string => {
    if (!stored.startsWith(filePrefix)) return cipher.decrypt(stored, context);
    const { file, slot, ciphertext } = fileAndSlotOf(stored);
    const bytes = file.keyOf(slot);
    if (!bytes) throw new AppError('ERR_SECRET_KEY', "this patient's key was destroyed");
    return decryptWith({ id: 'of the key file', bytes }, ciphertext, context);
  };
  const isDestroyed = (stored: string): boolean => {
    if (!stored.startsWith(filePrefix)) return false;
    const { file, slot } = fileAndSlotOf(stored);
    return !file.has(slot);
  };
  if (!keyFile) return { ...cipher, decrypt, isDestroyed, encrypts, keyFile };
  return {
    decrypt,
    isDestroyed,
    encrypts: true,
    keyFile,
    encrypt(plain, context, beside) {
      const slot = (beside && slotOf(beside)?.slot) ?? randomBytes(8).toString('hex');
      return `${filePrefix}${keyFile.id}:${slot}:${encryptWith(keyFile.keyOf(slot)!, plain, context)}`;
    },
    isStale: (stored) => !stored.startsWith(`${filePrefix}${keyFile.id}:`),
  };
}

function describe(keyFile: KeyFile | null): string {
  return keyFile ? `and ${keyFile.path} is the key file ${keyFile.id}` : 'and store.key_file names none';
}

/** Where in which key file the key is that sealed this; undefined when no key file did. */
export function slotOf(stored: string): { file: string; slot: string } | undefined {
  if (!stored.startsWith(filePrefix)) return undefined;
  const { id, slot } = parseCiphertext(stored);
  return { file: id, slot };
}

function parseCiphertext(stored: string): { id: string; slot: string; ciphertext: string } {
  const [id = '', slot = '', ciphertext = ''] = stored.slice(filePrefix.length).split(':');
  if (!/^[0-9a-f]{16}$/.test(slot)) throw new DoesNotOpenError("a patient's key in the store is damaged");
  return { id, slot, ciphertext };
}

function encryptWith(bytes: Uint8Array, plain: string, context: string): string {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv(algorithm, bytes, iv).setAAD(Buffer.from(context));
  const ciphertext = Buffer.concat([iv, cipher.update(plain, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return ciphertext.toString('base64');
}

function decryptWith({ id, bytes }: EncryptionKey, ciphertext: string, context: string): string {
  const raw = Buffer.from(ciphertext, 'base64');
  try {
    const decipher = createDecipheriv(algorithm, bytes, raw.subarray(0, ivBytes), { authTagLength: tagBytes })
      .setAAD(Buffer.from(context))
      .setAuthTag(raw.subarray(raw.length - tagBytes));
    const plain = decipher.update(raw.subarray(ivBytes, raw.length - tagBytes));
    return Buffer.concat([plain, decipher.final()]).toString('utf8');
  } catch (error) {
    throw new DoesNotOpenError(`a secret does not open with the encryption key "${id}"`, error);
  }
}
