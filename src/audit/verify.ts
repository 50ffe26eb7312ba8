import type { Session } from '../db/client.ts';
import { textOf, type OpenedPayload } from '../outbox/payloads.ts';
import { readSalts, subjectOf } from '../outbox/subject-keys.ts';
import {
  actLeaf,
  attemptLeaf,
  openPayloadsOf,
  payloadHashOf,
  sealedLogs,
  type AttemptEntry,
  type SealedLog,
} from './entry.ts';
import { sealColumns, type Head } from './head.ts';
import { merkleRoot } from './merkle.ts';
import { readLeaves, type LeafRow } from './read-leaves.ts';
import { sealHash, type Seal, type SealVault } from './seal.ts';
import { anchorText, fingerprintOf, isSigned, readSealState, type SealState } from './seal-key.ts';

export type FlawKind =
  | 'edited'
  | 'deleted'
  | 'inserted'
  | 'reordered'
  | 'truncated'
  /** The chain was signed by another key, or not at all. */
  | 'forged'
  /** It is not the log whose head was given. */
  | 'rewritten';

/** The first thing that is wrong. */
export interface Flaw {
  kind: FlawKind;
  /** Names the entry or the seal, never its content. */
  message: string;
  /** Null where it is not in one seal. */
  seal: number | null;
  log: SealedLog | null;
  entryId: number | null;
}

export interface Verification {
  ok: boolean;
  flaw: Flaw | null;
  /** Seals and entries that were proved before the flaw. */
  seals: number;
  entries: number;
  /** Payloads of attempts: proved to be what was sent, or gone by retention or erasure. */
  payloads: { proved: number; pruned: number; erased: number };
  /** Written since the last seal. */
  unsealed: number;
  firstSeal: number;
  lastSeal: number;
  lastHash: string;
  /** Whether a head from elsewhere was compared; without one, a rewrite by the owner of the key is not found. */
  headCompared: boolean;
  fingerprint: string | null;
}

export interface VerifyOptions {
  /** From elsewhere: the chain must contain it. */
  head?: Head;
  onProgress?(done: number, total: number): void;
}

class FlawError extends Error {
  readonly flaw: Flaw;
  constructor(flaw: Flaw) {
    super(flaw.message);
    this.flaw = flaw;
  }
}

function fail(
  kind: FlawKind,
  message: string,
  at: { seal?: number; log?: SealedLog; entryId?: number } = {},
): never {
  throw new FlawError({
    kind,
    message,
    seal: at.seal ?? null,
    log: at.log ?? null,
    entryId: at.entryId ?? null,
  });
}

const sealsAtOnce = 200;

/** Walks the chain from its beginning and stops at the first flaw. Reads only; sealing and deliveries go on meanwhile. */
export async function verifyLog(vault: SealVault, options: VerifyOptions = {}): Promise<Verification> {
  for (;;) {
    const state = await readSealState(vault.store);
    const result = await walk(vault, state, options);
    const now = result.ok ? state : await readSealState(vault.store);
    // Retention has dropped the beginning of the chain in the meantime: what was missing was missing rightly.
    if (now?.anchor.number === state?.anchor.number) return result;
  }
}

async function walk(
  vault: SealVault,
  state: SealState | undefined,
  options: VerifyOptions,
): Promise<Verification> {
  const result = emptyResult(state);
  try {
    if (state) await new Walk(vault, state, { ...options, result }).run();
    else if (options.head)
      fail('truncated', `there is no sealed log, and the head is seal ${options.head.number}`);
    else result.unsealed = await countAll(vault.store);
  } catch (error) {
    if (!(error instanceof FlawError)) throw error;
    return { ...result, ok: false, flaw: error.flaw };
  }
  return result;
}

function emptyResult(state: SealState | undefined): Verification {
  return {
    ok: true,
    flaw: null,
    seals: 0,
    entries: 0,
    payloads: { proved: 0, pruned: 0, erased: 0 },
    unsealed: 0,
    firstSeal: (state?.anchor.number ?? 0) + 1,
    lastSeal: state?.anchor.number ?? 0,
    lastHash: state?.anchor.hash ?? '',
    headCompared: false,
    fingerprint: state ? fingerprintOf(state.publicKey) : null,
  };
}

class Walk {
  readonly #vault: SealVault;
  readonly #state: SealState;
  readonly #options: VerifyOptions;
  readonly #result: Verification;
  /** Subject → the last event of it that was erased. */
  #erased = new Map<string, number>();
  #prunedTo = 0;

  constructor(vault: SealVault, state: SealState, options: VerifyOptions & { result: Verification }) {
    this.#vault = vault;
    this.#state = state;
    this.#options = options;
    this.#result = options.result;
  }

  async run(): Promise<void> {
    const { progress, anchor, publicKey } = this.#state;
    const { head } = this.#options;
    if (!isSigned(publicKey, anchorText(anchor), anchor.signature)) {
      fail('forged', 'the beginning of the chain (seal_state) is not signed by the key of the installation');
    }
    if (head) this.#requireComparable(head);
    await this.#readExcuses();
    const last = progress.seals;
    for (let number = anchor.number + 1; number <= last; number += sealsAtOnce) {
      await this.#walkSeals(number, Math.min(last, number + sealsAtOnce - 1));
    }
    const [beyond] = await this.#vault.store.rows<{ number: number }>(
      'SELECT number FROM seals WHERE number <= ? ORDER BY number LIMIT 1',
      [anchor.number],
    );
    if (beyond) fail('inserted', `seal ${beyond.number} stands before the beginning of the chain`);
    await this.#findInserted();
  }

  #requireComparable(head: Head): void {
    const { progress, anchor, publicKey } = this.#state;
    if (head.publicKey !== publicKey) {
      fail(
        'rewritten',
        `the log is signed by the key ${fingerprintOf(publicKey)}, the head by ${head.fingerprint}`,
      );
    }
    if (head.number > progress.seals) {
      fail('truncated', `the chain ends at seal ${progress.seals}, the head is seal ${head.number}`);
    }
    if (head.number === anchor.number && head.hash === anchor.hash) this.#result.headCompared = true;
    else if (head.number <= anchor.number) {
      fail(
        'rewritten',
        `the chain begins after seal ${anchor.number}, so the head (seal ${head.number}) proves nothing: compare a newer one`,
      );
    }
  }

  /** Why a payload may be gone. The acts of erasure are entries of the log themselves. */
  async #readExcuses(): Promise<void> {
    const { store } = this.#vault;
    const [row] = await store.rows<{ prunedTo: number }>(
      'SELECT payloads_pruned_to AS prunedTo FROM installation',
    );
    this.#prunedTo = row?.prunedTo ?? 0;
    const acts = await store.rows<{ target: string; details: string }>(
      "SELECT target, details FROM audit_log WHERE action = 'patient.erase' ORDER BY id",
    );
    for (const { target, details } of acts) {
      this.#erased.set(target, (JSON.parse(details) as { last_event: number }).last_event);
    }
  }

  async #walkSeals(from: number, to: number): Promise<void> {
    const seals = await this.#vault.store.rows<Seal>(
      `SELECT ${sealColumns} FROM seals WHERE number BETWEEN ? AND ? ORDER BY number`,
      [from, to],
    );
    const byNumber = new Map(seals.map((seal) => [seal.number, seal]));
    const leaves = new LeafQueue(readLeaves(this.#vault.store, from, to));
    for (let number = from; number <= to; number += 1) {
      const seal = byNumber.get(number);
      if (!seal) {
        const isEnd = !seals.some((other) => other.number > number);
        fail(isEnd ? 'truncated' : 'deleted', `seal ${number} is missing`, { seal: number });
      }
      this.#checkSeal(seal);
      await this.#checkLeaves(seal, await leaves.of(number));
      this.#result.seals += 1;
      this.#result.lastSeal = number;
      this.#result.lastHash = seal.hash;
      this.#options.onProgress?.(
        number - this.#result.firstSeal + 1,
        this.#state.progress.seals - this.#result.firstSeal + 1,
      );
    }
  }

  #checkSeal(seal: Seal): void {
    const { number, sealedAt } = seal;
    if (seal.previousHash !== this.#result.lastHash) {
      fail('edited', `seal ${number} (${sealedAt}) does not follow the seal before it`, { seal: number });
    }
    if (sealHash(seal) !== seal.hash)
      fail('edited', `seal ${number} (${sealedAt}) was edited`, { seal: number });
    if (!isSigned(this.#state.publicKey, seal.hash, seal.signature)) {
      fail('forged', `seal ${number} (${sealedAt}) is not signed by the key of the installation`, {
        seal: number,
      });
    }
    const { head } = this.#options;
    if (head?.number !== number) return;
    if (head.hash !== seal.hash) {
      fail('rewritten', `seal ${number} (${sealedAt}) is another one than the head that was exported`, {
        seal: number,
      });
    }
    this.#result.headCompared = true;
  }

  async #checkLeaves(seal: Seal, leaves: readonly LeafRow[]): Promise<void> {
    const { store, box } = this.#vault;
    const attempts = leaves.flatMap(({ attempt }) => attempt ?? []);
    const opened = await openPayloadsOf(store, box, attempts);
    const payloads = new Map(attempts.map((attempt, index) => [attempt, opened[index]!]));
    const subjects = new Set(attempts.map(({ subject }) => subjectOf(subject)));
    const salts = await readSalts(store, box, subjects);
    for (const leaf of leaves) {
      this.#checkLeaf(seal, leaf);
      const { attempt } = leaf;
      if (attempt)
        await this.#checkPayload(seal, leaf, {
          payload: payloads.get(attempt)!,
          salt: salts.get(subjectOf(attempt.subject)),
        });
    }
    const at = { seal: seal.number };
    if (leaves.length < seal.entries) {
      fail('deleted', `seal ${seal.number} has ${leaves.length} leaves of ${seal.entries}`, at);
    }
    if (leaves.length > seal.entries) {
      fail('inserted', `seal ${seal.number} has ${leaves.length} leaves, it was made of ${seal.entries}`, at);
    }
    if (merkleRoot(leaves.map(({ hash }) => hash)).toString('hex') !== seal.root) {
      fail(
        'reordered',
        `the leaves of seal ${seal.number} do not make its root: they were reordered, or replaced together with their entries`,
        at,
      );
    }
    this.#result.entries += leaves.length;
  }

  #checkLeaf(seal: Seal, { log, entryId, attempt, act, payloadHash, hash }: LeafRow): void {
    const at = { seal: seal.number, log, entryId };
    const [which, when] = [nameOf(log, entryId), whenOf(seal)];
    if (!attempt && !act) fail('deleted', `${which} was deleted (${when})`, at);
    if (attempt && attempt.webhook === null) {
      fail('deleted', `delivery ${attempt.delivery} of ${which} was deleted (${when})`, at);
    }
    if (attempt && attempt.eventId === null) {
      fail('deleted', `the event of delivery ${attempt.delivery} (${which}) was deleted (${when})`, at);
    }
    const present = attempt ? attemptLeaf(attempt, payloadHash) : actLeaf(act!);
    if (present.equals(hash)) return;
    fail('edited', `${which}${attempt ? ` of delivery ${attempt.delivery}` : ''} was edited (${when})`, at);
  }

  async #checkPayload(
    seal: Seal,
    { log, entryId, attempt, payloadHash }: LeafRow,
    { payload, salt }: { payload: OpenedPayload; salt: Buffer | undefined },
  ): Promise<void> {
    const { delivery } = attempt!;
    const { payloads } = this.#result;
    const which = `the payload of delivery ${delivery} (${nameOf(log, entryId)})`;
    const at = { seal: seal.number, log, entryId };
    if (payload.kind !== 'gone') {
      const text = textOf(payload);
      const isProved =
        text !== null && payloadHash && salt && payloadHashOf(text, delivery, salt).equals(payloadHash);
      // An erasure that was interrupted has destroyed the key, and must be run again.
      const isErased = !isProved && this.#excuseOf(attempt!) === 'erased';
      if (!isProved && !isErased) fail('edited', `${which} was edited (${whenOf(seal)})`, at);
      payloads[isProved ? 'proved' : 'erased'] += 1;
      return;
    }
    // Asked again: it may have been erased or pruned while we walk.
    let excuse = this.#excuseOf(attempt!);
    if (!excuse) await this.#readExcuses();
    excuse ??= this.#excuseOf(attempt!);
    // It was gone when the attempt was sealed: nothing of it was promised.
    if (!excuse && payloadHash === null) excuse = 'erased';
    if (!excuse) fail('deleted', `${which} was deleted without an erasure on record (${whenOf(seal)})`, at);
    payloads[excuse] += 1;
  }

  #excuseOf({ eventSeq, subject }: AttemptEntry): 'pruned' | 'erased' | undefined {
    if (eventSeq! <= this.#prunedTo) return 'pruned';
    return eventSeq! <= (this.#erased.get(subjectOf(subject)) ?? -1) ? 'erased' : undefined;
  }

  /** Rows that are older than what was read, and in no seal. */
  async #findInserted(): Promise<void> {
    const { store } = this.#vault;
    for (const log of sealedLogs) {
      const { to, open } = this.#state.progress[log];
      const isOpen = open.map((range) => ` AND NOT g.id BETWEEN ${range.from} AND ${range.to}`).join('');
      const [row] = await store.rows<{ id: number }>(
        `SELECT g.id FROM ${log} g LEFT JOIN seal_leaves l ON l.log = ? AND l.entry_id = g.id
         WHERE g.id <= ? AND l.entry_id IS NULL${isOpen} ORDER BY g.id LIMIT 1`,
        [log, to],
      );
      if (row) {
        fail('inserted', `${nameOf(log, row.id)} was inserted after its time: no seal has it`, {
          log,
          entryId: row.id,
        });
      }
      this.#result.unsealed += await countAfter(store, log, to);
    }
  }
}

function nameOf(log: SealedLog, entryId: number): string {
  return `${log === 'attempts' ? 'attempt' : 'act'} ${entryId}`;
}

function whenOf({ number, sealedAt }: Seal): string {
  return `sealed ${sealedAt} in seal ${number}`;
}

async function countAfter(session: Session, log: SealedLog, id: number): Promise<number> {
  const [row] = await session.rows<{ n: number }>(`SELECT COUNT(*) AS n FROM ${log} WHERE id > ?`, [id]);
  return row!.n;
}

async function countAll(session: Session): Promise<number> {
  const counts = await Promise.all(sealedLogs.map((log) => countAfter(session, log, 0)));
  return counts.reduce((sum, n) => sum + n, 0);
}

/** Gives out the leaves of one seal after the other. */
class LeafQueue {
  readonly #leaves: AsyncGenerator<LeafRow, void, undefined>;
  #next: LeafRow | undefined;

  constructor(leaves: AsyncGenerator<LeafRow, void, undefined>) {
    this.#leaves = leaves;
  }

  async of(seal: number): Promise<LeafRow[]> {
    const taken: LeafRow[] = [];
    for (;;) {
      this.#next ??= (await this.#leaves.next()).value ?? undefined;
      if (this.#next?.seal !== seal) return taken;
      taken.push(this.#next);
      this.#next = undefined;
    }
  }
}
