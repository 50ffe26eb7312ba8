import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { readClearTo, readErasures } from './payload-acts.ts';
import { readPayloadKeys, subjectOf, type PayloadKey } from './subject-keys.ts';

/*
 * The one place that knows how the store holds payloads and the answers to them:
 *
 *   in the clear    {"event":…                                    without store.encryption_key, and from before it was set
 *   encrypted       aes:v1:<fingerprint of the key>:<base64>      AES-256-GCM under the key of the patient; the event's id is
 *                                                                 authenticated with it, so that it cannot be decrypted in another row
 *
 * The fingerprint distinguishes a destroyed key from a later key of the patient.
 */

export const payloadPrefix = 'aes:v1:';
const algorithm = 'aes-256-gcm';
const ivBytes = 12;
const tagBytes = 16;

/** A payload or an answer as stored. */
export interface StoredPayload {
  eventId: string;
  eventSeq: number;
  /** As stored: null for an event about no patient. */
  subject: string | null;
  payload: string | null;
}

/**
 * `gone`: pruned or erased, by row or by key, or on record as erased, regardless of the row. `damaged`: the row was changed: it cannot be decrypted, or it
 * is in clear text although everything is written encrypted.
 */
export type OpenedPayload =
  { kind: 'readable'; text: string; key: PayloadKey | null } | { kind: 'gone' } | { kind: 'damaged' };

export function encryptPayload(key: PayloadKey, eventId: string, text: string): string {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv(algorithm, key.secret, iv).setAAD(Buffer.from(eventId));
  const encrypted = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `${payloadPrefix}${key.fingerprint}:${encrypted.toString('base64')}`;
}

/**
 * Decrypts stored payloads, in order; reads the keys of encrypted ones from the store. Throws AppError ERR_SECRET_KEY when a patient's
 * key cannot be unwrapped with the configured keys: an operator must fix this; no data is lost.
 */
export async function openPayloads(
  session: Session,
  cipher: Cipher,
  stored: readonly StoredPayload[],
): Promise<OpenedPayload[]> {
  const encrypted = stored.filter(({ payload }) => isEncrypted(payload));
  const keys = await readPayloadKeys(
    session,
    cipher,
    new Set(encrypted.map(({ subject }) => subjectOf(subject))),
  );
  const erasedTo = await readErasures(
    session,
    cipher,
    stored.flatMap(({ payload, subject }) => (payload === null || subject === null ? [] : [subject])),
  );
  const isErased = (subject: string, eventSeq: number): boolean => eventSeq <= (erasedTo.get(subject) ?? -1);
  return openKnownPayloads(session, cipher, { stored, keys, isErased });
}

/** Payloads with their keys. */
export interface KnownPayloads {
  stored: readonly StoredPayload[];
  /** By subject. */
  keys: ReadonlyMap<string, PayloadKey>;
  isErased(subject: string, eventSeq: number): boolean;
}

/** Like `openPayloads`, with known keys and erasures. */
export async function openKnownPayloads(
  session: Session,
  cipher: Cipher,
  { stored, keys, isErased }: KnownPayloads,
): Promise<OpenedPayload[]> {
  const mayBeClear = await readClearRule(session, cipher, stored);
  return stored.map((row) => {
    const subject = subjectOf(row.subject);
    if (isErased(subject, row.eventSeq)) return { kind: 'gone' };
    if (!mayBeClear(row)) return { kind: 'damaged' };
    return openOne(row, keys.get(subject));
  });
}

/** Which payloads may be unencrypted in the store. Queries the store only if one of them is unencrypted in a store that encrypts. */
async function readClearRule(
  session: Session,
  cipher: Cipher,
  stored: readonly StoredPayload[],
): Promise<(row: StoredPayload) => boolean> {
  const isClear = ({ payload }: StoredPayload): boolean =>
    payload !== null && payload !== '' && !isEncrypted(payload);
  if (!cipher.forPatients.encrypts || !stored.some(isClear)) return () => true;
  const clearTo = await readClearTo(session, cipher);
  return (row) => !isClear(row) || row.eventSeq <= clearTo;
}

/** For callers that only display it: null for a missing or damaged payload. */
export function textOf(opened: OpenedPayload | undefined): string | null {
  return opened?.kind === 'readable' ? opened.text : null;
}

function isEncrypted(payload: string | null): payload is string {
  return payload?.startsWith(payloadPrefix) ?? false;
}

function openOne({ eventId, payload }: StoredPayload, key: PayloadKey | undefined): OpenedPayload {
  if (payload === null) return { kind: 'gone' };
  if (!isEncrypted(payload)) return { kind: 'readable', text: payload, key: null };
  const [fingerprint, encrypted = ''] = payload.slice(payloadPrefix.length).split(':');
  if (key?.fingerprint !== fingerprint) return { kind: 'gone' };
  const text = decrypt(key!, eventId, encrypted);
  return text === undefined ? { kind: 'damaged' } : { kind: 'readable', text, key: key! };
}

function decrypt({ secret }: PayloadKey, eventId: string, encrypted: string): string | undefined {
  const raw = Buffer.from(encrypted, 'base64');
  try {
    const decipher = createDecipheriv(algorithm, secret, raw.subarray(0, ivBytes), {
      authTagLength: tagBytes,
    })
      .setAAD(Buffer.from(eventId))
      .setAuthTag(raw.subarray(raw.length - tagBytes));
    const text = decipher.update(raw.subarray(ivBytes, raw.length - tagBytes));
    return Buffer.concat([text, decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}
