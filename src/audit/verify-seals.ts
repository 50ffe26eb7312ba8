import type { KeyObject } from 'node:crypto';
import { idIn } from '../db/sql-text.ts';
import type { Marker } from '../db/marks.ts';
import { isSignedBy } from '../db/seal-key.ts';
import { textOf, type OpenedPayload } from '../outbox/payloads.ts';
import { readSalts, subjectOf } from '../outbox/subject-keys.ts';
import { readSeals, sealHash, type Seal } from './chain.ts';
import {
  contentHash,
  differingFields,
  fieldsOf,
  openContents,
  readEntries,
  sealedLogs,
  toLeaf,
  valueOf,
  type Entry,
  type SealedLog,
} from './entry.ts';
import type { Excuses } from './excuses.ts';
import { fail, nameOf, whenOf } from './flaw.ts';
import type { Head } from './head.ts';
import { merkleRoot } from './merkle.ts';
import { unpackLeaves, type Leaf } from './pack.ts';
import { gappedLogs, type GappedLog, type Progress } from './progress.ts';
import type { SealVault } from './seal.ts';
import { checkMark } from './verify-marks.ts';
import type { Verification } from './verify.ts';

export interface SealWalk {
  vault: SealVault;
  publicKey: KeyObject;
  marker: Marker;
  excuses: Excuses;
  /** Of the last seal. */
  progress: Progress;
  head: Head | undefined;
  result: Verification;
  /** Ids that were passed without a leaf: a later seal must have them, or a range that is still open. */
  skipped: Record<GappedLog, Set<number>>;
  /** How far the rows of each log have been compared. */
  comparedTo: Record<SealedLog, number>;
  nowMs: number;
  onEntries(count: number): void;
}

const entriesAtOnce = 1_000;

/** Proves that a seal follows the one before it, and that it is signed. */
export function checkSeal(walk: Pick<SealWalk, 'publicKey' | 'head' | 'result'>, seal: Seal): void {
  const { publicKey, head, result } = walk;
  const { number, sealedAt } = seal;
  const which = `seal ${number} (${sealedAt})`;
  if (seal.previousHash !== result.lastHash)
    fail('edited', { message: `${which} does not follow the seal before it`, seal: number });
  if (sealHash(seal) !== seal.hash) fail('edited', { message: `${which} was edited`, seal: number });
  if (!isSignedBy(publicKey, seal.hash, seal.signature))
    fail('forged', { message: `${which} is not signed by the key of the installation`, seal: number });
  if (head?.number === number) {
    if (head.hash !== seal.hash)
      fail('rewritten', { message: `${which} is another one than the head that was exported`, seal: number });
    result.headCompared = true;
  }
  result.seals += 1;
  result.lastSeal = number;
  result.lastHash = seal.hash;
}

interface SealedLeaf extends Leaf {
  seal: Seal;
}

/** Compares the leaves of some seals of version 2, in order, with the rows as they are now. */
export async function compareSeals(walk: SealWalk, seals: readonly Seal[]): Promise<void> {
  const leaves = await readLeaves(walk, seals);
  // At the same time, so that the server reads one log while another is hashed; the flaw of the first log counts, as one after the other.
  const compared = await Promise.allSettled(
    sealedLogs.map(async (log) => {
      for (let at = 0; at < leaves[log].length; at += entriesAtOnce)
        await compareLeaves(walk, log, leaves[log].slice(at, at + entriesAtOnce));
    }),
  );
  for (const each of compared) if (each.status === 'rejected') throw each.reason;
}

/** The leaves by log; their roots are proved. */
async function readLeaves(
  { vault, result }: SealWalk,
  seals: readonly Seal[],
): Promise<Record<SealedLog, SealedLeaf[]>> {
  const byLog: Record<SealedLog, SealedLeaf[]> = {
    audit_log: [],
    attempts: [],
    event_log: [],
    delivery_log: [],
  };
  const packs = await vault.store.rows<{ seal: number; log: SealedLog; leaves: Buffer }>(
    'SELECT seal, log, leaves FROM seal_packs WHERE seal BETWEEN ? AND ? ORDER BY seal, place',
    [seals[0]!.number, seals.at(-1)!.number],
  );
  for (const seal of seals) {
    const at = { seal: seal.number };
    const hashes: Buffer[] = [];
    for (const { log, leaves: packed } of packs.filter((pack) => pack.seal === seal.number)) {
      const leaves = unpack(seal, log, packed);
      for (const leaf of leaves) hashes.push(leaf.hash);
      for (const leaf of leaves) byLog[log].push({ ...leaf, seal });
    }
    const missing = seal.entries - hashes.length;
    if (missing !== 0) {
      fail(missing > 0 ? 'deleted' : 'inserted', {
        message: `seal ${seal.number} was made of ${seal.entries} leaves and has ${hashes.length}`,
        ...at,
      });
    }
    if (merkleRoot(hashes).toString('hex') !== seal.root) {
      fail('reordered', {
        message: `the leaves of seal ${seal.number} do not make its root: they were reordered, or replaced together with their entries`,
        ...at,
      });
    }
    result.entries += hashes.length;
  }
  return byLog;
}

function unpack(seal: Seal, log: SealedLog, packed: Buffer): Leaf[] {
  try {
    return unpackLeaves(packed, fieldsOf(log).length);
  } catch {
    return fail('edited', { message: `the leaves of seal ${seal.number} were edited`, seal: seal.number });
  }
}

async function compareLeaves(walk: SealWalk, log: SealedLog, leaves: readonly SealedLeaf[]): Promise<void> {
  const { store } = walk.vault;
  const before = walk.comparedTo[log];
  const late = leaves.filter(({ id }) => id <= before).map(({ id }) => id);
  const to = Math.max(before, ...leaves.map(({ id }) => id));
  const rows = [
    ...(late.length > 0 ? await readEntries(store, log, idIn('{id}', late)) : []),
    ...(to > before ? await readEntries(store, log, `{id} > ${before} AND {id} <= ${to}`) : []),
  ];
  const byId = new Map(rows.map((row) => [row.id, row]));
  for (const leaf of leaves) compareLeaf(walk, log, leaf, byId.get(leaf.id));
  const sealed = new Set(leaves.map(({ id }) => id));
  for (const { id } of rows) if (!sealed.has(id)) skip(walk, log, id);
  if (isGapped(log)) for (const id of sealed) walk.skipped[log].delete(id);
  walk.comparedTo[log] = to;
  await compareContents(walk, log, leaves, byId);
  walk.onEntries(leaves.length);
}

function isGapped(log: SealedLog): log is GappedLog {
  return (gappedLogs as readonly SealedLog[]).includes(log);
}

/** A row that the seals up to here do not have. */
function skip({ skipped }: SealWalk, log: SealedLog, id: number): void {
  if (isGapped(log)) {
    skipped[log].add(id);
    return;
  }
  failInserted(log, id);
}

function failInserted(log: SealedLog, id: number): never {
  return fail('inserted', {
    message: `${nameOf(log, id)} was inserted after its time: no seal has it`,
    ...{ log, entryId: id, delivery: log === 'delivery_log' ? id : null },
  });
}

function compareLeaf(walk: SealWalk, log: SealedLog, leaf: SealedLeaf, row: Entry | undefined): void {
  const [which, when] = [nameOf(log, leaf.id), whenOf(leaf.seal)];
  const place = { seal: leaf.seal.number, log, entryId: leaf.id, delivery: row?.delivery ?? null };
  if (!row) fail('deleted', { message: `${which} was deleted (${when})`, ...place });
  const delivery = row.delivery === null ? '' : ` of delivery ${row.delivery}`;
  if (log === 'attempts' && valueOf(log, row, 'webhook_id') === null)
    fail('deleted', { message: `delivery ${row.delivery} of ${which} was deleted (${when})`, ...place });
  if (log !== 'audit_log' && row.eventId === null)
    fail('deleted', { message: `the event of ${which}${delivery} was deleted (${when})`, ...place });
  const now = toLeaf(log, row, leaf.content);
  if (!now.hash.equals(leaf.hash)) {
    const fields = differingFields(log, leaf, now);
    const named = fields.length > 0 ? fields.join(', ') : 'its leaf';
    const of = log === 'attempts' ? delivery : '';
    fail('edited', { message: `${which}${of} was edited: ${named} (${when})`, ...place, fields });
  }
  if (log === 'event_log' && !row.keepsContent)
    fail('edited', {
      message: `${which} is hidden: staging was edited (${when})`,
      ...place,
      fields: ['staging'],
    });
  checkMark(walk, log, row);
}

async function compareContents(
  walk: SealWalk,
  log: SealedLog,
  leaves: readonly SealedLeaf[],
  byId: ReadonlyMap<number, Entry>,
): Promise<void> {
  if (log === 'audit_log') return;
  const { store, box } = walk.vault;
  const rows = leaves.map(({ id }) => byId.get(id)!);
  const opened = await openContents(store, box, rows);
  const subjects = new Set(
    rows.filter(({ content }) => content !== null).map(({ subject }) => subjectOf(subject)),
  );
  const salts = await readSalts(store, box, subjects);
  for (const [index, leaf] of leaves.entries()) {
    const row = rows[index]!;
    if (log === 'attempts' && !row.keepsContent) continue;
    await compareContent(walk, {
      log,
      leaf,
      row,
      payload: opened[index]!,
      salt: salts.get(subjectOf(row.subject)),
    });
  }
}

interface Content {
  log: SealedLog;
  leaf: SealedLeaf;
  row: Entry;
  payload: OpenedPayload;
  salt: Buffer | undefined;
}

async function compareContent(walk: SealWalk, { log, leaf, row, payload, salt }: Content): Promise<void> {
  const { excuses, result, nowMs } = walk;
  if (row.content === null && leaf.content === null) return;
  const what = log === 'attempts' ? 'the answer to' : 'the payload of';
  const which = `${what} ${nameOf(log, leaf.id)}${log === 'attempts' ? ` of delivery ${row.delivery}` : ''}`;
  const field = { attempts: 'response_body', event_log: 'body', delivery_log: 'payload', audit_log: '' }[log];
  const place = { seal: leaf.seal.number, log, entryId: leaf.id, delivery: row.delivery, fields: [field] };
  const eventSeq = row.eventSeq ?? 0;
  const count = (kind: 'proved' | 'pruned' | 'erased'): void => {
    if (log === 'event_log') result.payloads[kind] += 1;
  };
  if (row.content === null) {
    const createdAt = log === 'event_log' ? (valueOf(log, row, 'created_at') as string) : null;
    const gone = { eventSeq, subject: row.subject, createdAt };
    if (!excuses.of(gone)) await excuses.read();
    const excuse = excuses.of(gone);
    if (!excuse)
      fail('deleted', {
        message: `${which} was deleted without an erasure on record (${whenOf(leaf.seal)})`,
        ...place,
      });
    count(excuse);
    return;
  }
  const text = textOf(payload);
  if (text !== null && leaf.content && salt && contentHash(log, row.id, text, salt).equals(leaf.content)) {
    count('proved');
    return;
  }
  // Asked again: it may have been erased while we walk.
  await excuses.read();
  if (excuses.isBeingErased(row.subject, eventSeq, nowMs)) {
    count('erased');
    return;
  }
  if (excuses.isErased(row.subject, eventSeq)) {
    fail('inserted', {
      message: `${which} is there although it was erased: it was inserted, or the erasure was interrupted and must be run again`,
      ...place,
    });
  }
  fail('edited', { message: `${which} was edited (${whenOf(leaf.seal)})`, ...place });
}

/** After the last seal: rows that no seal has and that are not in a range that is still open. */
export function checkSkipped({ skipped, progress }: SealWalk): void {
  for (const log of gappedLogs) {
    const left = [...skipped[log]].filter(
      (id) => !progress[log].open.some(({ from, to }) => id >= from && id <= to),
    );
    if (left.length > 0) failInserted(log, Math.min(...left));
  }
}

/** Seals `from` to `to`, by number; fails where one is missing. */
export async function readSealsInOrder(walk: SealWalk, from: number, to: number): Promise<Seal[]> {
  const seals = await readSeals(walk.vault.store, 'number BETWEEN ? AND ? ORDER BY number', [from, to]);
  for (let number = from; number <= to; number += 1) {
    if (seals[number - from]?.number === number) continue;
    const isEnd = !seals.some((other) => other.number > number);
    fail(isEnd ? 'truncated' : 'deleted', { message: `seal ${number} is missing`, seal: number });
  }
  return seals;
}
