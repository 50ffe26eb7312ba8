import type { Session } from '../../db/connection/client.ts';
import { parseStored, storedText } from '../../db/proof/stored-json.ts';
import { idIn } from '../../db/connection/sql-text.ts';
import { Marker } from '../../db/proof/marks.ts';
import {
  ensureSealState,
  markKeyOf,
  privateKeyOf,
  readSealState,
  signBegun,
  signText,
  stageOf,
} from '../../db/proof/seal-key.ts';
import { yieldToEventLoop } from '../../lib/clock.ts';
import { fromSqlDatetime } from '../../outbox/sql-datetime.ts';
import { openPayloads, textOf } from '../../outbox/payload/payloads.ts';
import { ensureSalts, subjectOf } from '../../outbox/payload/subject-keys.ts';
import { beginMarks } from '../act/begin-marks.ts';
import { adoptStore } from '../act/adopt.ts';
import { readAcceptedEntries } from './accepted-entries.ts';
import {
  broken,
  endHash,
  proveEnd,
  readLastSeal,
  sealHash,
  type ChainEnd,
  type ChainMemory,
  type Seal,
} from './chain.ts';
import {
  contentHash,
  readEntries,
  sealedLogs,
  storedContent,
  subjectsOf,
  toLeaf,
  type Entry,
  type SealedLog,
} from './entry.ts';
import { isMarked } from './is-marked.ts';
import { toHead, type Head } from './head.ts';
import { MerkleTree } from './merkle.ts';
import { packLeaves, type Leaf } from './pack.ts';
import { nothingSealed, progressHash, type GappedLog, type LogProgress, type Progress } from './progress.ts';
import { closeRanges, findEntries, readClock, type Found } from './unsealed.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/*
 *   rows of audit_log, attempts, event_log, delivery_log ──leaf each──▶ Merkle root ──with the hash of the seal before──▶ signed seal
 *
 * Rows are read after their commit, in the background, so no delivery waits for sealing. Until a row is sealed, the mark of an attempt or
 * an act (src/db/proof/marks.ts) proves who wrote it.
 *
 * Each seal contains, and signs, how far the logs have been sealed. The daemon trusts no other column: it proves the last seal before it
 * makes the next.
 *
 * A seal may produce an event (`audit.sealed`), whose delivery creates entries itself. If there are only such entries, nothing is sealed
 * until another entry arrives; otherwise every seal would cause the next one.
 */

/** Entries of one seal. */
export const maximumEntries = 5_000;
/** Entries read at once. */
const entriesAtOnce = 250;
/** Leaves hashed before yielding to the event loop, where a change may be waiting: 100 of them took 6 ms on a busy machine. */
const hashedAtOnce = 20;
/** Leaves of one row of seal_packs: some 45 KB. */
const leavesOfPack = 500;

export interface SealOptions {
  graceMs?: number;
  maximumEntries?: number;
  /** The last seal that this process has seen; `sealOnce` updates it. */
  memory?: ChainMemory;
  /** Called last within the transaction of the seal. */
  onSealed?(tx: Session, head: Head): Promise<void>;
}

export type { Seal } from './chain.ts';

interface LogLeaves {
  log: SealedLog;
  leaves: Leaf[];
}

/**
 * Seals the new rows, at most `maximumEntries`: call again at once while there are more. Returns null if there is nothing to seal. Throws
 * AppError ERR_AUDIT, and signs nothing, if the chain is not as it was sealed.
 */
export async function sealOnce(vault: EncryptedStore, options: SealOptions = {}): Promise<Seal | null> {
  const { store, cipher } = vault;
  const memory = options.memory ?? {};
  await ensureKey(vault, memory);
  const before = await readLastSeal(store);
  const closed = await closeRanges(store, before?.progress ?? nothingSealed, options.graceMs);
  const made = await store.transaction(async (tx) => {
    const state = await readSealState(tx, { lock: true });
    if (!state) return null;
    const end = await proveEnd(tx, state, { cipher, memory });
    const seal = await sealNext(vault, tx, { end, closed, options });
    return { state, last: seal ?? end.last, seal };
  });
  if (!made) return null;
  if (made.last)
    memory.last = { publicKey: made.state.publicKey, number: made.last.number, hash: made.last.hash };
  return made.seal;
}

/** A key that existed is not created again: it was removed. */
async function ensureKey({ store, cipher }: EncryptedStore, { last: seen }: ChainMemory): Promise<void> {
  if (seen && !(await readSealState(store))) throw broken('its key is missing');
  await ensureSealState(store, cipher);
}

interface Sealing {
  end: ChainEnd;
  closed: ReadonlySet<string>;
  options: SealOptions;
}

async function sealNext(
  vault: EncryptedStore,
  tx: Session,
  { end, closed, options }: Sealing,
): Promise<Seal | null> {
  const progress = end.last?.progress ?? (await firstProgress(tx, vault, end));
  await beginMarks(tx, end.state, vault.cipher);
  const sealedAt = await readClock(tx);
  const limit = options.maximumEntries ?? maximumEntries;
  const number = Math.max(end.last?.number ?? 0, end.state.anchor.number, oldProgress(end).seals) + 1;
  const found = await findEntries(tx, progress, {
    ...{ closed, limit },
    ...{ seal: number, sealedAtMs: fromSqlDatetime(sealedAt) },
  });
  if (await isOnlyAboutSeals(tx, found.ids, limit)) return null;
  const marker = new Marker(markKeyOf(end.state, vault.cipher));
  const { unmarked } = progress;
  const { logs, root, entries } = await toLeaves(vault, tx, { ids: found.ids, marker, unmarked });
  if (entries === 0) return null;
  const content = {
    version: 2,
    number,
    sealedAt,
    entries,
    root: root.toString('hex'),
    previousHash: endHash(end),
    progressHash: progressHash(found.progress),
  };
  const hash = sealHash(content);
  const signature = signText(privateKeyOf(end.state, vault.cipher), hash);
  const seal: Seal = { ...content, hash, signature, progress: found.progress };
  await writeSeal(tx, seal, logs);
  await signBegun(tx, end.state, vault.cipher);
  await options.onSealed?.(tx, toHead(seal, end.state.publicKey));
  return seal;
}

/**
 * Progress before the first seal of version 2: the rows that version f84be48 sealed, and that its rows have no marks; or the rows that a
 * new log took over on record. If the log began with an empty store, every row has its mark.
 */
async function firstProgress(tx: Session, { cipher }: EncryptedStore, end: ChainEnd): Promise<Progress> {
  const { state, last } = end;
  if (last === undefined && stageOf(state) === 'empty') {
    await adoptStore(tx, cipher, { kind: 'empty' });
    const { delivery_log: deliveries, ...unmarked } = await readAcceptedEntries(
      tx,
      new Marker(markKeyOf(state, cipher)),
    );
    return { ...nothingSealed, old: { ...nothingSealed.old, delivery_log: deliveries }, unmarked };
  }
  await adoptStore(tx, cipher, { kind: 'old' });
  const old = oldProgress(end);
  const lastUnmarked = async (log: 'attempts' | 'audit_log'): Promise<number> => {
    const [row] = await tx.rows<{ id: number }>(
      `SELECT id FROM ${log} WHERE mark IS NULL ORDER BY id DESC LIMIT 1`,
    );
    return row?.id ?? 0;
  };
  return {
    ...nothingSealed,
    attempts: old.attempts,
    audit_log: old.audit_log,
    old: {
      attempts: old.attempts.to,
      audit_log: old.audit_log.to,
      delivery_log: await lastOldDelivery(tx, old),
    },
    unmarked: { attempts: await lastUnmarked('attempts'), audit_log: await lastUnmarked('audit_log') },
  };
}

async function lastOldDelivery(tx: Session, { seals }: OldProgress): Promise<number> {
  if (seals === 0) return 0;
  const [row] = await tx.rows<{ id: number | null }>('SELECT MAX(id) AS id FROM delivery_log');
  return row?.id ?? 0;
}

interface OldProgress {
  attempts: LogProgress;
  audit_log: LogProgress;
  seals: number;
}

function oldProgress({ state }: ChainEnd): OldProgress {
  return parseStored('seal_state.progress', state.oldProgress, 1) as OldProgress;
}

/** Whether all entries report seals. A full seal of such entries is made, because other entries may follow. */
async function isOnlyAboutSeals(tx: Session, ids: Found['ids'], limit: number): Promise<boolean> {
  const { attempts, audit_log: acts, event_log: events, delivery_log: deliveries } = ids;
  const all = attempts.length + events.length + deliveries.length;
  if (acts.length > 0 || all === 0 || all >= limit) return false;
  const [row] = await tx.rows<{ others: number }>(
    `SELECT EXISTS (SELECT 1 FROM event_log e WHERE ${idIn('e.seq', events)} AND e.type <> 'audit.sealed')
       OR EXISTS (SELECT 1 FROM delivery_log d LEFT JOIN event_log e ON e.seq = d.event_seq
                  WHERE ${idIn('d.id', deliveries)} AND NOT e.type <=> 'audit.sealed')
       OR EXISTS (SELECT 1 FROM attempts a LEFT JOIN delivery_log d ON d.id = a.delivery_id
                  LEFT JOIN event_log e ON e.seq = d.event_seq
                  WHERE ${idIn('a.id', attempts)} AND NOT e.type <=> 'audit.sealed') AS others`,
  );
  return row!.others === 0;
}

interface Leaves {
  logs: LogLeaves[];
  root: Buffer;
  entries: number;
}

interface ToSeal extends Marking {
  ids: Found['ids'];
}

async function toLeaves(vault: EncryptedStore, tx: Session, { ids, ...marking }: ToSeal): Promise<Leaves> {
  const tree = new MerkleTree();
  const logs: LogLeaves[] = [];
  let entries = 0;
  for (const log of sealedLogs) {
    const leaves: Leaf[] = [];
    for (let at = 0; at < ids[log].length; at += entriesAtOnce) {
      const some = { log, ids: ids[log].slice(at, at + entriesAtOnce), ...marking };
      for await (const leaf of leavesOf(vault, tx, some)) {
        tree.add(leaf.hash);
        leaves.push(leaf);
        if ((entries += 1) % hashedAtOnce === 0) await yieldToEventLoop();
      }
    }
    if (leaves.length > 0) logs.push({ log, leaves });
  }
  return { logs, root: entries === 0 ? Buffer.alloc(0) : tree.root(), entries };
}

interface Marking {
  marker: Marker;
  /** The last ids that rightly have no mark: rows of version f84be48. */
  unmarked: Progress['unmarked'];
}

async function* leavesOf(
  vault: EncryptedStore,
  tx: Session,
  { log, ids, ...marking }: { log: SealedLog; ids: readonly number[] } & Marking,
): AsyncGenerator<Leaf, void, undefined> {
  const rows = await readEntries(tx, log, idIn('{id}', ids));
  if (log === 'attempts' || log === 'audit_log') requireMarks(log, rows, marking);
  const opened = await openPayloads(tx, vault.cipher, rows.map(storedContent));
  const salts = await ensureSalts(vault, subjectsOf(rows, opened));
  for (const [index, row] of rows.entries()) {
    const text = textOf(opened[index]);
    const salt = text === null ? undefined : salts.get(subjectOf(row.subject));
    yield toLeaf(log, row, text !== null && salt ? contentHash(log, row.id, text, salt) : null);
  }
}

/** Rows that SQL inserted or edited before their seal are not signed: once sealed, they could neither stay nor be removed. */
function requireMarks(log: GappedLog, rows: readonly Entry[], { marker, unmarked }: Marking): void {
  const forged = rows.find((row) => !isMarked(marker, { log, row, unmarkedTo: unmarked[log] }));
  if (!forged) return;
  throw broken(
    `row ${forged.id} of ${log} was not written by odontology-webhooks: SQL inserted or edited it before its seal`,
  );
}

async function writeSeal(tx: Session, seal: Seal, logs: readonly LogLeaves[]): Promise<void> {
  await tx.run(
    `INSERT INTO seals (number, version, sealed_at, entries, root, previous_hash, hash, signature, progress)
     VALUES (?)`,
    [
      [
        ...[seal.number, seal.version, seal.sealedAt, seal.entries, seal.root, seal.previousHash],
        ...[seal.hash, seal.signature, seal.progress && storedText('seals.progress', seal.progress)],
      ],
    ],
  );
  // Unsigned: shows `verify` that the last seal was deleted, unless this value was set back as well.
  await tx.run("UPDATE seal_state SET progress = JSON_SET(progress, '$.seals', ?) WHERE id = 1", [
    seal.number,
  ]);
  let place = 0;
  for (const { log, leaves } of logs) {
    for (let at = 0; at < leaves.length; at += leavesOfPack) {
      const pack = packLeaves(leaves.slice(at, at + leavesOfPack)).toString('hex');
      await tx.script([
        `INSERT INTO seal_packs (seal, place, log, leaves) VALUES (${seal.number},${(place += 1)},'${log}',X'${pack}')`,
      ]);
    }
  }
}
