import type { Session } from '../../db/connection/client.ts';
import type { SecretBox } from '../../crypto/encryption.ts';
import type { DomainEvent } from '../../event/types.ts';
import type { Counters } from '../checkpoint.ts';
import { sealPayload } from './payloads.ts';
import { makePayloadKeys, readPayloadKeys, subjectOf, type PayloadKey } from './subject-keys.ts';

type About = Pick<DomainEvent, 'id' | 'subject'>;

/** Turns the payloads that one transaction writes into what the store keeps. */
export interface PayloadSealer {
  /** Keys that are new: they belong into the same transaction. */
  statements: readonly string[];
  seal(event: About, payload: string): string;
  /** What seals the answers too; null in the clear. */
  keyOf(event: About): PayloadKey | null;
}

const clearSealer: PayloadSealer = { statements: [], seal: (_event, payload) => payload, keyOf: () => null };

/** For who writes events or deliveries under the lock of the checkpoint's row (`enterQueue`). */
export async function createPayloadSealer(
  session: Session,
  box: SecretBox,
  events: readonly About[],
): Promise<PayloadSealer> {
  if (!box.forPatients.encrypts) return clearSealer;
  const keys = new Map<string, PayloadKey>();
  return sealerOf(keys, await fetchKeys({ session, box, keys }, events));
}

/** More keys than this are not remembered: some 5 MB. */
const maximumKeys = 10_000;

/**
 * Remembers the keys of the patients who had an event lately, for the process that captures: it must not ask before each append.
 * The cache is valid while the counters are as its last append left them (src/outbox/payload/subject-keys.ts).
 */
export class SubjectKeyMemory {
  readonly #session: Session;
  readonly #box: SecretBox;
  /** Least lately used first. */
  readonly #keys = new Map<string, PayloadKey>();
  #expected: Counters | undefined;

  constructor(session: Session, box: SecretBox) {
    this.#session = session;
    this.#box = box;
  }

  /** For a plan that starts from these counters. */
  async sealerFor(events: readonly About[], counters: Counters): Promise<PayloadSealer> {
    if (!this.#box.forPatients.encrypts) return clearSealer;
    if (!this.#expects(counters)) this.#keys.clear();
    const keys = this.#keys;
    return sealerOf(keys, await fetchKeys({ session: this.#session, box: this.#box, keys }, events));
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
  box: SecretBox;
  keys: Map<string, PayloadKey>;
}

/** Completes the keys by those of the events, and returns what makes the new ones. */
async function fetchKeys({ session, box, keys }: KeySource, events: readonly About[]): Promise<string[]> {
  const subjects = new Set(events.map(({ subject }) => subjectOf(subject)));
  for (const subject of subjects) {
    const key = keys.get(subject);
    if (key === undefined) continue;
    // To the end: it is needed again.
    keys.delete(subject);
    keys.set(subject, key);
  }
  const unknown = subjects.difference(keys);
  for (const [subject, key] of await readPayloadKeys(session, box, unknown)) keys.set(subject, key);
  const made = await makePayloadKeys(session, box, subjects.difference(keys));
  for (const [subject, key] of made.keys) keys.set(subject, key);
  return made.statements;
}

function sealerOf(keys: ReadonlyMap<string, PayloadKey>, statements: readonly string[]): PayloadSealer {
  const keyOf = ({ subject }: About): PayloadKey => keys.get(subjectOf(subject))!;
  return { statements, keyOf, seal: (event, payload) => sealPayload(keyOf(event), event.id, payload) };
}
