import { createSecretKey, hash, randomBytes, type KeyObject } from 'node:crypto';
import type { Session } from '../db/client.ts';
import type { SecretBox } from '../db/encryption.ts';
import { literal } from '../db/sql-text.ts';
import { enterQueue } from './enter-queue.ts';
import { storedKey } from './lane.ts';
import type { WebhookVault } from './webhook-registry.ts';

/*
 * Each patient has a row with two keys, and so has all that is about nobody (subject ''): one salts the hashes of the sealed log,
 * one encrypts the payloads. Erasing the patient deletes the row.
 *
 * An append must not write under a key that is destroyed at that moment: its events would be lost, although they came after the
 * erasure. So whoever makes or deletes keys does it under the lock of the checkpoint's row and moves the counters: an append that
 * was planned with other keys fails, and is planned again with those that are there.
 */

/** Encrypts the payloads of one patient. */
export interface PayloadKey {
  /** Made once: a cipher begins twice as fast with it as with the bytes. */
  secret: KeyObject;
  /** Tells it from the patient's later ones. */
  fingerprint: string;
}

/** The subject under which the store keeps an event's keys. */
export function subjectOf(subject: string | null): string {
  return subject === null ? '' : storedKey(subject);
}

const saltContext = (subject: string): string => `subject ${subject}`;
const payloadContext = (subject: string): string => `payloads of subject ${subject}`;

/** 32 new bytes, sealed for the store. */
function newKey(box: SecretBox, context: string): { bytes: Buffer; sealed: string } {
  const bytes = randomBytes(32);
  return { bytes, sealed: box.seal(bytes.toString('base64'), context) };
}

function openKey(box: SecretBox, sealed: string, context: string): Buffer {
  return Buffer.from(box.open(sealed, context), 'base64');
}

/** The salts of these subjects, made where they are missing: round trips more for the new ones of a batch. */
export async function ensureSalts(
  { store, box }: WebhookVault,
  subjects: ReadonlySet<string>,
): Promise<Map<string, Buffer>> {
  const salts = await readSalts(store, box, subjects);
  const missing = [...subjects.difference(salts)];
  if (missing.length === 0) return salts;
  const rows = missing.map((subject) => {
    const salt = literal(newKey(box, saltContext(subject)).sealed);
    return `(${literal(subject)},${salt})`;
  });
  // Another process may have made one meanwhile: its key is the one.
  const statements = [`INSERT IGNORE INTO subject_keys (subject, \`key\`) VALUES ${rows.join(',')}`];
  const entry = { statements, events: 0, deliveries: 0, result: undefined };
  if (box.keyId === null) await store.script(statements);
  else await store.transaction((tx) => enterQueue(tx, () => Promise.resolve(entry)));
  for (const [subject, salt] of await readSalts(store, box, new Set(missing))) salts.set(subject, salt);
  return salts;
}

/** The salts of these subjects, as far as they are there: erasing a patient deletes the patient's. */
export async function readSalts(
  session: Session,
  box: SecretBox,
  subjects: ReadonlySet<string>,
): Promise<Map<string, Buffer>> {
  const rows = await readKeys(session, subjects);
  return new Map(rows.map(({ subject, key }) => [subject, openKey(box, key, saltContext(subject))]));
}

/** The keys that encrypt these subjects' payloads, as far as they are there. Throws AppError ERR_SECRET_KEY. */
export async function readPayloadKeys(
  session: Session,
  box: SecretBox,
  subjects: ReadonlySet<string>,
): Promise<Map<string, PayloadKey>> {
  const rows = await readKeys(session, subjects);
  return new Map(
    rows.flatMap(({ subject, payloadKey }) =>
      payloadKey === null
        ? []
        : [[subject, toPayloadKey(openKey(box, payloadKey, payloadContext(subject)))] as const],
    ),
  );
}

interface MadeKeys {
  keys: Map<string, PayloadKey>;
  /** They belong into the transaction that writes what is encrypted with them. */
  statements: string[];
}

/** New keys for these subjects' payloads, which have none. */
export async function makePayloadKeys(
  session: Session,
  box: SecretBox,
  subjects: ReadonlySet<string>,
): Promise<MadeKeys> {
  const known = new Set((await readKeys(session, subjects)).map(({ subject }) => subject));
  const keys = new Map<string, PayloadKey>();
  const statements: string[] = [];
  for (const subject of subjects) {
    const { bytes, sealed } = newKey(box, payloadContext(subject));
    keys.set(subject, toPayloadKey(bytes));
    const [whose, payloadKey] = [literal(subject), literal(sealed)];
    statements.push(
      known.has(subject)
        ? `UPDATE subject_keys SET payload_key = ${payloadKey} WHERE subject = ${whose}`
        : `INSERT INTO subject_keys (subject, \`key\`, payload_key)
           VALUES (${whose},${literal(newKey(box, saltContext(subject)).sealed)},${payloadKey})`,
    );
  }
  return { keys, statements };
}

function toPayloadKey(bytes: Buffer): PayloadKey {
  return { secret: createSecretKey(bytes), fingerprint: hash('sha256', bytes, 'hex').slice(0, 12) };
}

interface KeyRow {
  subject: string;
  key: string;
  payloadKey: string | null;
}

async function readKeys(session: Session, subjects: ReadonlySet<string>): Promise<KeyRow[]> {
  if (subjects.size === 0) return [];
  return session.rows<KeyRow>(
    'SELECT subject, `key`, payload_key AS payloadKey FROM subject_keys WHERE subject IN (?)',
    [[...subjects]],
  );
}

const resealedAtOnce = 500;

/**
 * Wraps all keys with the present encryption key; after that the old ones may go. Payloads stay as they are. Throws AppError ERR_SECRET_KEY
 * when there are payload keys that the configured keys do not open. Returns how many were wrapped anew.
 */
export async function resealSubjectKeys({ store, box }: WebhookVault): Promise<number> {
  await requirePayloadKeys(store, box);
  if (box.keyId === null) return 0;
  let resealed = 0;
  for (let after = 0; ;) {
    const rows = await store.rows<KeyRow & { id: number }>(
      'SELECT id, subject, `key`, payload_key AS payloadKey FROM subject_keys WHERE id > ? ORDER BY id LIMIT ?',
      [after, resealedAtOnce],
    );
    const stale = rows.filter(
      ({ key, payloadKey }) => box.isStale(key) || (payloadKey && box.isStale(payloadKey)),
    );
    if (stale.length > 0) await store.commit(stale.map((row) => resealStatement(box, row)));
    resealed += stale.length;
    const last = rows.at(-1);
    if (last === undefined) return resealed;
    after = last.id;
  }
}

/** Leaves alone what another process wrote meanwhile. */
function resealStatement(box: SecretBox, { id, subject, key, payloadKey }: KeyRow & { id: number }): string {
  const again = (sealed: string, context: string): string => box.seal(box.open(sealed, context), context);
  const wrapped = payloadKey === null ? null : again(payloadKey, payloadContext(subject));
  return (
    `UPDATE subject_keys SET \`key\` = ${literal(again(key, saltContext(subject)))}, payload_key = ${literal(wrapped)}` +
    ` WHERE id = ${id} AND \`key\` = ${literal(key)} AND payload_key <=> ${literal(payloadKey)}`
  );
}

/** One of each encryption key that payload keys are wrapped with: `enc:v1:<id>:…`. */
async function requirePayloadKeys(session: Session, box: SecretBox): Promise<void> {
  const samples = await session.rows<{ subject: string; payloadKey: string }>(
    `SELECT subject, payload_key AS payloadKey FROM subject_keys WHERE id IN
       (SELECT MIN(id) FROM subject_keys WHERE payload_key IS NOT NULL GROUP BY SUBSTRING_INDEX(payload_key, ':', 3))`,
  );
  for (const { subject, payloadKey } of samples) openKey(box, payloadKey, payloadContext(subject));
}
