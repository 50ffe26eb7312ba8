import type { Cipher } from '../../crypto/cipher.ts';
import type { Session } from '../../db/connection/client.ts';
import { readSubjectKeys, type SubjectKeys } from '../../outbox/payload/subject-keys.ts';

/** Some 20 MB with their key objects. */
const mostSubjects = 50_000;

/**
 * Keys of patients, each read once: reading them with every thousand entries took a third of the server's time (MySQL 9.7). Keys that an
 * erasure destroys meanwhile stay here; the erasure itself is on record.
 */
export class KeyCache {
  readonly #session: Session;
  readonly #cipher: Cipher;
  #known = new Map<string, SubjectKeys>();

  constructor(session: Session, cipher: Cipher) {
    this.#session = session;
    this.#cipher = cipher;
  }

  /** The existing keys of these subjects. Throws AppError ERR_SECRET_KEY. */
  async of(subjects: ReadonlySet<string>): Promise<Map<string, SubjectKeys>> {
    const missing = new Set([...subjects].filter((subject) => !this.#known.has(subject)));
    const read = missing.size === 0 ? [] : await readSubjectKeys(this.#session, this.#cipher, missing);
    if (this.#known.size + missing.size > mostSubjects) this.#known = new Map();
    for (const [subject, keys] of read) this.#known.set(subject, keys);
    const found = new Map(read);
    for (const subject of subjects) {
      const keys = this.#known.get(subject);
      if (keys) found.set(subject, keys);
    }
    return found;
  }
}
