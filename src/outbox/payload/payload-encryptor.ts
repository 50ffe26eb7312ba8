import type { Session } from '../../db/connection/client.ts';
import type { Cipher } from '../../crypto/cipher.ts';
import type { DomainEvent } from '../../event/types.ts';
import type { Counters } from '../checkpoint.ts';
import { encryptPayload } from './payloads.ts';
import { makePayloadKeys, readPayloadKeys, subjectOf, type PayloadKey } from './subject-keys.ts';

type About = Pick<DomainEvent, 'id' | 'subject'>;

/** Turns the payloads that one transaction writes into what the store keeps. */
export interface PayloadEncryptor {
  /** Keys that are new: they belong into the same transaction. */
  statements: readonly string[];
  encrypt(event: About, payload: string): string;
  /** What seals the answers too; null in the clear. */
  keyOf(event: About): PayloadKey | null;
}

const clearEncryptor: PayloadEncryptor = {
  statements: [],
  encrypt: (_event, payload) => payload,
  keyOf: () => null,
};

/** For who writes events or deliveries under the lock of the checkpoint's row (`enterQueue`). */
export async function createPayloadEncryptor(
  session: Session,
  cipher: Cipher,
  events: readonly About[],
): Promise<PayloadEncryptor> {
  if (!cipher.forPatients.encrypts) return clearEncryptor;
  const keys = new Map<string, PayloadKey>();
  return encryptorOf(keys, await fetchKeys({ session, cipher, keys }, events));
}

/** More keys than this are not remembered: some 5 MB. */
const maximumKeys = 10_000;

/**
 * Remembers the keys of the patients who had an event lately, for the process that captures: it must not ask before each append.
 * The cache is valid while the counters are as its last append left them (src/outbox/payload/subject-keys.ts).
 */
export class SubjectKeyCache {
  readonly #session: Session;
  readonly #cipher: Cipher;
  /** Least lately used first. */
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

  /** Takes note of a plan before it is written, whether that succeeds or not. */
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

/** Completes the keys by those of the events, and returns what makes the new ones. */
async function fetchKeys({ session, cipher, keys }: KeySource, events: readonly About[]): Promise<string[]> {
  const subjects = new Set(events.map(({ subject }) => subjectOf(subject)));
  for (const subject of subjects) {
    const key = keys.get(subject);
    if (key === undefined) continue;
    // To the end: it is needed again.
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
