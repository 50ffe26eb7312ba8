import type { Session } from '../db/client.ts';
import { AppError } from '../lib/errors.ts';
import { sealHash, toHead, type Seal } from './seal.ts';
import { fingerprintOf, isSigned, readSealState } from './seal-key.ts';

/**
 * The end of the chain, to be kept where the store's owner cannot reach it: whoever rewrites the whole log and signs it
 * anew cannot rewrite this.
 */
export interface Head extends Seal {
  publicKey: string;
  /** Of the public key, for people. */
  fingerprint: string;
}

/** Null before the first seal. */
export async function readHead(session: Session): Promise<Head | null> {
  const state = await readSealState(session);
  const [last] = await session.rows<Seal>(`SELECT ${sealColumns} FROM seals ORDER BY number DESC LIMIT 1`);
  if (!state || !last) return null;
  return toHead(last, state);
}

/** Reads what `audit head` wrote, or the body of an `audit.sealed` webhook. Throws AppError ERR_USAGE for anything else, one that was edited included. */
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

export const sealColumns =
  'number, sealed_at AS sealedAt, entries, root, previous_hash AS previousHash, hash, signature';

/** A head as it is written and sent. */
export function headJson(head: Head): Readonly<Record<string, string | number>> {
  const { number, sealedAt, entries, root, previousHash, hash, signature, publicKey, fingerprint } = head;
  return {
    ...{ number, sealed_at: sealedAt, entries, root, previous_hash: previousHash, hash, signature },
    ...{ public_key: publicKey, fingerprint },
  };
}

function parse(text: string): Head | undefined {
  try {
    const written = JSON.parse(text) as Record<string, unknown> | null;
    const { data = written } = written ?? {};
    const {
      sealed_at: sealedAt,
      previous_hash: previousHash,
      public_key: publicKey,
      ...rest
    } = data as Record<string, unknown>;
    const { number, entries, root, hash, signature, fingerprint } = rest;
    if (typeof publicKey !== 'string' || typeof hash !== 'string') return undefined;
    return { number, sealedAt, entries, root, previousHash, hash, signature, publicKey, fingerprint } as Head;
  } catch {
    return undefined;
  }
}
