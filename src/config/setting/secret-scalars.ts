import { createHash, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { EncryptionKey } from '../../crypto/cipher.ts';
import { AppError, codeOf } from '../../lib/errors.ts';
import { checkSecret } from '../../lib/secret.ts';
import { ifText, scalar } from './scalar.ts';

/**
 * 32 bytes as base64 or hex, or `file:PATH` of a file that contains one of these; PATH is relative to `baseDir`. The key's id is the beginning of its
 * SHA-256: it does not depend on where the configuration names the key, and reveals nothing about it.
 */
export function encryptionKey(baseDir: string) {
  return scalar<EncryptionKey>({
    mustBe:
      '32 bytes as base64 or hex, or file: and the path of a file with them (make one: openssl rand -base64 32)',
    json: { type: 'string' },
    parse: ifText((given) => {
      const written = given.startsWith('file:') ? readText(resolve(baseDir, given.slice(5))).trim() : given;
      const isHex = /^[0-9a-f]{64}$/i.test(written);
      const bytes = Buffer.from(written, isHex ? 'hex' : 'base64');
      if (bytes.length !== 32 || !(isHex || bytes.toString('base64') === written)) return undefined;
      return { id: createHash('sha256').update(bytes).digest('hex').slice(0, 16), bytes };
    }),
  });
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new AppError('ERR_CONFIG', `names a file that cannot be read (${codeOf(error) ?? 'error'})`);
  }
}

const pemBlock = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** The path of a file with certificates (PEM), relative to `baseDir` → the certificates, concatenated. */
export function certificates(baseDir: string) {
  return scalar<string>({
    mustBe: 'the path of a file with certificates in PEM form (-----BEGIN CERTIFICATE-----)',
    json: { type: 'string', minLength: 1 },
    parse: ifText((given) => {
      const blocks = readText(resolve(baseDir, given)).match(pemBlock) ?? [];
      return blocks.length > 0 && blocks.every(isCertificate) ? blocks.join('\n') : undefined;
    }),
  });
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

export function sha256() {
  return scalar<string>({
    mustBe: 'the SHA-256 of the token, 64 hex characters in quotes: printf %s "$TOKEN" | sha256sum',
    json: { type: 'string', pattern: '^[0-9a-fA-F]{64}$' },
    parse: ifText((given) => (/^[0-9a-f]{64}$/i.test(given) ? given.toLowerCase() : undefined)),
  });
}

/** Of the sealed log's public key, as `audit head` prints it. */
export function keyFingerprint() {
  const pattern = '^([0-9a-f]{4}:){15}[0-9a-f]{4}$';
  return scalar<string>({
    mustBe:
      "the fingerprint of the sealed log's key in quotes, as `odontology-webhooks audit head` prints it",
    json: { type: 'string', pattern },
    parse: ifText((given) => (new RegExp(pattern).test(given) ? given : undefined)),
  });
}

/** Base64 of 24 bytes or more whose last character has no unused bits set, optionally after `whsec_`. */
const canonicalBase64 =
  '^(whsec_)?([A-Za-z0-9+/]{4}){8,}([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$';

/** See lib/secret. */
export function signingSecret() {
  return scalar<string>({
    mustBe: 'a secret: write whsec_ and what `openssl rand -hex 32` prints',
    json: { type: 'string', minLength: 32, maxLength: 512, pattern: canonicalBase64 },
    parse: ifText((given) => {
      const problem = checkSecret(given);
      if (problem === undefined) return given;
      throw new AppError('ERR_CONFIG', `${problem}: write whsec_ and what \`openssl rand -hex 32\` prints`);
    }),
  });
}
