import { randomBytes } from 'node:crypto';
import type { Session } from '../db/client.ts';
import type { SecretBox } from '../db/encryption.ts';
import type { WebhookVault } from './webhook-registry.ts';

/** The key of one patient, or of all that is about nobody (subject ''). */
export interface SubjectKey {
  id: number;
  bytes: Buffer;
}

interface KeyRow {
  id: number;
  subject: string;
  key: string;
}

const contextOf = (subject: string): string => `subject ${subject}`;

/** The keys of these subjects, made where they are missing: two round trips more for the new ones of a batch. */
export async function ensureSubjectKeys(
  { store, box }: WebhookVault,
  subjects: ReadonlySet<string>,
): Promise<Map<string, SubjectKey>> {
  const keys = await readSubjectKeys(store, box, subjects);
  const missing = [...subjects.difference(keys)];
  if (missing.length === 0) return keys;
  const rows = missing.map((subject) => [
    subject,
    box.seal(randomBytes(32).toString('base64'), contextOf(subject)),
  ]);
  // Another process may have made one meanwhile: its key is the one.
  await store.run('INSERT IGNORE INTO subject_keys (subject, `key`) VALUES ?', [rows]);
  for (const [subject, key] of await readSubjectKeys(store, box, new Set(missing))) keys.set(subject, key);
  return keys;
}

/** The keys of these subjects, as far as they are there: erasing a patient deletes the patient's. */
export async function readSubjectKeys(
  session: Session,
  box: SecretBox,
  subjects: ReadonlySet<string>,
): Promise<Map<string, SubjectKey>> {
  if (subjects.size === 0) return new Map();
  const rows = await session.rows<KeyRow>(
    'SELECT id, subject, `key` FROM subject_keys WHERE subject IN (?)',
    [[...subjects]],
  );
  return new Map(
    rows.map(({ id, subject, key }) => [
      subject,
      { id, bytes: Buffer.from(box.open(key, contextOf(subject)), 'base64') },
    ]),
  );
}
