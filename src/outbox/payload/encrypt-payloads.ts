import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import { literal } from '../../db/connection/sql-text.ts';
import { enterQueue } from '../append/enter-queue.ts';
import { createPayloadEncryptor } from './payload-encryptor.ts';
import { payloadPrefix } from './payloads.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/** Number of events in one step, which blocks appends while it runs. */
const eventsAtOnce = 50;

/** `encrypted`: events that had a payload or an answer in the clear. `waits`: it waits for a request in flight, whose answer will be written in the clear. */
export interface EncryptionStep {
  kind: 'encrypted' | 'waits' | 'done';
  encrypted: number;
}

/**
 * Encrypts payloads and answers that were written before a key was configured, of the next events up to `lastSeq`, in one bounded
 * transaction; call again until it is `done`. `lastSeq` is the last event that may be in clear text according to the audit log (payload-acts). The sealed log stays valid, because it covers what was sent, not how it is stored.
 */
export async function encryptPayloads(
  { store, cipher }: EncryptedStore,
  lastSeq: number,
): Promise<EncryptionStep> {
  if (!cipher.forPatients.encrypts) return { kind: 'done', encrypted: 0 };
  return store.transaction(async (tx) => {
    const [installation] = await tx.rows<{ from: number }>(
      'SELECT payloads_sealed_to AS `from` FROM installation WHERE id = 1 FOR UPDATE',
    );
    const { from } = installation!;
    const window = await tx.rows<{ seq: number }>(
      'SELECT seq FROM event_log WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?',
      [from, lastSeq, eventsAtOnce],
    );
    const last = window.at(-1);
    if (last === undefined) return { kind: 'done', encrypted: 0 };
    const encrypted = await encryptRange({ tx, cipher }, from, last.seq);
    const [sending] = await tx.rows<{ seq: number | null }>(
      "SELECT MIN(event_seq) AS seq FROM queue WHERE state = 'sending' AND event_seq > ? AND event_seq <= ?",
      [from, last.seq],
    );
    const to = sending?.seq == null ? last.seq : sending.seq - 1;
    await tx.run('UPDATE installation SET payloads_sealed_to = ? WHERE id = 1', [to]);
    return { kind: to === last.seq ? 'encrypted' : 'waits', encrypted };
  });
}

interface ClearRow {
  seq: number;
  eventId: string;
  subject: string | null;
  /** Null for the event itself. */
  deliveryId: number | null;
  payload: string | null;
  responseBody: string | null;
}

/** Under the lock of the checkpoint's row, which destroying keys requires, too. */
async function encryptRange(
  { tx, cipher }: { tx: Session; cipher: Cipher },
  from: number,
  to: number,
): Promise<number> {
  if ((await readClear(tx, { from, to })).length === 0) return 0;
  return enterQueue(tx, async () => {
    const rows = await readClear(tx, { from, to, lock: true });
    const events = rows.map(({ eventId, subject }) => ({ id: eventId, subject }));
    const encryptor = await createPayloadEncryptor(tx, cipher, events);
    const updates = rows.map((row, index) => {
      const encrypt = (text: string | null): string =>
        literal(isClear(text) ? encryptor.encrypt(events[index]!, text) : text);
      return row.deliveryId === null
        ? `UPDATE event_log SET body = ${encrypt(row.payload)} WHERE seq = ${row.seq}`
        : `UPDATE delivery_log SET payload = ${encrypt(row.payload)}, response_body = ${encrypt(row.responseBody)}
             WHERE id = ${row.deliveryId}`;
    });
    if (updates.length > 0) await tx.script(updates);
    const result = new Set(rows.map(({ seq }) => seq)).size;
    return { statements: encryptor.statements, events: 0, deliveries: 0, result };
  });
}

function isClear(text: string | null): text is string {
  return text !== null && text !== '' && !text.startsWith(payloadPrefix);
}

async function readClear(
  tx: Session,
  { from, to, lock = false }: { from: number; to: number; lock?: boolean },
): Promise<ClearRow[]> {
  const isClearSql = (column: string): string =>
    `(${column} <> '' AND ${column} NOT LIKE ${literal(`${payloadPrefix}%`)})`;
  const range = 'e.seq > ? AND e.seq <= ?';
  const deliveries = await tx.rows<ClearRow>(
    `SELECT e.seq, e.id AS eventId, e.subject, d.id AS deliveryId, d.payload, d.response_body AS responseBody
     FROM event_log e JOIN delivery_log d ON d.event_seq = e.seq
     WHERE ${range} AND (${isClearSql('d.payload')} OR ${isClearSql('d.response_body')})${lock ? ' FOR UPDATE' : ''}`,
    [from, to],
  );
  const events = await tx.rows<ClearRow>(
    `SELECT e.seq, e.id AS eventId, e.subject, NULL AS deliveryId, e.body AS payload, NULL AS responseBody
     FROM event_log e WHERE ${range} AND ${isClearSql('e.body')}${lock ? ' FOR UPDATE' : ''}`,
    [from, to],
  );
  return [...deliveries, ...events];
}
