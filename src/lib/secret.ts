import { randomBytes } from 'node:crypto';

const prefix = 'whsec_';
const minimumKeyBytes = 24;
const maximumLength = 512;

/** The bytes of canonical base64 (padded, no stray bits, so that one key has one spelling); undefined for anything else. */
function decodeCanonical(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length > 0 && bytes.toString('base64') === text ? bytes : undefined;
}

/** A new signing secret: `whsec_` and 64 lower-case hex characters, which are also base64 of 48 bytes. */
export function generateSecret(): string {
  return prefix + randomBytes(32).toString('hex');
}

/**
 * What is wrong with a signing secret, as a sentence that does not quote it; undefined when it is good: canonical base64
 * of at least 24 bytes, with or without `whsec_` before it. Any other secret can be guessed, or receivers' libraries decode it in different ways.
 */
export function checkSecret(secret: string): string | undefined {
  const key = decodeCanonical(secret.startsWith(prefix) ? secret.slice(prefix.length) : secret);
  if (key === undefined) return 'the secret is not canonical base64 (optionally after "whsec_")';
  if (key.length < minimumKeyBytes) {
    return `the secret is ${key.length} bytes long once decoded, it must have at least ${minimumKeyBytes}`;
  }
  if (secret.length > maximumLength) return `the secret is longer than ${maximumLength} characters`;
  return undefined;
}

/**
 * The HMAC key of a secret under Standard Webhooks: the base64-decoded part after `whsec_`. A secret that is not canonical
 * base64 (which `checkSecret` refuses, but a row edited by SQL can hold) is used as raw bytes, which the libraries verify with `format: 'raw'`.
 */
export function secretKey(secret: string): Buffer {
  const encoded = secret.startsWith(prefix) ? secret.slice(prefix.length) : secret;
  return decodeCanonical(encoded) ?? Buffer.from(secret, 'utf8');
}
