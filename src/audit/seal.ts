import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Session, Store } from '../db/client.ts';
import type { SecretBox } from '../db/encryption.ts';
import { idIn } from '../db/sql-text.ts';
import { breathe } from '../lib/clock.ts';
import { momentMs } from '../outbox/moment.ts';
import { textOf } from '../outbox/payloads.ts';
import { ensureSalts, subjectOf } from '../outbox/subject-keys.ts';
import {
  actColumns,
  actLeaf,
  attemptColumns,
  attemptJoins,
  attemptLeaf,
  openPayloadsOf,
  payloadHashOf,
  type ActEntry,
  type AttemptEntry,
  type SealedLog,
} from './entry.ts';
import { MerkleTree } from './merkle.ts';
import type { Head } from './head.ts';
import {
  ensureSealState,
  fingerprintOf,
  noHash,
  privateKeyOf,
  readSealState,
  signText,
  type Progress,
  type SealState,
} from './seal-key.ts';
import { closeRanges, findEntries, readClock, type Found } from './unsealed.ts';

/*
 *   rows of attempts and audit_log ──leaf each──▶ Merkle root ──with the hash of the seal before──▶ signed seal
 *
 * Rows are read after they were committed, in the background: who writes them pays nothing and knows nothing of it.
 *
 * Each seal may be told of by an event (`audit.sealed`), whose attempts are entries themselves. Where there is nothing but those, nothing
 * is sealed: they wait for something else to come, else every seal would be the cause of the next one.
 */

/** Of one seal. */
export const maximumEntries = 5_000;
/** Read at once. */
const entriesAtOnce = 100;
/** Hashed at once, while a change that comes just then waits: 100 of them took 6 ms on a busy machine. */
const hashedAtOnce = 20;
/** Written by one statement. */
const leavesAtOnce = 500;

export interface SealVault {
  store: Store;
  box: SecretBox;
}

export interface SealOptions {
  graceMs?: number;
  maximumEntries?: number;
  /** Within the transaction of the seal, at its end. */
  onSealed?(tx: Session, head: Head): Promise<void>;
}

export interface Seal {
  number: number;
  /** UTC, as the store writes it. */
  sealedAt: string;
  entries: number;
  root: string;
  previousHash: string;
  hash: string;
  signature: string;
}

interface Leaf {
  log: SealedLog;
  entryId: number;
  hash: Buffer;
  payloadHash: Buffer | null;
}

/**
 * Seals what is new, at most `maximumEntries` rows: call again at once while there is more. Null when there is nothing, or another process
 * is at it.
 */
export async function sealOnce(vault: SealVault, options: SealOptions = {}): Promise<Seal | null> {
  const { store, box } = vault;
  await ensureSealState(store, box);
  const closed = await closeRanges(store, options.graceMs);
  return store.transaction(async (tx) => {
    const state = await readSealState(tx, { lock: true });
    if (!state) return null;
    const sealedAt = await readClock(tx);
    const limit = options.maximumEntries ?? maximumEntries;
    const found = await findEntries(tx, state, { closed, sealedAtMs: momentMs(sealedAt), limit });
    if (await isOnlyAboutSeals(tx, found.ids, limit)) return null;
    const { leaves, tree } = await toLeaves(vault, tx, found.ids);
    const progress: Progress = { ...found.progress, seals: state.progress.seals };
    if (leaves.length === 0) {
      await writeProgress(tx, state.progress, progress);
      return null;
    }
    const seal = await nextSeal(tx, { state, sealedAt, entries: leaves.length, root: tree.root() }, box);
    await writeSeal(tx, seal, leaves);
    await writeProgress(tx, state.progress, { ...progress, seals: seal.number });
    await options.onSealed?.(tx, toHead(seal, state));
    return seal;
  });
}

/** What is told of a seal outside: enough to verify it. */
export function toHead(seal: Seal, { publicKey }: Pick<SealState, 'publicKey'>): Head {
  return { ...seal, publicKey, fingerprint: fingerprintOf(publicKey) };
}

/** What is signed of a seal, and what the next one refers to. */
export function sealHash({
  number,
  sealedAt,
  entries,
  root,
  previousHash,
}: Omit<Seal, 'hash' | 'signature'>): string {
  const content = JSON.stringify(['seal', number, sealedAt, entries, root, previousHash]);
  return createHash('sha256').update(content).digest('hex');
}

/** Whether all there is are attempts to tell of seals. A whole seal of them is sealed: something else may stand behind it. */
async function isOnlyAboutSeals(tx: Session, ids: Found['ids'], limit: number): Promise<boolean> {
  const { attempts, audit_log: acts } = ids;
  if (acts.length > 0 || attempts.length === 0 || attempts.length >= limit) return false;
  const others = await tx.rows(
    `SELECT 1 FROM attempts a ${attemptJoins} WHERE ${idIn('a.id', attempts)} AND NOT e.type <=> 'audit.sealed' LIMIT 1`,
  );
  return others.length === 0;
}

interface Leaves {
  leaves: Leaf[];
  tree: MerkleTree;
}

async function toLeaves(vault: SealVault, tx: Session, ids: Found['ids']): Promise<Leaves> {
  const leaves: Leaf[] = [];
  const tree = new MerkleTree();
  const add = (leaf: Leaf): Promise<void> | undefined => {
    tree.add(leaf.hash);
    return leaves.push(leaf) % hashedAtOnce === 0 ? breathe() : undefined;
  };
  for (let at = 0; at < ids.attempts.length; at += entriesAtOnce) {
    const rows = await tx.rows<AttemptEntry>(
      `SELECT ${attemptColumns} FROM attempts a ${attemptJoins}
       WHERE ${idIn('a.id', ids.attempts.slice(at, at + entriesAtOnce))} ORDER BY a.id`,
    );
    const payloads = (await openPayloadsOf(tx, vault.box, rows)).map(textOf);
    const hashed = rows.filter((_, index) => payloads[index] !== null);
    const salts = await ensureSalts(vault, new Set(hashed.map(({ subject }) => subjectOf(subject))));
    for (const [index, row] of rows.entries()) {
      const payload = payloads[index]!;
      const salt = salts.get(subjectOf(row.subject));
      const payloadHash = payload !== null && salt ? payloadHashOf(payload, row.delivery, salt) : null;
      await add({ log: 'attempts', entryId: row.id, hash: attemptLeaf(row, payloadHash), payloadHash });
    }
  }
  for (let at = 0; at < ids.audit_log.length; at += entriesAtOnce) {
    const rows = await tx.rows<ActEntry>(
      `SELECT ${actColumns} FROM audit_log g
       WHERE ${idIn('g.id', ids.audit_log.slice(at, at + entriesAtOnce))} ORDER BY g.id`,
    );
    for (const row of rows)
      await add({ log: 'audit_log', entryId: row.id, hash: actLeaf(row), payloadHash: null });
  }
  return { leaves, tree };
}

interface Sealing {
  state: SealState;
  sealedAt: string;
  entries: number;
  root: Buffer;
}

async function nextSeal(
  tx: Session,
  { state, sealedAt, entries, root }: Sealing,
  box: SecretBox,
): Promise<Seal> {
  const [last] = await tx.rows<{ number: number; hash: string }>(
    'SELECT number, hash FROM seals ORDER BY number DESC LIMIT 1',
  );
  // A chain that was cut goes on with the number that it had: the hole is for `verify` to find.
  const content = {
    number: state.progress.seals + 1,
    sealedAt,
    entries,
    root: root.toString('hex'),
    previousHash: last?.hash ?? (state.anchor.number > 0 ? state.anchor.hash : noHash),
  };
  const hash = sealHash(content);
  return { ...content, hash, signature: signText(privateKeyOf(state, box), hash) };
}

async function writeSeal(tx: Session, seal: Seal, leaves: readonly Leaf[]): Promise<void> {
  await tx.run(
    'INSERT INTO seals (number, sealed_at, entries, root, previous_hash, hash, signature) VALUES (?)',
    [[seal.number, seal.sealedAt, seal.entries, seal.root, seal.previousHash, seal.hash, seal.signature]],
  );
  for (let at = 0; at < leaves.length; at += leavesAtOnce) {
    const values = leaves.slice(at, at + leavesAtOnce).map(({ log, entryId, hash, payloadHash }, index) => {
      const payload = payloadHash ? `X'${payloadHash.toString('hex')}'` : 'NULL';
      return `(${seal.number},${at + index},'${log}',${entryId},X'${hash.toString('hex')}',${payload})`;
    });
    await tx.script([
      `INSERT INTO seal_leaves (seal, place, log, entry_id, hash, payload_hash) VALUES ${values.join(',')}`,
    ]);
  }
}

async function writeProgress(tx: Session, before: Progress, after: Progress): Promise<void> {
  if (isDeepStrictEqual(before, after)) return;
  await tx.run('UPDATE seal_state SET progress = ? WHERE id = 1', [JSON.stringify(after)]);
}
