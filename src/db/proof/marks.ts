import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { HmacKey } from '../../crypto/sha256.ts';
import { AppError } from '../../lib/errors.ts';
import type { Session } from '../connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { ensureSealState, markKeyOf, readSealState } from './seal-key.ts';

/*
 * Marks of rows that only this program writes: an HMAC under a key derived from the key of the sealed log. They prove who wrote a row from
 * the time when it was written; its seal comes seconds later and proves that the row was neither changed nor removed since. An HMAC takes 2
 * µs, a signature 60.
 */

const markBytes = 16;
const nonceBytes = 8;

/** The values that the mark of an attempt covers, as stored. */
export interface MarkedAttempt {
  delivery: number;
  number: number;
  startedAt: string;
  durationMs: number;
  outcome: string;
  responseStatus: number | null;
  reason: string | null;
  explanation: string | null;
  recordedAt: string | null;
  receiver: number | null;
  webhook: number | null;
  eventId: string | null;
  eventType: string | null;
}

/** The values that the mark of an act covers. */
export interface MarkedAct {
  at: string;
  actor: string;
  role: string;
  action: string;
  target: string | null;
  /** Parsed, because each server orders the keys of a JSON document in its own way. */
  details: unknown;
}

/** The values that the mark of a delivery covers: the body, and the webhook that it is sent to. */
export interface MarkedDelivery {
  id: number;
  webhookId: number;
  eventSeq: number;
  eventId: string;
  eventType: string;
  /** In clear text. */
  body: string;
}

/** The values that the mark of the checkpoint covers: the position at which capture continues, and the times that it depends on. */
export interface MarkedCheckpoint {
  epoch: number;
  lineage: string | null;
  flavour: string | null;
  serverUuid: string | null;
  gtid: string | null;
  file: string | null;
  offset: number | null;
  fileCreatedAt: number | null;
  committedAtMs: number | null;
  passedMs: number | null;
}

export class Marker {
  readonly #key: HmacKey;

  constructor(key: HmacKey) {
    this.#key = key;
  }

  ofAttempt(attempt: MarkedAttempt): Buffer {
    return this.#mark(['attempt', ...attemptValues(attempt)]);
  }

  /** Different at each call: an act has a nonce, because the same act may be recorded twice within a millisecond. */
  ofAct(act: MarkedAct): Buffer {
    const nonce = randomBytes(nonceBytes);
    return Buffer.concat([nonce, this.#mark(actValues(nonce, act))]);
  }

  ofDelivery({ id, webhookId, eventSeq, eventId, eventType, body }: MarkedDelivery): Buffer {
    return this.#mark(['delivery', id, webhookId, eventSeq, eventId, eventType, body]);
  }

  isOfDelivery(mark: Buffer | null, delivery: MarkedDelivery): boolean {
    return mark !== null && isSame(mark, this.ofDelivery(delivery));
  }

  ofCheckpoint(checkpoint: MarkedCheckpoint): Buffer {
    const { epoch, lineage, flavour, serverUuid, gtid, file, offset } = checkpoint;
    const { fileCreatedAt, committedAtMs, passedMs } = checkpoint;
    return this.#mark([
      ...['checkpoint', epoch, lineage, flavour, serverUuid, gtid, file, offset],
      ...[fileCreatedAt, committedAtMs, passedMs],
    ]);
  }

  isOfCheckpoint(mark: Buffer | null, checkpoint: MarkedCheckpoint): boolean {
    return mark !== null && isSame(mark, this.ofCheckpoint(checkpoint));
  }

  isOfAttempt(mark: Buffer | null, attempt: MarkedAttempt): boolean {
    return mark !== null && isSame(mark, this.ofAttempt(attempt));
  }

  isOfAct(mark: Buffer | null, act: MarkedAct): boolean {
    if (mark?.length !== nonceBytes + markBytes) return false;
    return isSame(mark.subarray(nonceBytes), this.#mark(actValues(mark.subarray(0, nonceBytes), act)));
  }

  /** For values that are compared and never shown: settings that hold secrets. 32 hex digits. */
  digest(values: unknown): string {
    return this.#mark(['digest', canonical(values)]).toString('hex');
  }

  #mark(values: readonly unknown[]): Buffer {
    return this.#key.digest(JSON.stringify(values)).subarray(0, markBytes);
  }
}

/** Returns the marker of the installation; creates its key at the first call. Throws AppError ERR_SECRET_KEY. */
export async function openMarker(session: Session, cipher: Cipher): Promise<Marker> {
  const there = await readSealState(session);
  if (!there) await ensureSealState(session, cipher);
  const state = there ?? (await readSealState(session));
  return new Marker(markKeyOf(state!, cipher));
}

/** Same as `openMarker`, but writes nothing: returns null if the installation has no key yet, or if these keys do not decrypt it. */
export async function readMarker(session: Session, cipher: Cipher): Promise<Marker | null> {
  const state = await readSealState(session);
  try {
    return state ? new Marker(markKeyOf(state, cipher)) : null;
  } catch (error) {
    if (error instanceof AppError && error.code === 'ERR_SECRET_KEY') return null;
    throw error;
  }
}

/** Returns a JSON value with the keys of its objects sorted. */
export function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [key, canonical(inner)] as const);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function attemptValues(attempt: MarkedAttempt): unknown[] {
  const { delivery, number, startedAt, durationMs, outcome, responseStatus, reason } = attempt;
  const { recordedAt, receiver, webhook, eventId, eventType, explanation } = attempt;
  return [
    ...[delivery, number, startedAt, durationMs, outcome, responseStatus, reason],
    ...[recordedAt, receiver, webhook, eventId, eventType],
    // Attempts from before explanations existed keep their mark.
    ...(explanation === null ? [] : [explanation]),
  ];
}

function actValues(nonce: Buffer, { at, actor, role, action, target, details }: MarkedAct): unknown[] {
  return ['act', nonce.toString('hex'), at, actor, role, action, target, canonical(details)];
}

function isSame(mark: Buffer, expected: Buffer): boolean {
  return mark.length === expected.length && timingSafeEqual(mark, expected);
}
