import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { AppError } from '../lib/errors.ts';
import { KeyFile } from './key-file.ts';

/** A key of 32 bytes and the name that its ciphertexts carry. */
export interface EncryptionKey {
  /** Letters, digits, `-` and `_`. */
  id: string;
  bytes: Uint8Array;
}

/** Encrypts short texts for the store. `context` is authenticated: a ciphertext moved to another row cannot be decrypted. */
interface TextCipher {
  encrypt(plain: string, context: string): string;
  /** Decrypts a text of any of the keys; returns a text in the clear unchanged. Throws AppError ERR_SECRET_KEY. */
  decrypt(stored: string, context: string): string;
  /** Whether the text should be encrypted again: it is in the clear, or under an older key. */
  isStale(stored: string): boolean;
}

/** Encrypts the secrets of webhooks and the key of the sealed log. */
export interface Cipher extends TextCipher {
  /** Null when texts are stored in the clear. */
  readonly keyId: string | null;
  /** The id of the key that encrypted a text; null for a text in the clear. */
  keyIdOf(stored: string): string | null;
  /** Encrypts the keys of patients. */
  readonly forPatients: PatientCipher;
}

/** With a key file, each patient's keys are encrypted with a key of its own from that file; without one, like secrets. */
export interface PatientCipher extends TextCipher {
  /** False when texts are stored in the clear; then payloads are stored in the clear, too. */
  readonly encrypts: boolean;
  readonly keyFile: KeyFile | null;
  /** `beside`: the present value of the row, whose key is reused. */
  encrypt(plain: string, context: string, beside?: string): string;
  /** Whether the key that encrypted the text was destroyed in the key file: then it can never be decrypted. */
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

/**
 * A cipher that stores in the clear, used when no key is configured. It still refuses texts that a key encrypted.
 * @internal
 */
export const clearCipher: Cipher = createCipher([]);

/** Creates the cipher from the configuration; the key file is read on first use. */
export function openCipher({ encryptionKeys, keyFile }: CipherOptions): Cipher {
  return createCipher(encryptionKeys, keyFile === null ? null : new KeyFile(keyFile));
}

/** The key is configured, but the ciphertext does not authenticate: it was edited or moved to another row, or the key is a different one of the same name. */
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

/**
 * The first key encrypts, all keys decrypt. To rotate, put the new key first and keep the old one until everything is encrypted again.
 * @internal
 */
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
          `a secret is encrypted with the encryption key "${id}", which is not configured`,
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
      `patients' keys are encrypted with the key file ${id}, ${describe(keyFile)}`,
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

/** The key file and slot of the key that encrypted this text; undefined when no key file was used. */
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
    throw new DoesNotOpenError(`a secret cannot be decrypted with the encryption key "${id}"`, error);
  }
}
