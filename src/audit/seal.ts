import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Session, Store } from '../db/client.ts';
import type { SecretBox } from '../db/encryption.ts';
import { idList } from '../db/sql-text.ts';
import { codeOf } from '../lib/errors.ts';
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
  sealedLogs,
  type ActEntry,
  type AttemptEntry,
  type SealedLog,
} from './entry.ts';
import { merkleRoot } from './merkle.ts';
import type { Head } from './head.ts';
import {
  ensureSealState,
  fingerprintOf,
  noHash,
  privateKeyOf,
  readSealState,
  signText,
  type LogProgress,
  type Progress,
  type SealState,
} from './seal-key.ts';

/*
 *   rows of attempts and audit_log ──leaf each──▶ Merkle root ──with the hash of the seal before──▶ signed seal
 *
 * Rows are read after they were committed, in the background: who writes them pays nothing and knows nothing of it.
 *
 * Ids are given out before the commit, so a row may become visible after one with a higher id, or never (a rollback). Where ids
 * are missing below the highest one read, the range stays open: it is looked at again in every step, and what appears is sealed then.
 * A range is closed when it has been open for longer than any statement of ours may run (an id that was given out has its row by
 * then), and a locking read has waited for whoever had not committed it.
 *
 * Each seal may be told of by an event (`audit.sealed`), whose attempts are entries themselves. Where there is nothing but those, nothing
 * is sealed: they wait for something else to come, else every seal would be the cause of the next one.
 */

/** Longer than a statement may take (60 s): an id given out before has its row by then, or never gets it. */
const graceMs = 2 * 60_000;
/** Of one seal. */
export const maximumEntries = 5_000;
/** Read and hashed at once, while a change that comes just then waits. */
const entriesAtOnce = 100;
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
  const closed = await closeRanges(store, options.graceMs ?? graceMs);
  return store.transaction(async (tx) => {
    const state = await readSealState(tx, { lock: true });
    if (!state) return null;
    const sealedAt = await readClock(tx);
    const limit = options.maximumEntries ?? maximumEntries;
    const found = await findEntries(tx, state, { closed, sealedAtMs: momentMs(sealedAt), limit });
    if (await isOnlyAboutSeals(tx, found.ids, limit)) return null;
    const leaves = await toLeaves(vault, tx, found.ids);
    const progress: Progress = { ...found.progress, seals: state.progress.seals };
    if (leaves.length === 0) {
      await writeProgress(tx, state.progress, progress);
      return null;
    }
    const seal = await nextSeal(tx, { state, sealedAt, leaves }, box);
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

async function readClock(session: Session): Promise<string> {
  const [row] = await session.rows<{ now: string }>('SELECT UTC_TIMESTAMP(3) AS now');
  return row!.now;
}

const rangeName = (log: SealedLog, { from, to }: { from: number; to: number }): string =>
  `${log} ${from} ${to}`;

/** The ranges in which no row can appear any more, once those that are there now have been read. */
async function closeRanges(store: Store, afterMs: number): Promise<Set<string>> {
  const state = await readSealState(store);
  const nowMs = momentMs(await readClock(store));
  const closed = new Set<string>();
  for (const log of sealedLogs) {
    for (const range of state?.progress[log].open ?? []) {
      if (nowMs - range.sinceMs < afterMs) continue;
      try {
        // Waits for rows that are not committed yet; nothing is done with the locks.
        await store.rows(
          `SELECT COUNT(*) FROM ${log} FORCE INDEX (PRIMARY) WHERE id BETWEEN ? AND ? LOCK IN SHARE MODE`,
          [range.from, range.to],
        );
        closed.add(rangeName(log, range));
      } catch (error) {
        if (codeOf(error) !== 'ER_LOCK_WAIT_TIMEOUT') throw error;
      }
    }
  }
  return closed;
}

interface Found {
  ids: Record<SealedLog, number[]>;
  progress: Record<SealedLog, LogProgress>;
}

interface Finding {
  closed: ReadonlySet<string>;
  sealedAtMs: number;
  limit: number;
}

async function findEntries(tx: Session, { progress }: SealState, options: Finding): Promise<Found> {
  const found: Found = {
    ids: { attempts: [], audit_log: [] },
    progress: { attempts: progress.attempts, audit_log: progress.audit_log },
  };
  let limit = options.limit;
  for (const log of sealedLogs) {
    const late = await findLate(tx, log, progress[log]);
    const ids = await newIds(tx, { log, after: progress[log].to, limit: Math.max(0, limit - late.length) });
    limit -= late.length + ids.length;
    found.ids[log] = [...late, ...ids];
    const open = progress[log].open.filter((range) => !options.closed.has(rangeName(log, range)));
    const gap = gapIn(ids, progress[log].to);
    found.progress[log] = {
      to: ids.at(-1) ?? progress[log].to,
      open: gap ? [...open, { ...gap, sinceMs: options.sealedAtMs }] : open,
    };
  }
  return found;
}

/** Rows that appeared where ids were missing. */
async function findLate(tx: Session, log: SealedLog, { open }: LogProgress): Promise<number[]> {
  const late = new Set<number>();
  for (const { from, to } of open) {
    const rows = await tx.rows<{ id: number }>(
      `SELECT g.id FROM ${log} g LEFT JOIN seal_leaves l ON l.log = ? AND l.entry_id = g.id
       WHERE g.id BETWEEN ? AND ? AND l.entry_id IS NULL`,
      [log, from, to],
    );
    for (const { id } of rows) late.add(id);
  }
  return [...late].sort((a, b) => a - b);
}

async function newIds(
  tx: Session,
  { log, after, limit }: { log: SealedLog; after: number; limit: number },
): Promise<number[]> {
  const rows = await tx.rows<{ id: number }>(`SELECT id FROM ${log} WHERE id > ? ORDER BY id LIMIT ?`, [
    after,
    limit,
  ]);
  return rows.map(({ id }) => id);
}

/** From the first to the last id that is missing in an ascending list. */
function gapIn(ids: readonly number[], after: number): { from: number; to: number } | undefined {
  let from: number | undefined;
  let to = 0;
  let previous = after;
  for (const id of ids) {
    if (id > previous + 1) {
      from ??= previous + 1;
      to = id - 1;
    }
    previous = id;
  }
  return from === undefined ? undefined : { from, to };
}

/** Whether all there is are attempts to tell of seals. A whole seal of them is sealed: something else may stand behind it. */
async function isOnlyAboutSeals(tx: Session, ids: Found['ids'], limit: number): Promise<boolean> {
  const { attempts, audit_log: acts } = ids;
  if (acts.length > 0 || attempts.length === 0 || attempts.length >= limit) return false;
  const others = await tx.rows(
    `SELECT 1 FROM attempts a ${attemptJoins} WHERE a.id IN (${idList(attempts)}) AND NOT e.type <=> 'audit.sealed' LIMIT 1`,
  );
  return others.length === 0;
}

async function toLeaves(vault: SealVault, tx: Session, ids: Found['ids']): Promise<Leaf[]> {
  const leaves: Leaf[] = [];
  for (let at = 0; at < ids.attempts.length; at += entriesAtOnce) {
    const rows = await tx.rows<AttemptEntry>(
      `SELECT ${attemptColumns} FROM attempts a ${attemptJoins}
       WHERE a.id IN (${idList(ids.attempts.slice(at, at + entriesAtOnce))}) ORDER BY a.id`,
    );
    const payloads = (await openPayloadsOf(tx, vault.box, rows)).map(textOf);
    const hashed = rows.filter((_, index) => payloads[index] !== null);
    const salts = await ensureSalts(vault, new Set(hashed.map(({ subject }) => subjectOf(subject))));
    for (const [index, row] of rows.entries()) {
      const payload = payloads[index]!;
      const salt = salts.get(subjectOf(row.subject));
      const payloadHash = payload !== null && salt ? payloadHashOf(payload, row.delivery, salt) : null;
      leaves.push({ log: 'attempts', entryId: row.id, hash: attemptLeaf(row, payloadHash), payloadHash });
    }
  }
  for (let at = 0; at < ids.audit_log.length; at += entriesAtOnce) {
    const rows = await tx.rows<ActEntry>(
      `SELECT ${actColumns} FROM audit_log g
       WHERE g.id IN (${idList(ids.audit_log.slice(at, at + entriesAtOnce))}) ORDER BY g.id`,
    );
    for (const row of rows)
      leaves.push({ log: 'audit_log', entryId: row.id, hash: actLeaf(row), payloadHash: null });
  }
  return leaves;
}

interface Sealing {
  state: SealState;
  sealedAt: string;
  leaves: readonly Leaf[];
}

async function nextSeal(tx: Session, { state, sealedAt, leaves }: Sealing, box: SecretBox): Promise<Seal> {
  const [last] = await tx.rows<{ number: number; hash: string }>(
    'SELECT number, hash FROM seals ORDER BY number DESC LIMIT 1',
  );
  // A chain that was cut goes on with the number that it had: the hole is for `verify` to find.
  const content = {
    number: state.progress.seals + 1,
    sealedAt,
    entries: leaves.length,
    root: merkleRoot(leaves.map(({ hash }) => hash)).toString('hex'),
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
