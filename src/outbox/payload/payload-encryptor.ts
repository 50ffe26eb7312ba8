import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import type { DomainEvent } from '../../event/types.ts';
import type { Counters } from '../checkpoint.ts';
import { encryptPayload } from './payloads.ts';
import { makePayloadKeys, readPayloadKeys, subjectOf, type PayloadKey } from './subject-keys.ts';

type About = Pick<DomainEvent, 'id' | 'subject'>;

/** Encrypts the payloads that one transaction writes. */
export interface PayloadEncryptor {
  /** New keys, which must be written in the same transaction. */
  statements: readonly string[];
  encrypt(event: About, payload: string): string;
  /** Encrypts the answers, too; null when they are stored in the clear. */
  keyOf(event: About): PayloadKey | null;
}

const clearEncryptor: PayloadEncryptor = {
  statements: [],
  encrypt: (_event, payload) => payload,
  keyOf: () => null,
};

/** For callers that write events or deliveries under the lock of the checkpoint's row (`enterQueue`). */
export async function createPayloadEncryptor(
  session: Session,
  cipher: Cipher,
  events: readonly About[],
): Promise<PayloadEncryptor> {
  if (!cipher.forPatients.encrypts) return clearEncryptor;
  const keys = new Map<string, PayloadKey>();
  return encryptorOf(keys, await fetchKeys({ session, cipher, keys }, events));
}

/** Maximum number of cached keys: about 5 MB. */
const maximumKeys = 10_000;

/**
 * Caches the keys of patients with recent events, so that the capturing process needs no query before each append. The cache is valid while the counters
 * are unchanged since its last append (src/outbox/payload/subject-keys.ts).
 */
export class SubjectKeyCache {
  readonly #session: Session;
  readonly #cipher: Cipher;
  /** Least recently used first. */
  readonly #keys = new Map<string, PayloadKey>();
  #expected: Counters | undefined;

  constructor(session: Session, cipher: Cipher) {
    this.#session = session;
    this.#cipher = cipher;
  }

  /** For a plan that starts from these counters. */
  async encryptorFor(events: readonly About[], counters: Counters): Promise<PayloadEncryptor> {
    if (!this.#cipher.forPatients.encrypts) return clearEncryptor;
    if (!this.#expects(counters)) this.#keys.clear();
    const keys = this.#keys;
    return encryptorOf(keys, await fetchKeys({ session: this.#session, cipher: this.#cipher, keys }, events));
  }

  /** Records a plan before it is written, whether the write succeeds or not. */
  remember(after: Counters): void {
    this.#expected = after;
    for (const subject of this.#keys.keys()) {
      if (this.#keys.size <= maximumKeys) break;
      this.#keys.delete(subject);
    }
  }

  #expects({ nextEventSeq, nextDeliveryId }: Counters): boolean {
    return this.#expected?.nextEventSeq === nextEventSeq && this.#expected.nextDeliveryId === nextDeliveryId;
  }
}

interface KeySource {
  session: Session;
  cipher: Cipher;
  keys: Map<string, PayloadKey>;
}

/** Adds the keys of the events, and returns the statements that create the new ones. */
async function fetchKeys({ session, cipher, keys }: KeySource, events: readonly About[]): Promise<string[]> {
  const subjects = new Set(events.map(({ subject }) => subjectOf(subject)));
  for (const subject of subjects) {
    const key = keys.get(subject);
    if (key === undefined) continue;
    // Moves it to the end, because it was used.
    keys.delete(subject);
    keys.set(subject, key);
  }
  const unknown = subjects.difference(keys);
  for (const [subject, key] of await readPayloadKeys(session, cipher, unknown)) keys.set(subject, key);
  const made = await makePayloadKeys(session, cipher, subjects.difference(keys));
  for (const [subject, key] of made.keys) keys.set(subject, key);
  return made.statements;
}

function encryptorOf(keys: ReadonlyMap<string, PayloadKey>, statements: readonly string[]): PayloadEncryptor {
  const keyOf = ({ subject }: About): PayloadKey => keys.get(subjectOf(subject))!;
  return { statements, keyOf, encrypt: (event, payload) => encryptPayload(keyOf(event), event.id, payload) };
}
