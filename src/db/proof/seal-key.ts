import { storedText } from './stored-json.ts';
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
import type { Cipher } from '../../crypto/cipher.ts';
import { HmacKey } from '../../crypto/sha256.ts';
import { AppError } from '../../lib/errors.ts';

/** The row `seal_state`. */
export interface SealState {
  publicKey: string;
  privateKey: string;
  /** How far version f84be48 had sealed, JSON; unsigned. */
  oldProgress: string;
  /** The last seal that retention dropped; number 0 if none was dropped. */
  anchor: { number: number; hash: string; signature: string; seal: string | null };
}

/**
 * How far the log had come when its beginning was signed, which only the signing key can state. Without the key, SQL can neither remove all
 * seals as if none had been made, nor pass rows without marks off as rows of an earlier version, unless it restores a row `seal_state` that
 * it copied at that time.
 *
 * - `old`: the key was made before 0.1.0's release: rows may rightly have no marks.
 * - `empty`: the key was made with an empty log, or by `audit begin-anew`; there was no seal yet.
 * - `sealed`: seals were made, and every new row has its mark.
 */
export type Stage = 'old' | 'empty' | 'sealed';

/** The hash before the first seal. */
export const noHash = '0'.repeat(64);

const keyContext = 'seal key';
const nothingSealed = {
  attempts: { to: 0, open: [] },
  audit_log: { to: 0, open: [] },
  seals: 0,
};

/**
 * Creates the key of the installation before its first entry. Throws AppError ERR_AUDIT if there are entries and no key: the first entry
 * needs a key, so SQL removed it.
 */
export async function ensureSealState(session: Session, cipher: Cipher): Promise<void> {
  if ((await session.rows('SELECT 1 FROM seal_state WHERE id = 1')).length > 0) return;
  await makeSealKey(session, cipher, { onlyIfEmpty: true });
  if ((await session.rows('SELECT 1 FROM seal_state WHERE id = 1')).length > 0) return;
  throw new AppError(
    'ERR_AUDIT',
    'the sealed log is not as it was sealed: its signing key is missing, and the store has entries or a place in the binlog',
    { remedy: lostRemedy },
  );
}

/** The remedy for a log whose key or seals are gone. */
export const lostRemedy =
  'Put the tables seal_state, seals and seal_packs back from a backup of the store, and run `audit verify`. Where there is no backup, an ' +
  'administrator begins a new log, on record: odontology-webhooks audit begin-anew --reason TEXT';

/** SQL condition: rows exist that are written only after a signing key was created. */
const isUsed = `EXISTS (SELECT 1 FROM audit_log) OR EXISTS (SELECT 1 FROM attempts) OR EXISTS (SELECT 1 FROM delivery_log)
  OR EXISTS (SELECT 1 FROM event_log) OR EXISTS (SELECT 1 FROM seals) OR EXISTS (SELECT 1 FROM seal_packs)
  OR EXISTS (SELECT 1 FROM replays) OR EXISTS (SELECT 1 FROM destroyed_keys)
  OR EXISTS (SELECT 1 FROM checkpoint WHERE lineage IS NOT NULL OR next_event_seq > 1 OR next_delivery_id > 1)`;

/** Whether the store has rows that are written only after a signing key was created. */
export async function isStoreUsed(session: Session): Promise<boolean> {
  const [row] = await session.rows<{ used: number }>(`SELECT ${isUsed} AS used`);
  return row!.used === 1;
}

interface Making {
  /** Creates no key if the store was used before. */
  onlyIfEmpty: boolean;
}

/** Creates a signing key, unless there is one. The private key is stored in clear text unless encryption is configured. */
export async function makeSealKey(session: Session, cipher: Cipher, { onlyIfEmpty }: Making): Promise<void> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const secret = privateKey.export({ format: 'der', type: 'pkcs8' }).toString('base64');
  await session.run(
    `INSERT IGNORE INTO seal_state (id, public_key, private_key, progress, anchor_hash, anchor_signature)
     SELECT 1, ?, ?, ?, ?, ? FROM (SELECT 1 AS one) o ${onlyIfEmpty ? `WHERE NOT (${isUsed})` : ''}`,
    [
      publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
      cipher.encrypt(secret, keyContext),
      storedText('seal_state.progress', nothingSealed),
      noHash,
      signText(privateKey, anchorText({ number: 0, hash: noHash }, 'empty')),
    ],
  );
}

/** Encrypts the signing key with the present encryption key. Throws AppError ERR_SECRET_KEY if the former one is not configured. */
export async function resealSealKey(session: Session, cipher: Cipher, sealed: string): Promise<void> {
  await session.run('UPDATE seal_state SET private_key = ? WHERE id = 1 AND private_key = ?', [
    cipher.encrypt(cipher.decrypt(sealed, keyContext), keyContext),
    sealed,
  ]);
}

/** Returns undefined before the first seal, and, with `lock`, while another process seals. */
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

/** Throws AppError ERR_SECRET_KEY if the configured encryption keys do not decrypt it. */
export function privateKeyOf({ privateKey }: Pick<SealState, 'privateKey'>, cipher: Cipher): KeyObject {
  return createPrivateKey({ key: privateBytes(privateKey, cipher), format: 'der', type: 'pkcs8' });
}

/** Returns the key of the marks (src/db/proof/marks.ts), which is derived from the private key. Throws as `privateKeyOf`. */
export function markKeyOf({ privateKey }: Pick<SealState, 'privateKey'>, cipher: Cipher): HmacKey {
  return new HmacKey(new HmacKey(privateBytes(privateKey, cipher)).digest('marks of entries'));
}

function privateBytes(privateKey: string, cipher: Cipher): Buffer {
  return Buffer.from(cipher.decrypt(privateKey, keyContext), 'base64');
}

export function signText(key: KeyObject, text: string): string {
  return sign(null, Buffer.from(text), key).toString('base64');
}

/** Whether the owner of the public key signed this text; false if the key or the signature is malformed. */
export function isSigned(publicKey: string, text: string, signature: string): boolean {
  try {
    return isSignedBy(toPublicKey(publicKey), text, signature);
  } catch {
    return false;
  }
}

/** Same as `isSigned`, for many texts: parsing the key takes as long as verifying with it. */
export function isSignedBy(key: KeyObject, text: string, signature: string): boolean {
  return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64'));
}

/** Parses SPKI in base64. Throws the error of node:crypto for anything else. */
export function toPublicKey(publicKey: string): KeyObject {
  return createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' });
}

/** Returns the fingerprint by which people compare public keys: a SHA-256 in groups of four. */
export function fingerprintOf(publicKey: string): string {
  const hex = createHash('sha256').update(Buffer.from(publicKey, 'base64')).digest('hex');
  return hex.match(/.{4}/g)!.join(':');
}

/** Returns the text that is signed for the beginning of the chain. */
export function anchorText({ number, hash }: { number: number; hash: string }, stage: Stage): string {
  return JSON.stringify(['anchor', number, hash, ...(stage === 'old' ? [] : [stage])]);
}

/** Returns how far the log had come when its beginning was signed; null if the key of the installation did not sign it. */
export function stageOf({ anchor, publicKey }: Pick<SealState, 'anchor' | 'publicKey'>): Stage | null {
  const stages: readonly Stage[] = ['sealed', 'empty', 'old'];
  return stages.find((stage) => isSigned(publicKey, anchorText(anchor, stage), anchor.signature)) ?? null;
}

/** Signs that seals were made, and that every new row has its mark. */
export async function signBegun(session: Session, state: SealState, cipher: Cipher): Promise<void> {
  const stage = stageOf(state);
  if (stage === null || stage === 'sealed') return;
  const signature = signText(privateKeyOf(state, cipher), anchorText(state.anchor, 'sealed'));
  await session.run('UPDATE seal_state SET anchor_signature = ? WHERE id = 1', [signature]);
}
