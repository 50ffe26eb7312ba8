import type { Session } from '../../db/connection/client.ts';
import { fingerprintOf, isSigned, readSealState } from '../../db/proof/seal-key.ts';
import { AppError } from '../../lib/errors.ts';
import { readLastSeal, sealHash, type Seal } from './chain.ts';

/**
 * The end of the chain, to be stored where the owner of the store cannot reach it: a log that was rewritten and signed again as a whole
 * does not contain it.
 */
export interface Head extends Omit<Seal, 'progress'> {
  publicKey: string;
  /** Of the public key, for people. */
  fingerprint: string;
}

/** Returns the published part of a seal: enough to verify it. */
export function toHead(seal: Seal, publicKey: string): Head {
  const { version, number, sealedAt, entries, root, previousHash, hash, signature, progressHash } = seal;
  return {
    ...{ version, number, sealedAt, entries, root, previousHash, hash, signature, progressHash },
    ...{ publicKey, fingerprint: fingerprintOf(publicKey) },
  };
}

/** Returns null before the first seal. */
export async function readHead(session: Session): Promise<Head | null> {
  const state = await readSealState(session);
  const last = await readLastSeal(session);
  if (!state || !last) return null;
  return toHead(last, state.publicKey);
}

/**
 * Parses the output of `audit head`, or the body of an `audit.sealed` webhook. Throws AppError ERR_USAGE for anything else, including an
 * edited head.
 */
export function parseHead(text: string): Head {
  const head = parse(text);
  const isWhole =
    head !== undefined &&
    sealHash(head) === head.hash &&
    isSigned(head.publicKey, head.hash, head.signature) &&
    fingerprintOf(head.publicKey) === head.fingerprint;
  if (isWhole) return head;
  throw new AppError('ERR_USAGE', 'this is no head of a sealed log, or it was edited', {
    remedy: 'Give a file that `audit head --out FILE` wrote, or the body of an audit.sealed webhook.',
  });
}

/**
 * Parses a public key to compare the chain with: SPKI as PEM or in base64, its fingerprint, or a head. Returns its fingerprint. Throws
 * AppError ERR_USAGE for anything else.
 */
export function parsePinnedKey(text: string): string {
  const trimmed = text.trim();
  if (/^([0-9a-f]{4}:){15}[0-9a-f]{4}$/.test(trimmed)) return trimmed;
  if (trimmed.startsWith('{')) return parseHead(trimmed).fingerprint;
  const base64 = trimmed.replace(/-----(BEGIN|END) PUBLIC KEY-----/g, '').replace(/\s/g, '');
  if (/^[A-Za-z0-9+/]{59}=$/.test(base64)) return fingerprintOf(base64);
  throw new AppError('ERR_USAGE', 'this is no public key of a sealed log', {
    remedy: 'Give a file with the key as `audit head` shows it (`public_key` or `fingerprint`), or a head.',
  });
}

/** Converts a head to the JSON that is written and sent. */
export function headJson(head: Head): Readonly<Record<string, string | number>> {
  const { version, number, sealedAt, entries, root, previousHash, hash, signature } = head;
  return {
    ...(version === 1 ? {} : { version, progress_hash: head.progressHash! }),
    ...{ number, sealed_at: sealedAt, entries, root, previous_hash: previousHash, hash, signature },
    ...{ public_key: head.publicKey, fingerprint: head.fingerprint },
  };
}

function parse(text: string): Head | undefined {
  try {
    const written = JSON.parse(text) as Record<string, unknown> | null;
    const { data = written } = written ?? {};
    const fields = data as Record<string, unknown>;
    const { number, entries, root, hash, signature, fingerprint, version = 1 } = fields;
    const { sealed_at: sealedAt, previous_hash: previousHash, public_key: publicKey } = fields;
    const { progress_hash: progressHash = null } = fields;
    if (typeof publicKey !== 'string' || typeof hash !== 'string') return undefined;
    return {
      ...{ version, number, sealedAt, entries, root, previousHash, hash, signature },
      ...{ progressHash, publicKey, fingerprint },
    } as Head;
  } catch {
    return undefined;
  }
}
