import { createSecretKey, hash, randomBytes, type KeyObject } from 'node:crypto';
import type { Session } from '../../db/connection/client.ts';
import { type PatientCipher, type Cipher, slotOf } from '../../crypto/cipher.ts';
import { HmacKey } from '../../crypto/sha256.ts';
import { idIn, literal, toBatches } from '../../db/connection/sql-text.ts';
import { enterQueue } from '../append/enter-queue.ts';
import { storedKey } from '../append/lane.ts';
import { openOfRow } from './subject-key-error.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/*
 * Each patient has a row with two keys, and so have events about no patient (subject ''): one salts the hashes of the sealed log,
 * one encrypts the payloads. Erasing the patient deletes the row (crypto-shredding).
 *
 * An append must not write under a key that is being destroyed: its events would be lost, although they came after the erasure. So keys are created and
 * deleted under the lock of the checkpoint's row, and the counters are moved: an append that
 * was planned with other keys fails, and is planned again with the present keys.
 */

/** Encrypts the payloads of one patient. */
export interface PayloadKey {
  /** Created once: a cipher starts twice as fast with a key object as with the bytes. */
  secret: KeyObject;
  /** Distinguishes it from later keys of the patient. */
  fingerprint: string;
}

/** The subject under which the store keeps an event's keys. */
export function subjectOf(subject: string | null): string {
  return subject === null ? '' : storedKey(subject);
}

const saltContext = (subject: string): string => `subject ${subject}`;
const payloadContext = (subject: string): string => `payloads of subject ${subject}`;

/** 32 new bytes, encrypted for the store; `beside` is the other key of the row. */
function newKey(
  cipher: PatientCipher,
  context: string,
  beside?: string,
): { bytes: Buffer; encrypted: string } {
  const bytes = randomBytes(32);
  return { bytes, encrypted: cipher.encrypt(bytes.toString('base64'), context, beside) };
}

function openKey(cipher: PatientCipher, encrypted: string, context: string): Buffer {
  return Buffer.from(cipher.decrypt(encrypted, context), 'base64');
}

/** The salts of these subjects; creates missing ones, with further round trips for the new ones of a batch. */
export async function ensureSalts(
  { store, cipher }: EncryptedStore,
  subjects: ReadonlySet<string>,
): Promise<Map<string, HmacKey>> {
  const salts = await readSalts(store, cipher, subjects);
  const missing = subjects.difference(salts);
  if (missing.size === 0) return salts;
  const { forPatients } = cipher;
  const dead = (await readKeys(store, missing)).filter((row) => isDead(forPatients, row));
  const rows = [...missing].map((subject) => {
    const salt = literal(newKey(forPatients, saltContext(subject)).encrypted);
    return `(${literal(subject)},${salt})`;
  });
  const inserts = toBatches(rows, (row) => Buffer.byteLength(row));
  const statements = [
    ...remove(dead),
    // Another process may have created one meanwhile: then its key is used.
    ...inserts.map((batch) => `INSERT IGNORE INTO subject_keys (subject, \`key\`) VALUES ${batch.join(',')}`),
  ];
  const entry = { statements, events: 0, deliveries: 0, result: undefined };
  if (!forPatients.encrypts) await store.script(statements);
  else await store.transaction((tx) => enterQueue(tx, () => Promise.resolve(entry)));
  for (const [subject, salt] of await readSalts(store, cipher, missing)) salts.set(subject, salt);
  return salts;
}

/** The existing salts of these subjects: erasing a patient deletes the salt. */
export async function readSalts(
  session: Session,
  { forPatients: cipher }: Cipher,
  subjects: ReadonlySet<string>,
): Promise<Map<string, HmacKey>> {
  const rows = await readLiveKeys(session, cipher, subjects);
  return new Map(rows.map((row) => [row.subject, openSalt(cipher, row)]));
}

/** The decrypted keys of a subject. */
export interface SubjectKeys {
  salt: HmacKey;
  /** Null without encryption at rest. */
  payload: PayloadKey | null;
}

/** Both keys of these subjects, if they exist. Throws AppError ERR_SECRET_KEY. */
export async function readSubjectKeys(
  session: Session,
  { forPatients: cipher }: Cipher,
  subjects: ReadonlySet<string>,
): Promise<Map<string, SubjectKeys>> {
  const rows = await readLiveKeys(session, cipher, subjects);
  return new Map(
    rows.map((row) => [row.subject, { salt: openSalt(cipher, row), payload: openPayloadKey(cipher, row) }]),
  );
}

/** The existing keys that encrypt these subjects' payloads. Throws AppError ERR_SECRET_KEY. */
export async function readPayloadKeys(
  session: Session,
  { forPatients: cipher }: Cipher,
  subjects: ReadonlySet<string>,
): Promise<Map<string, PayloadKey>> {
  const rows = await readLiveKeys(session, cipher, subjects);
  return new Map(
    rows.flatMap((row) => {
      const key = openPayloadKey(cipher, row);
      return key === null ? [] : [[row.subject, key] as const];
    }),
  );
}

function openSalt(cipher: PatientCipher, row: KeyRow): HmacKey {
  return openOfRow(row, 'key', () => new HmacKey(openKey(cipher, row.key, saltContext(row.subject))));
}

function openPayloadKey(cipher: PatientCipher, row: KeyRow): PayloadKey | null {
  const { subject, payloadKey } = row;
  if (payloadKey === null) return null;
  return openOfRow(row, 'payload_key', () =>
    toPayloadKey(openKey(cipher, payloadKey, payloadContext(subject))),
  );
}

interface MadeKeys {
  keys: Map<string, PayloadKey>;
  /** The statements must run in the transaction that writes the encrypted payloads. */
  statements: string[];
}

/** New keys for the payloads of these subjects, which have none. */
export async function makePayloadKeys(
  session: Session,
  { forPatients: cipher }: Cipher,
  subjects: ReadonlySet<string>,
): Promise<MadeKeys> {
  const found = await readKeys(session, subjects);
  const dead = found.filter((row) => isDead(cipher, row));
  const known = new Map(found.filter((row) => !dead.includes(row)).map(({ subject, key }) => [subject, key]));
  const keys = new Map<string, PayloadKey>();
  const statements = remove(dead);
  for (const subject of subjects) {
    const existing = known.get(subject);
    const salt = existing ?? newKey(cipher, saltContext(subject)).encrypted;
    const { bytes, encrypted } = newKey(cipher, payloadContext(subject), salt);
    keys.set(subject, toPayloadKey(bytes));
    const [whose, payloadKey] = [literal(subject), literal(encrypted)];
    statements.push(
      existing === undefined
        ? `INSERT INTO subject_keys (subject, \`key\`, payload_key) VALUES (${whose},${literal(salt)},${payloadKey})`
        : `UPDATE subject_keys SET payload_key = ${payloadKey} WHERE subject = ${whose}`,
    );
  }
  return { keys, statements };
}

function toPayloadKey(bytes: Buffer): PayloadKey {
  return { secret: createSecretKey(bytes), fingerprint: hash('sha256', bytes, 'hex').slice(0, 12) };
}

interface KeyRow {
  id: number;
  subject: string;
  key: string;
  payloadKey: string | null;
}

/** A row of an erased patient that was restored from a copy: its key in the key file was destroyed. */
function isDead(cipher: PatientCipher, row: KeyRow): boolean {
  const { key, payloadKey } = row;
  if (openOfRow(row, 'key', () => cipher.isDestroyed(key))) return true;
  return payloadKey !== null && openOfRow(row, 'payload_key', () => cipher.isDestroyed(payloadKey));
}

function remove(rows: readonly KeyRow[]): string[] {
  return rows.length === 0
    ? []
    : [
        `DELETE FROM subject_keys WHERE ${idIn(
          'id',
          rows.map(({ id }) => id),
        )}`,
      ];
}

async function readLiveKeys(
  session: Session,
  cipher: PatientCipher,
  subjects: ReadonlySet<string>,
): Promise<KeyRow[]> {
  return (await readKeys(session, subjects)).filter((row) => !isDead(cipher, row));
}

async function readKeys(session: Session, subjects: ReadonlySet<string>): Promise<KeyRow[]> {
  const rows: KeyRow[] = [];
  for (const batch of toBatches([...subjects], (subject) => 2 * Buffer.byteLength(subject) + 3)) {
    const found = await session.rows<KeyRow>(
      'SELECT id, subject, `key`, payload_key AS payloadKey FROM subject_keys WHERE subject IN (?)',
      [batch],
    );
    rows.push(...found);
  }
  return rows;
}

/** A key of a key file. */
export interface KeySlot {
  file: string;
  slot: string;
}

/**
 * Statements that destroy the keys of a patient, for a transaction that holds the lock of the checkpoint's row: in the store at once, in the key file
 * through the record for `destroyKeys`. `slots` must be part of the act of the erasure.
 */
export async function giveUpKeys(
  tx: Session,
  subject: string,
): Promise<{ statements: string[]; slots: KeySlot[] }> {
  const rows = await tx.rows<KeyRow>(
    'SELECT id, subject, `key`, payload_key AS payloadKey FROM subject_keys WHERE subject = ? FOR UPDATE',
    [subject],
  );
  const byName = new Map(
    rows
      .flatMap(({ key, payloadKey }) => [key, payloadKey ?? ''])
      .flatMap((encrypted) => slotOf(encrypted) ?? [])
      .map((slot) => [`${slot.file} ${slot.slot}`, slot] as const),
  );
  const slots = [...byName.values()];
  const values = slots.map(({ file, slot }) => `(${literal(file)},${literal(slot)})`);
  return {
    slots,
    statements: [
      ...remove(rows),
      ...(values.length === 0
        ? []
        : [`INSERT IGNORE INTO destroyed_keys (key_file, slot) VALUES ${values.join(',')}`]),
    ],
  };
}

const reencryptedAtOnce = 500;

/**
 * Encrypts all keys again with the present configuration; then older encryption keys may be removed. Payloads do not change. Throws AppError
 * ERR_SECRET_KEY when the configured keys cannot decrypt a payload key. Returns how many keys were encrypted again.
 */
export async function reencryptSubjectKeys({
  store,
  cipher: { forPatients: cipher },
}: EncryptedStore): Promise<number> {
  await requirePayloadKeys(store, cipher);
  if (!cipher.encrypts) return 0;
  let resealed = 0;
  for (let after = 0; ;) {
    const rows = await store.rows<KeyRow>(
      'SELECT id, subject, `key`, payload_key AS payloadKey FROM subject_keys WHERE id > ? ORDER BY id LIMIT ?',
      [after, reencryptedAtOnce],
    );
    const stale = rows.filter(
      ({ key, payloadKey }) => cipher.isStale(key) || (payloadKey && cipher.isStale(payloadKey)),
    );
    if (stale.length > 0) await store.commit(stale.map((row) => reencryptStatement(cipher, row)));
    resealed += stale.length;
    const last = rows.at(-1);
    if (last === undefined) return resealed;
    after = last.id;
  }
}

/** Does not overwrite changes of another process. */
function reencryptStatement(cipher: PatientCipher, { id, subject, key, payloadKey }: KeyRow): string {
  const salt = cipher.encrypt(cipher.decrypt(key, saltContext(subject)), saltContext(subject));
  const context = payloadContext(subject);
  const wrapped =
    payloadKey === null ? null : cipher.encrypt(cipher.decrypt(payloadKey, context), context, salt);
  return (
    `UPDATE subject_keys SET \`key\` = ${literal(salt)}, payload_key = ${literal(wrapped)}` +
    ` WHERE id = ${id} AND \`key\` = ${literal(key)} AND payload_key <=> ${literal(payloadKey)}`
  );
}

/** One example of each encryption key and each key file that payload keys are encrypted with: `enc:v1:<id>:…`, `file:v1:<id>:…`. */
async function requirePayloadKeys(session: Session, cipher: PatientCipher): Promise<void> {
  const samples = await session.rows<{ subject: string; payloadKey: string }>(
    `SELECT subject, payload_key AS payloadKey FROM subject_keys WHERE id IN
       (SELECT MIN(id) FROM subject_keys WHERE payload_key IS NOT NULL GROUP BY SUBSTRING_INDEX(payload_key, ':', 3))`,
  );
  for (const { subject, payloadKey } of samples) {
    if (!cipher.isDestroyed(payloadKey)) openKey(cipher, payloadKey, payloadContext(subject));
  }
}
