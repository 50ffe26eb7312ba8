import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import type { Session } from '../connection/client.ts';
import type { SecretBox } from '../../crypto/encryption.ts';
import { HmacKey } from '../../crypto/sha256.ts';

/** The row `seal_state`. */
export interface SealState {
  publicKey: string;
  privateKey: string;
  /** How far version f84be48 had sealed, JSON; unsigned. */
  oldProgress: string;
  /** The last seal that retention dropped; number 0 when it has dropped none. */
  anchor: { number: number; hash: string; signature: string; seal: string | null };
}

/** The hash before the first seal. */
export const noHash = '0'.repeat(64);

const keyContext = 'seal key';
const nothingSealed = {
  attempts: { to: 0, open: [] },
  audit_log: { to: 0, open: [] },
  seals: 0,
};

/** Makes the key of the installation at the first call. The private key lies in the clear unless encryption is configured. */
export async function ensureSealState(session: Session, box: SecretBox): Promise<void> {
  const found = await session.rows<{ privateKey: string }>(
    'SELECT private_key AS privateKey FROM seal_state WHERE id = 1',
  );
  const existing = found[0]?.privateKey;
  if (existing !== undefined) {
    if (!box.isStale(existing)) return;
    await session.run('UPDATE seal_state SET private_key = ? WHERE id = 1 AND private_key = ?', [
      box.seal(box.open(existing, keyContext), keyContext),
      existing,
    ]);
    return;
  }
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const secret = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
  await session.run(
    'INSERT IGNORE INTO seal_state (id, public_key, private_key, progress, anchor_hash, anchor_signature) VALUES (1, ?, ?, ?, ?, ?)',
    [
      publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
      box.seal(secret, keyContext),
      JSON.stringify(nothingSealed),
      noHash,
      signText(privateKey, anchorText({ number: 0, hash: noHash })),
    ],
  );
}

/** Undefined before the first seal, and, with `lock`, while another process seals. */
export async function readSealState(
  session: Session,
  { lock = false }: { lock?: boolean } = {},
): Promise<SealState | undefined> {
  interface Row extends Omit<SealState, 'anchor'> {
    number: number;
    hash: string;
    signature: string;
    seal: string | null;
  }
  const [row] = await session.rows<Row>(
    `SELECT public_key AS publicKey, private_key AS privateKey, progress AS oldProgress, anchor_number AS number,
       anchor_hash AS hash, anchor_signature AS signature, anchor AS seal
     FROM seal_state WHERE id = 1${lock ? ' FOR UPDATE SKIP LOCKED' : ''}`,
  );
  if (!row) return undefined;
  const { publicKey, privateKey, oldProgress, ...anchor } = row;
  return { publicKey, privateKey, oldProgress, anchor };
}

/** Throws AppError ERR_SECRET_KEY when it does not open with the configured encryption keys. */
export function privateKeyOf({ privateKey }: Pick<SealState, 'privateKey'>, box: SecretBox): KeyObject {
  return createPrivateKey({ key: privateBytes(privateKey, box), format: 'der', type: 'pkcs8' });
}

/** The key of the marks (src/db/proof/marks.ts): it follows from the private key. Throws as `privateKeyOf`. */
export function markKeyOf({ privateKey }: Pick<SealState, 'privateKey'>, box: SecretBox): HmacKey {
  return new HmacKey(new HmacKey(privateBytes(privateKey, box)).digest('marks of entries'));
}

function privateBytes(privateKey: string, box: SecretBox): Buffer {
  return Buffer.from(box.open(privateKey, keyContext), 'base64');
}

export function signText(key: KeyObject, text: string): string {
  return sign(null, Buffer.from(text), key).toString('base64');
}

/** Whether the owner of the public key signed this; false for what is no key or no signature at all. */
export function isSigned(publicKey: string, text: string, signature: string): boolean {
  try {
    return isSignedBy(toPublicKey(publicKey), text, signature);
  } catch {
    return false;
  }
}

/** As `isSigned`, for many texts: reading the key takes as long as verifying with it. */
export function isSignedBy(key: KeyObject, text: string, signature: string): boolean {
  return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64'));
}

/** Reads SPKI in base64. Throws what node:crypto throws for anything else. */
export function toPublicKey(publicKey: string): KeyObject {
  return createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
}

/** By which people compare public keys: a SHA-256 in groups of four. */
export function fingerprintOf(publicKey: string): string {
  const hex = createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('hex');
  return hex.match(/.{4}/g)!.join(':');
}

export function anchorText({ number, hash }: { number: number; hash: string }): string {
  return JSON.stringify(['anchor', number, hash]);
}
