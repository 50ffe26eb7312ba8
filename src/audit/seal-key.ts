import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import type { Session } from '../db/client.ts';
import type { SecretBox } from '../db/encryption.ts';
import type { SealedLog } from './entry.ts';

/** How far one log has been sealed. */
export interface LogProgress {
  /** The highest id that was read. */
  to: number;
  /** Ranges of ids up to `to` in which rows may still appear, and since when that is known, ms of the store's clock. */
  open: readonly { from: number; to: number; sinceMs: number }[];
}

export interface Progress extends Record<SealedLog, LogProgress> {
  /** Number of the last seal. */
  seals: number;
}

/** The row `seal_state`. */
export interface SealState {
  publicKey: string;
  privateKey: string;
  progress: Progress;
  /** The last seal that retention dropped; number 0 when it has dropped none. */
  anchor: { number: number; hash: string; signature: string };
}

/** The hash before the first seal. */
export const noHash = '0'.repeat(64);

const keyContext = 'seal key';
const begun: LogProgress = { to: 0, open: [] };

/** Makes the key of the installation at the first call. The private key lies in the clear unless encryption is configured. */
export async function ensureSealState(session: Session, box: SecretBox): Promise<void> {
  const found = await session.rows<{ privateKey: string }>(
    'SELECT private_key AS privateKey FROM seal_state WHERE id = 1',
  );
  const existing = found[0]?.privateKey;
  if (existing !== undefined) {
    if (!box.isStale(existing)) return;
    await session.run('UPDATE seal_state SET private_key = ? WHERE id = 1', [
      box.seal(box.open(existing, keyContext), keyContext),
    ]);
    return;
  }
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const secret = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
  const progress: Progress = { attempts: begun, audit_log: begun, seals: 0 };
  await session.run(
    'INSERT IGNORE INTO seal_state (id, public_key, private_key, progress, anchor_hash, anchor_signature) VALUES (1, ?, ?, ?, ?, ?)',
    [
      publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
      box.seal(secret, keyContext),
      JSON.stringify(progress),
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
  const [row] = await session.rows<Record<string, string> & { number: number }>(
    `SELECT public_key AS publicKey, private_key AS privateKey, progress, anchor_number AS number, anchor_hash AS hash,
       anchor_signature AS signature FROM seal_state WHERE id = 1${lock ? ' FOR UPDATE SKIP LOCKED' : ''}`,
  );
  return (
    row && {
      publicKey: row['publicKey']!,
      privateKey: row['privateKey']!,
      progress: JSON.parse(row['progress']!) as Progress,
      anchor: { number: row.number, hash: row['hash']!, signature: row['signature']! },
    }
  );
}

export function privateKeyOf({ privateKey }: SealState, box: SecretBox): KeyObject {
  const der = Buffer.from(box.open(privateKey, keyContext), 'base64');
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

export function signText(key: KeyObject, text: string): string {
  return sign(null, Buffer.from(text), key).toString('base64');
}

/** Whether the owner of the public key signed this; false for what is no key or no signature at all. */
export function isSigned(publicKey: string, text: string, signature: string): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
    return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64'));
  } catch {
    return false;
  }
}

/** By which people compare public keys: a SHA-256 in groups of four. */
export function fingerprintOf(publicKey: string): string {
  const hex = createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('hex');
  return hex.match(/.{4}/g)!.join(':');
}

export function anchorText({ number, hash }: { number: number; hash: string }): string {
  return JSON.stringify(['anchor', number, hash]);
}
