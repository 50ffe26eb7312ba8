import { HmacKey } from '../../crypto/sha256.ts';
import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { canonical } from '../../db/proof/marks.ts';
import { parseStored } from '../../db/proof/stored-json.ts';
import { openPayloads, type OpenedPayload } from '../../outbox/payload/payloads.ts';
import { leafHash } from '../seal/merkle.ts';

/*
 * Leaves as version f84be48 made them (seals of version 1). They are verified by the rule by which they were made.
 */

/** The tables whose rows were sealed. */
export type OldLog = 'attempts' | 'audit_log';

/** An attempt with its delivery and event. Null fields if those were deleted. */
export interface AttemptEntry {
  id: number;
  delivery: number;
  number: number;
  startedAt: string;
  durationMs: number;
  outcome: string;
  responseStatus: number | null;
  reason: string | null;
  /** Version f84be48 recorded none: a value was added to the row later. */
  explanation: string | null;
  webhook: number | null;
  eventId: string | null;
  eventType: string | null;
  entityTable: string | null;
  entityKey: string | null;
  subject: string | null;
  transactionId: string | null;
  occurredAt: string | null;
  /** Position in the log; shows whether its payload was pruned. */
  eventSeq: number | null;
  /** As stored (outbox/payloads decrypts it); null once pruned or erased. */
  payload: string | null;
}

/** An act as version f84be48 sealed it. */
export interface ActEntry {
  id: number;
  at: string;
  actor: string;
  role: string;
  action: string;
  target: string | null;
  /** JSON text, as the server returns it. */
  details: string | null;
}

/** Columns of `attempts a` joined with `attemptJoins`. */
export const attemptColumns = `a.id, a.delivery_id AS delivery, a.number, a.started_at AS startedAt, a.duration_ms AS durationMs,
  a.outcome, a.response_status AS responseStatus, a.reason, a.explanation, d.webhook_id AS webhook, e.id AS eventId, e.type AS eventType,
  e.entity_table AS entityTable, e.entity_key AS entityKey, e.subject, e.transaction_id AS transactionId,
  e.occurred_at AS occurredAt, e.seq AS eventSeq, COALESCE(d.payload, e.body) AS payload`;

export const attemptJoins =
  'LEFT JOIN delivery_log d ON d.id = a.delivery_id LEFT JOIN event_log e ON e.seq = d.event_seq';

/** Decrypts the payloads of attempts, in order. */
export function openPayloadsOf(
  session: Session,
  cipher: Cipher,
  entries: readonly AttemptEntry[],
): Promise<OpenedPayload[]> {
  const stored = entries.map(({ eventId, eventSeq, subject, payload }) => ({
    eventId: eventId ?? '',
    eventSeq: eventSeq ?? 0,
    subject,
    payload,
  }));
  return openPayloads(session, cipher, stored);
}

export const actColumns = 'g.id, g.at, g.actor, g.role, g.action, g.target, g.details';

/**
 * Returns the leaf of an attempt. It contains a salted hash of the payload, which can be proved while the payload exists and then erased.
 */
export function oldAttemptLeaf(entry: AttemptEntry, payloadHash: Uint8Array | null): Buffer {
  return leafHash(
    JSON.stringify([
      'attempt',
      entry.id,
      entry.delivery,
      entry.number,
      entry.startedAt,
      entry.durationMs,
      entry.outcome,
      entry.responseStatus,
      entry.reason,
      entry.webhook,
      entry.eventId,
      entry.eventType,
      entry.entityTable,
      entry.entityKey,
      entry.subject,
      entry.transactionId,
      entry.occurredAt,
      payloadHash && Buffer.from(payloadHash).toString('hex'),
      ...(entry.explanation === null ? [] : [entry.explanation]),
    ]),
  );
}

export function oldActLeaf({ id, at, actor, role, action, target, details }: ActEntry): Buffer {
  const content = details === null ? null : canonical(parseStored('audit_log.details', details, id));
  return leafHash(JSON.stringify(['act', id, at, actor, role, action, target, content]));
}

/** The salt is derived from the subject's key: if that is destroyed, payloads cannot be tried against the hash. */
export function oldPayloadHash(payload: string, delivery: number, subjectSalt: HmacKey): Buffer {
  const salt = subjectSalt.digest(`payload of delivery ${delivery}`);
  return new HmacKey(salt).digest(payload);
}
