import type { Session } from '../db/connection/client.ts';
import { openMarker } from '../db/proof/marks.ts';
import { idIn } from '../db/connection/sql-text.ts';
import { destroyKeys } from '../outbox/payload/destroy-keys.ts';
import { exhaust } from '../outbox/queue/end-queued.ts';
import { enterQueue } from '../outbox/append/enter-queue.ts';
import { storedKey } from '../outbox/append/lane.ts';
import { eraseAction } from '../outbox/payload/payload-acts.ts';
import { giveUpKeys } from '../outbox/payload/subject-keys.ts';
import type { LogEnd } from '../outbox/payload/standing-erasures.ts';
import { AppError } from '../lib/errors.ts';
import { recordAct, type Actor, type RecordedAct } from './act/record-act.ts';
import { sealAct, sealedErasures } from './act/sealed-erasures.ts';
import type { EncryptedStore } from '../db/connection/encrypted-store.ts';

export interface Erasure {
  /** The patient's number in the application. */
  patient: string;
  reason: string;
  actor: Actor;
  /** End of the source's binlog: changes before it that are not captured yet are erased too. Without it, only stored data is erased. */
  logEnd?: LogEnd;
}

export interface Erased {
  /** Whether the store knew this patient before: an event, keys or an earlier erasure. False for a mistyped number. */
  known: boolean;
  /** Events that carried the patient's data. */
  events: number;
  /** Deliveries that had not been sent yet: the erasure ends them, on record. */
  ended: number;
  /** Deliveries that a process holds in memory at this moment: it may still send them. */
  beingSent: number;
  /**
   * Path of the key file from which the patient's key was removed: no earlier backup or binary log of the store can be decrypted with it.
   * Null without a key file, and while the erasure cannot be sealed: copies then stay readable with the encryption key.
   */
  keyFile: string | null;
}

/** Result of erasing several numbers of one patient: the sums of the results. */
export interface ErasedPatient extends Omit<Erased, 'known'> {
  /** Numbers that the store did not know. */
  unknown: string[];
}

const eventsAtOnce = 250;

/** Erases the numbers of a patient one after the other, as `erasePatient` does. */
export async function erasePatientNumbers(
  vault: EncryptedStore,
  { patients, ...erasure }: Omit<Erasure, 'patient'> & { patients: readonly string[] },
): Promise<ErasedPatient> {
  const sums: ErasedPatient = { events: 0, ended: 0, beingSent: 0, keyFile: null, unknown: [] };
  let isKeyFileMissing = false;
  for (const patient of new Set(patients)) {
    const { known, events, ended, beingSent, keyFile } = await erasePatient(vault, { patient, ...erasure });
    sums.events += events;
    sums.ended += ended;
    sums.beingSent += beingSent;
    isKeyFileMissing ||= keyFile === null;
    sums.keyFile = isKeyFileMissing ? null : keyFile;
    if (!known) sums.unknown.push(patient);
  }
  return sums;
}

/**
 * Makes the payloads and response bodies that carried a patient's data unreadable in the store. The record that they were sent, to which
 * receiver, when and with what outcome stays, and the sealed log still verifies: it holds hashes of payloads whose salt is destroyed with
 * the patient's key. Data that the application writes later is not erased: erase it in the application first. An erasure that was
 * interrupted can be run again. Numbers are compared byte by byte. Throws AppError ERR_SECRET_KEY or ERR_CONFIG if the key file cannot be
 * changed, ERR_USAGE for an empty number.
 * @internal
 */
export async function erasePatient(vault: EncryptedStore, erasure: Erasure): Promise<Erased> {
  const { store, cipher } = vault;
  const { keyFile } = cipher.forPatients;
  keyFile?.reload();
  const subject = requireSubject(erasure.patient);
  const known = await knowsPatient(store, erasure.patient);
  const { last, events, act } = await beginErasure(vault, subject, erasure);
  const isSealed = await sealAct(vault, act.id);
  if (isSealed) await destroyKeys(vault, sealedErasures(vault));
  let ended = 0;
  for (let after = 0; ;) {
    const step = await store.transaction((tx) => eraseEvents(tx, subject, { after, last, at: act.at }));
    if (!step) break;
    ended += step.ended;
    after = step.after;
  }
  const [row] = await store.rows<{ n: number }>(
    `SELECT COUNT(*) AS n FROM event_log e JOIN delivery_log d ON d.event_seq = e.seq JOIN queue q ON q.delivery_id = d.id
     WHERE e.subject = ? AND e.seq <= ? AND q.state = 'sending'`,
    [subject, last],
  );
  return { known, events, ended, beingSent: row!.n, keyFile: isSealed ? (keyFile?.path ?? null) : null };
}

/** Events about no patient have the subject '': their keys must not be destroyed. */
function requireSubject(patient: string): string {
  if (patient !== '') return storedKey(patient);
  throw new AppError('ERR_USAGE', 'the number of the patient is empty', {
    remedy: 'Write it as the application has it.',
  });
}

/** Whether the store has any data about a patient with exactly this number. */
export async function knowsPatient(session: Session, patient: string): Promise<boolean> {
  const subject = storedKey(patient);
  if (subject === '') return false;
  const [row] = await session.rows<{ known: number }>(
    `SELECT EXISTS (SELECT 1 FROM event_log WHERE subject = ?) OR EXISTS (SELECT 1 FROM subject_keys WHERE subject = ?)
       OR EXISTS (SELECT 1 FROM audit_log WHERE action = ? AND target = ? AND CAST(target AS BINARY) = CAST(? AS BINARY)
                  AND JSON_EXTRACT(details, '$.last_event') > 0) AS known`,
    [subject, subject, eraseAction, subject, subject],
  );
  return row!.known === 1;
}

/** The error for patient numbers that the store does not know. */
export function unknownPatient(patients: readonly string[]): AppError {
  const numbers = patients.map((patient) => JSON.stringify(patient)).join(', ');
  return new AppError('ERR_UNKNOWN_PATIENT', `nothing is known about patient ${numbers}`);
}

/** Counts the events that an erasure would make unreadable, to show the count before it begins. */
export async function countErasable(session: Session, patient: string): Promise<number> {
  const [row] = await session.rows<{ n: number }>(
    'SELECT COUNT(*) AS n FROM event_log WHERE subject = ? AND body IS NOT NULL',
    [storedKey(patient)],
  );
  return row!.n;
}

interface Begun {
  last: number;
  events: number;
  act: RecordedAct;
}

/** Gives up the patient's keys and records up to which event payloads are rightly missing, in one step, so that `audit verify` knows. */
async function beginErasure(
  { store, cipher }: EncryptedStore,
  subject: string,
  { actor, reason, logEnd }: Erasure,
): Promise<Begun> {
  // Create the signing key of the sealed log before taking the lock.
  await openMarker(store, cipher);
  return store.transaction((tx) =>
    // Waits for the append that is being committed, so that its events are erased too. An append that was planned with the key is planned
    // again.
    enterQueue(tx, async () => {
      const [found] = await tx.rows<{ last: number; events: number }>(
        'SELECT COALESCE(MAX(seq), 0) AS last, COUNT(*) AS events FROM event_log WHERE subject = ?',
        [subject],
      );
      const { last, events } = found!;
      const { statements, slots } = await giveUpKeys(tx, subject);
      const [checkpoint] = await tx.rows<{ lineage: string | null }>(
        'SELECT lineage FROM checkpoint WHERE id = 1',
      );
      const details = {
        ...{ reason, events, last_event: last, keys: slots },
        ...(logEnd && { log_end: { ...logEnd, lineage: checkpoint!.lineage } }),
      };
      const act = await recordAct(tx, cipher, { actor, action: eraseAction, target: subject, details });
      // Always moves the counters, so that an append planned without this erasure fails.
      const moved = [...statements, 'DO 0'];
      return { statements: moved, events: 0, deliveries: 0, result: { last, events, act } };
    }),
  );
}

async function eraseEvents(
  tx: Session,
  subject: string,
  { after, last, at }: { after: number; last: number; at: string },
): Promise<{ ended: number; after: number } | undefined> {
  const rows = await tx.rows<{ seq: number }>(
    'SELECT seq FROM event_log WHERE subject = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?',
    [subject, after, last, eventsAtOnce],
  );
  const end = rows.at(-1);
  if (!end) return undefined;
  const seqs = rows.map(({ seq }) => seq);
  const queued = await tx.rows<{ id: number }>(
    `SELECT q.delivery_id AS id FROM queue q JOIN delivery_log d ON d.id = q.delivery_id
     WHERE ${idIn('d.event_seq', seqs)} AND q.state <> 'sending' ORDER BY q.delivery_id FOR UPDATE`,
  );
  await exhaust(
    tx,
    queued.map(({ id }) => id),
    at,
  );
  await tx.script([
    `UPDATE event_log SET body = NULL WHERE ${idIn('seq', seqs)}`,
    `UPDATE delivery_log SET payload = NULL, response_body = NULL WHERE ${idIn('event_seq', seqs)}`,
  ]);
  return { ended: queued.length, after: end.seq };
}
