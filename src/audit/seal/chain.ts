import { createHash, createPublicKey } from 'node:crypto';
import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import {
  isSigned,
  lostRemedy,
  noHash,
  privateKeyOf,
  readSealState,
  stageOf,
  type SealState,
} from '../../db/proof/seal-key.ts';
import { parseStored } from '../../db/proof/stored-json.ts';
import { AppError } from '../../lib/errors.ts';
import { progressHash, type Progress } from './progress.ts';

/** One link of the chain. */
export interface Seal {
  version: number;
  number: number;
  /** UTC, as the store writes it. */
  sealedAt: string;
  entries: number;
  root: string;
  previousHash: string;
  hash: string;
  signature: string;
  /** Hash of `progress`; null in version 1. */
  progressHash: string | null;
  /** How far each log is sealed up to this seal; null in version 1. */
  progress: Progress | null;
}

/** Returns the hash that is signed and that the next seal refers to. */
export function sealHash(seal: Omit<Seal, 'hash' | 'signature' | 'progress'>): string {
  const { version, number, sealedAt, entries, root, previousHash } = seal;
  const content =
    version === 1
      ? ['seal', number, sealedAt, entries, root, previousHash]
      : ['seal', version, number, sealedAt, entries, root, previousHash, seal.progressHash];
  return createHash('sha256').update(JSON.stringify(content)).digest('hex');
}

interface SealRow extends Omit<Seal, 'progress' | 'progressHash'> {
  progress: string | null;
}

/** Returns the seals that meet a condition; the condition also gives the order. */
export async function readSeals(
  session: Session,
  condition: string,
  values: readonly unknown[] = [],
): Promise<Seal[]> {
  const rows = await session.rows<SealRow>(
    `SELECT version, number, sealed_at AS sealedAt, entries, root, previous_hash AS previousHash, hash, signature, progress
     FROM seals WHERE ${condition}`,
    values,
  );
  return rows.map(toSeal);
}

function toSeal({ progress: text, ...row }: SealRow): Seal {
  const progress =
    row.version === 1 || text === null ? null : (parseStored('seals.progress', text, row.number) as Progress);
  return { ...row, progress, progressHash: progress && progressHash(progress) };
}

/** Returns the last seal. Throws EditedRowError if its progress was edited into another shape. */
export async function readLastSeal(session: Session): Promise<Seal | undefined> {
  const [last] = await readSeals(session, 'TRUE ORDER BY number DESC LIMIT 1');
  return last;
}

/** Returns the last seal that retention dropped, with its content; undefined if none was dropped, or if version f84be48 dropped it. */
export function anchorSeal({ anchor }: SealState): Seal | undefined {
  return anchor.seal === null ? undefined : (parseStored('seal_state.anchor', anchor.seal, 1) as Seal);
}

/** The last seal that a process has seen: it must still exist. */
export interface ChainMemory {
  last?: { publicKey: string; number: number; hash: string };
}

/** Where the chain ends. */
export interface ChainEnd {
  state: SealState;
  last: Seal | undefined;
}

/**
 * Proves the end of the chain before anything is signed or dropped because of it: the signatures of its beginning and of its last seal,
 * that the two keys are a pair, and that the last seal that this process saw still exists. Throws AppError ERR_AUDIT.
 */
export async function proveEnd(
  tx: Session,
  state: SealState,
  { cipher, memory }: { cipher: Cipher; memory: ChainMemory },
): Promise<ChainEnd> {
  const { anchor, publicKey } = state;
  proveKey(state, cipher, memory);
  proveAnchor(state);
  const last = await readLastSeal(tx);
  if (last) proveSeal(last, publicKey);
  else if (anchor.number > 0 || stageOf(state) === 'sealed')
    throw broken(
      anchor.number > 0 ? `its last seal is missing (after ${anchor.number})` : 'all its seals are missing',
      lostRemedy,
    );
  const seen = memory.last;
  if (seen && seen.number > anchor.number) {
    const [still] = await readSeals(tx, 'number = ?', [seen.number]);
    if (still?.hash !== seen.hash)
      throw broken(`seal ${seen.number}, which was there, is missing or another one`);
  }
  return { state, last };
}

function proveKey(state: SealState, cipher: Cipher, { last: seen }: ChainMemory): void {
  if (publicKeyOf(state, cipher) !== state.publicKey)
    throw broken('its public key is not that of the private key');
  if (seen && seen.publicKey !== state.publicKey) throw broken('its key was replaced');
}

/** SPKI in base64. */
function publicKeyOf(state: SealState, cipher: Cipher): string {
  try {
    const key = createPublicKey(privateKeyOf(state, cipher));
    return key.export({ format: 'der', type: 'spki' }).toString('base64');
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw broken('its private key is no key');
  }
}

/** Throws AppError ERR_AUDIT. */
export function proveAnchor({ anchor, publicKey }: SealState): void {
  if (stageOf({ anchor, publicKey }) === null)
    throw broken('its beginning is not signed by the key of the installation');
  const seal = anchorSeal({ anchor } as SealState);
  if (seal && (seal.number !== anchor.number || sealHash(seal) !== anchor.hash || !isProgressOf(seal)))
    throw broken('its beginning was edited');
}

/** Throws AppError ERR_AUDIT. */
export function proveSeal(seal: Seal, publicKey: string): void {
  if (sealHash(seal) !== seal.hash) throw broken(`seal ${seal.number} was edited`);
  if (!isSigned(publicKey, seal.hash, seal.signature))
    throw broken(`seal ${seal.number} is not signed by the key of the installation`);
}

function isProgressOf({ progress, progressHash: hash }: Seal): boolean {
  return progress === null ? hash === null : progressHash(progress) === hash;
}

/** Returns the hash that the next seal refers to. */
export function endHash({ state, last }: ChainEnd): string {
  return last?.hash ?? (state.anchor.number > 0 ? state.anchor.hash : noHash);
}

export function broken(what: string, remedy?: string): AppError {
  return new AppError(
    'ERR_AUDIT',
    `the sealed log is not as it was sealed: ${what}`,
    remedy === undefined ? {} : { remedy },
  );
}

/** Returns how far the log has been sealed, proved; undefined before the first seal of version 2. Throws AppError ERR_AUDIT. */
export async function readProvedProgress(session: Session): Promise<Progress | undefined> {
  const state = await readSealState(session);
  const last = state && (await readLastSeal(session));
  if (!last) return undefined;
  proveSeal(last, state.publicKey);
  return last.progress ?? undefined;
}
