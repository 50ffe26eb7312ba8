import type { HmacKey } from '../../crypto/sha256.ts';
import { textOf, type OpenedPayload } from '../../outbox/payload/payloads.ts';
import { readSalts, subjectOf } from '../../outbox/payload/subject-keys.ts';
import type { Seal } from '../seal/chain.ts';
import { fail, nameOf, whenOf } from './flaw.ts';
import { merkleRoot } from '../seal/merkle.ts';
import { oldActLeaf, oldAttemptLeaf, oldPayloadHash, openPayloadsOf, type OldLog } from './old-entry.ts';
import { readOldLeaves, type OldLeaf } from './read-old-leaves.ts';
import type { SealWalk } from './seal-walk.ts';

/** Compares the leaves of seals of version 1, in order, with the present rows, by the rule of that version. */
export async function compareOldSeals(walk: SealWalk, seals: readonly Seal[]): Promise<void> {
  const leaves = new LeafQueue(readOldLeaves(walk.vault.store, seals[0]!.number, seals.at(-1)!.number));
  for (const seal of seals) {
    await compareLeaves(walk, seal, await leaves.of(seal.number));
    walk.onEntries(seal.entries);
  }
}

/** Notes rows before the beginning of version 2 that no seal of version 1 contains: a later seal must contain them. */
export async function skipOld({ vault, comparedTo, skipped }: SealWalk, log: OldLog): Promise<void> {
  const rows = await vault.store.rows<{ id: number }>(
    `SELECT g.id FROM ${log} g LEFT JOIN seal_leaves l ON l.log = ? AND l.entry_id = g.id
     WHERE g.id <= ? AND l.entry_id IS NULL ORDER BY g.id LIMIT 1000`,
    [log, comparedTo[log]],
  );
  for (const { id } of rows) skipped[log].add(id);
}

async function compareLeaves(walk: SealWalk, seal: Seal, leaves: readonly OldLeaf[]): Promise<void> {
  const { store, cipher } = walk.vault;
  const attempts = leaves.flatMap(({ attempt }) => attempt ?? []);
  const opened = await openPayloadsOf(store, cipher, attempts);
  const payloads = new Map(attempts.map((attempt, index) => [attempt, opened[index]!]));
  const salts = await readSalts(store, cipher, new Set(attempts.map(({ subject }) => subjectOf(subject))));
  for (const leaf of leaves) {
    compareLeaf(seal, leaf);
    const { attempt } = leaf;
    if (!attempt) continue;
    const salt = salts.get(subjectOf(attempt.subject));
    await comparePayload(walk, seal, { leaf, payload: payloads.get(attempt)!, salt });
  }
  const missing = seal.entries - leaves.length;
  if (missing !== 0) {
    fail(missing > 0 ? 'deleted' : 'inserted', {
      message: `seal ${seal.number} was made of ${seal.entries} leaves and has ${leaves.length}`,
      seal: seal.number,
    });
  }
  if (merkleRoot(leaves.map(({ hash }) => hash)).toString('hex') !== seal.root) {
    fail('reordered', {
      message: `the leaves of seal ${seal.number} do not make its root: they were reordered, or replaced together with their entries`,
      seal: seal.number,
    });
  }
}

function compareLeaf(seal: Seal, { log, entryId, attempt, act, payloadHash, hash }: OldLeaf): void {
  const place = { seal: seal.number, log, entryId, delivery: attempt?.delivery ?? null };
  const [which, when] = [nameOf(log, entryId), whenOf(seal)];
  if (!attempt && !act) fail('deleted', { message: `${which} was deleted (${when})`, ...place });
  if (attempt?.webhook === null) {
    fail('deleted', { message: `delivery ${attempt.delivery} of ${which} was deleted (${when})`, ...place });
  }
  if (attempt?.eventId === null) {
    fail('deleted', {
      message: `the event of delivery ${attempt.delivery} (${which}) was deleted (${when})`,
      ...place,
    });
  }
  const present = attempt ? oldAttemptLeaf(attempt, payloadHash) : oldActLeaf(act!);
  if (present.equals(hash)) return;
  fail('edited', {
    message: `${which}${attempt ? ` of delivery ${attempt.delivery}` : ''} was edited (${when})`,
    ...place,
  });
}

interface Payload {
  leaf: OldLeaf;
  payload: OpenedPayload;
  salt: HmacKey | undefined;
}

async function comparePayload(
  { excuses, nowMs }: SealWalk,
  seal: Seal,
  { leaf: { log, entryId, attempt, payloadHash }, payload, salt }: Payload,
): Promise<void> {
  const { delivery, subject } = attempt!;
  const eventSeq = attempt!.eventSeq!;
  const which = `the payload of delivery ${delivery} (${nameOf(log, entryId)})`;
  const place = { seal: seal.number, log, entryId, delivery, fields: ['payload'] };
  const text = textOf(payload);
  if (text !== null && payloadHash && salt && oldPayloadHash(text, delivery, salt).equals(payloadHash))
    return;
  await excuses.read();
  if (attempt!.payload === null) {
    // The payload was gone when the attempt was sealed, so the seal does not cover it.
    if (payloadHash === null || excuses.of({ eventSeq, subject, createdAt: null })) return;
    fail('deleted', {
      message: `${which} was deleted without an erasure on record (${whenOf(seal)})`,
      ...place,
    });
  }
  if (excuses.isBeingErased(subject, eventSeq, nowMs)) return;
  fail(excuses.isErased(subject, eventSeq) ? 'inserted' : 'edited', {
    message: `${which} was edited (${whenOf(seal)})`,
    ...place,
  });
}

/** Returns the leaves of one seal after the other. */
class LeafQueue {
  readonly #leaves: AsyncGenerator<OldLeaf, void, undefined>;
  #next: OldLeaf | undefined;

  constructor(leaves: AsyncGenerator<OldLeaf, void, undefined>) {
    this.#leaves = leaves;
  }

  async of(seal: number): Promise<OldLeaf[]> {
    const taken: OldLeaf[] = [];
    for (;;) {
      this.#next ??= (await this.#leaves.next()).value ?? undefined;
      if (this.#next?.seal !== seal) return taken;
      taken.push(this.#next);
      this.#next = undefined;
    }
  }
}
