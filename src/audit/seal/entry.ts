import { crc32 } from 'node:zlib';
import type { HmacKey } from '../../crypto/sha256.ts';
import type { Session } from '../../db/connection/client.ts';
import { canonical } from '../../db/proof/marks.ts';
import { parseStored, type JsonColumn } from '../../db/proof/stored-json.ts';
import { textOf, type OpenedPayload, type StoredPayload } from '../../outbox/payload/payloads.ts';
import { subjectOf } from '../../outbox/payload/subject-keys.ts';
import { leafHash } from './merkle.ts';
import { hintBytes, type Leaf } from './pack.ts';

/*
 * The sealed rows: one leaf for each row of these tables.
 *
 *   audit_log      an act
 *   attempts       an attempt, with its receiver and with its event, entity and patient
 *   event_log      an event, with a salted hash of its payload
 *   delivery_log   that a delivery was created, for which event and webhook
 *
 * The explanation of a failure (`attempts.explanation`) is sealed with its `reason`, as [reason, explanation]. The leaves of attempts
 * without an explanation, including all from before explanations existed, have not changed.
 *
 * The rest of `delivery_log` (status, times, number of attempts) changes with each attempt. `audit verify` derives it from the attempts.
 */

/** In the order of a seal's leaves. */
export const sealedLogs = ['audit_log', 'attempts', 'event_log', 'delivery_log'] as const;
export type SealedLog = (typeof sealedLogs)[number];

/** A row as the store has it. */
export interface Entry {
  id: number;
  /** In the order of `fieldsOf`. */
  values: readonly unknown[];
  /** Payload or response body as stored; null without one, also once it was pruned or erased. */
  content: string | null;
  /**
   * Whether `content` is expected to be the sealed content: the response to a later attempt replaces that of an earlier one. For an event:
   * whether the views show it.
   */
  keepsContent: boolean;
  eventId: string | null;
  subject: string | null;
  eventSeq: number | null;
  delivery: number | null;
}

interface Kind {
  /** Names of the sealed fields, as errors show them. */
  fields: readonly string[];
  /** The columns of `fields`, in order. */
  columns: string;
  /** id, content, keepsContent, eventId, subject, eventSeq, delivery; for attempts also the explanation. */
  besides: string;
  from: string;
  /** Column of the id. */
  key: string;
}

const kinds: Readonly<Record<SealedLog, Kind>> = {
  audit_log: {
    fields: ['at', 'actor', 'role', 'action', 'target', 'details', 'mark'],
    columns: 'g.at, g.actor, g.role, g.action, g.target, g.details, g.mark',
    besides: 'g.id, NULL, 1, NULL, NULL, NULL, NULL',
    from: 'audit_log g',
    key: 'g.id',
  },
  attempts: {
    fields: [
      ...['delivery_id', 'number', 'started_at', 'duration_ms', 'outcome', 'response_status', 'reason'],
      ...['recorded_at', 'receiver', 'receiver_name', 'receiver_url', 'mark', 'webhook_id', 'event_seq'],
      ...['event_id', 'event_type', 'entity_table', 'entity_key', 'subject', 'transaction_id', 'occurred_at'],
    ],
    columns: `a.delivery_id, a.number, a.started_at, a.duration_ms, a.outcome, a.response_status, a.reason,
      a.recorded_at, a.receiver, r.name, r.url, a.mark, d.webhook_id, d.event_seq,
      e.id, e.type, e.entity_table, e.entity_key, e.subject, e.transaction_id, e.occurred_at`,
    besides: `a.id, IF(d.retry_count = a.number - 1, d.response_body, NULL), d.retry_count <=> a.number - 1, e.id, e.subject,
      e.seq, a.delivery_id, a.explanation`,
    from: `attempts a LEFT JOIN delivery_log d ON d.id = a.delivery_id LEFT JOIN event_log e ON e.seq = d.event_seq
      LEFT JOIN receivers r ON r.id = a.receiver`,
    key: 'a.id',
  },
  event_log: {
    fields: [
      ...['id', 'type', 'entity_table', 'entity_key', 'subject', 'transaction_id', 'occurred_at'],
      ...['created_at', 'read_late'],
    ],
    columns: `e.id, e.type, e.entity_table, e.entity_key, e.subject, e.transaction_id, e.occurred_at, e.created_at,
      e.read_late`,
    besides: `e.seq, e.body, e.staging < (SELECT c.staging FROM checkpoint c WHERE c.id = 1), e.id, e.subject, e.seq, NULL`,
    from: 'event_log e',
    key: 'e.seq',
  },
  delivery_log: {
    fields: ['webhook_id', 'event_seq', 'created_at'],
    columns: 'd.webhook_id, d.event_seq, d.created_at',
    besides: 'd.id, d.payload, 1, e.id, e.subject, d.event_seq, d.id',
    from: 'delivery_log d LEFT JOIN event_log e ON e.seq = d.event_seq',
    key: 'd.id',
  },
};

/** Fields that are JSON texts: each server orders the keys of a document in its own way. */
const jsonFields: Readonly<Partial<Record<string, JsonColumn>>> = {
  details: 'audit_log.details',
  read_late: 'event_log.read_late',
};

export function fieldsOf(log: SealedLog): readonly string[] {
  return kinds[log].fields;
}

/** Reads entries by a condition on their ids, from idIn or a range; `{id}` stands for the column. */
export async function readEntries(session: Session, log: SealedLog, condition: string): Promise<Entry[]> {
  const { columns, besides, from, key, fields } = kinds[log];
  const jsonAt = fields.flatMap((field, index) => {
    const column = jsonFields[field];
    return column ? [{ index, column }] : [];
  });
  const rows = await session.arrays(
    `SELECT ${columns}, ${besides} FROM ${from} WHERE ${condition.replaceAll('{id}', key)} ORDER BY ${key}`,
  );
  return rows.map((row) => {
    const values = row.slice(0, fields.length).map(toValue);
    const [id, content, keepsContent, eventId, subject, eventSeq, delivery, explanation] = row.slice(
      fields.length,
    );
    for (const { index, column } of jsonAt) {
      const text = values[index] as string | null;
      values[index] = text === null ? null : canonical(parseStored(column, text, id as number));
    }
    if (typeof explanation === 'string') {
      const at = fields.indexOf('reason');
      values[at] = [values[at], explanation];
    }
    return {
      ...{ id: id as number, values, content: content as string | null, keepsContent: keepsContent === 1 },
      ...{ eventId: eventId as string | null, subject: subject as string | null },
      ...{ eventSeq: eventSeq as number | null, delivery: delivery as number | null },
    };
  });
}

function toValue(value: unknown): unknown {
  return Buffer.isBuffer(value) ? value.toString('hex') : value;
}

/** Returns a field of an entry by name. */
export function valueOf(log: SealedLog, entry: Entry, field: string): unknown {
  return entry.values[kinds[log].fields.indexOf(field)];
}

/** Returns the reason code and the explanation of a failed attempt. */
export function whyFailed(attempt: Entry): { reason: string | null; explanation: string | null } {
  const sealed = valueOf('attempts', attempt, 'reason') as string | null | [string | null, string];
  const [reason, explanation] = Array.isArray(sealed) ? sealed : [sealed, null];
  return { reason, explanation };
}

/** Returns the hash of a row's leaf, given the hash of its content. */
export function entryHash(log: SealedLog, { id, values }: Entry, content: Buffer | null): Buffer {
  return leafHash(JSON.stringify([2, log, id, ...values, content && content.toString('hex')]));
}

/** Returns the leaf of a row, given the hash of its content. */
export function toLeaf(log: SealedLog, entry: Entry, content: Buffer | null): Leaf {
  return { id: entry.id, hash: entryHash(log, entry, content), content, hints: hintsOf(entry) };
}

function hintsOf({ values }: Entry): Buffer {
  const hints = Buffer.allocUnsafe(values.length * hintBytes);
  for (const [index, value] of values.entries())
    hints.writeUInt16LE(crc32(JSON.stringify(value)) & 0xffff, index * hintBytes);
  return hints;
}

/** Returns the names of the fields whose checksums differ. */
export function differingFields(log: SealedLog, sealed: Leaf, now: Entry): string[] {
  const hints = hintsOf(now);
  const isSame = (at: number): boolean =>
    hints[at] === sealed.hints[at] && hints[at + 1] === sealed.hints[at + 1];
  return kinds[log].fields.filter((_, index) => !isSame(index * hintBytes));
}

/** The payload or the response body of an entry, to be decrypted. */
export function storedContent({ eventId, eventSeq, subject, content }: Entry): StoredPayload {
  return { eventId: eventId ?? '', eventSeq: eventSeq ?? 0, subject, payload: content };
}

/**
 * Returns the salted hash of a payload or a response body for its leaf. The salt is derived from the subject's key: once the key is
 * destroyed, the hash reveals nothing about the text.
 */
export function contentHash(log: SealedLog, id: number, text: string, salt: HmacKey): Buffer {
  return salt.digest(`${log} ${id}\0${text}`);
}

/** Returns the subjects whose salts are needed for the contents. */
export function subjectsOf(entries: readonly Entry[], opened: readonly OpenedPayload[]): Set<string> {
  return new Set(
    entries.filter((_, index) => textOf(opened[index]) !== null).map(({ subject }) => subjectOf(subject)),
  );
}
