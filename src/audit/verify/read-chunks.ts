import { idIn } from '../../db/connection/sql-text.ts';
import { openKnownPayloads, type OpenedPayload } from '../../outbox/payload/payloads.ts';
import { subjectOf, type PayloadKey, type SubjectKeys } from '../../outbox/payload/subject-keys.ts';
import type { Seal } from '../seal/chain.ts';
import {
  fieldsOf,
  readEntries,
  sealedLogs,
  storedContent,
  type Entry,
  type SealedLog,
} from '../seal/entry.ts';
import { merkleRoot } from '../seal/merkle.ts';
import { unpackLeaves, type Leaf } from '../seal/pack.ts';
import { fail } from './flaw.ts';
import type { SealWalk } from './seal-walk.ts';

const leavesAtOnce = 1_000;

export interface SealedLeaf extends Leaf {
  seal: Seal;
}

/** Leaves of one log that are compared with their rows at once. */
export interface Chunk {
  log: SealedLog;
  leaves: readonly SealedLeaf[];
  /** Ids of rows that appeared later than a row with a higher id. */
  late: readonly number[];
  /** All rows above `after` up to `to` must have leaves. */
  after: number;
  to: number;
}

/** A chunk with its rows as they are now. */
export interface ReadChunk extends Chunk {
  rows: readonly Entry[];
  /** By the id of the row. */
  contents: ReadonlyMap<number, OpenedPayload>;
  /** By subject. */
  keys: ReadonlyMap<string, SubjectKeys>;
}

/** Yields the leaves of seals of version 2 in chunks, after proving the roots of the seals. */
export async function* planChunks(
  walk: SealWalk,
  seals: readonly Seal[],
): AsyncGenerator<Chunk, void, undefined> {
  const byLog = await readLeaves(walk, seals);
  for (const log of sealedLogs) {
    for (let at = 0; at < byLog[log].length; at += leavesAtOnce) {
      const leaves = byLog[log].slice(at, at + leavesAtOnce);
      const after = walk.comparedTo[log];
      const late = leaves.filter(({ id }) => id <= after).map(({ id }) => id);
      const to = leaves.reduce((highest, { id }) => Math.max(highest, id), after);
      walk.comparedTo[log] = to;
      yield { log, leaves, late, after, to };
    }
  }
}

async function readLeaves(
  { vault }: SealWalk,
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
  const packsOf = Map.groupBy(packs, ({ seal }) => seal);
  for (const seal of seals) {
    const hashes: Buffer[] = [];
    for (const { log, leaves: packed } of packsOf.get(seal.number) ?? []) {
      for (const leaf of unpack(seal, log, packed)) {
        hashes.push(leaf.hash);
        byLog[log].push({ ...leaf, seal });
      }
    }
    proveRoot(seal, hashes);
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

function proveRoot({ number, entries, root }: Seal, hashes: readonly Buffer[]): void {
  const missing = entries - hashes.length;
  if (missing !== 0) {
    fail(missing > 0 ? 'deleted' : 'inserted', {
      message: `seal ${number} was made of ${entries} leaves and has ${hashes.length}`,
      seal: number,
    });
  }
  if (merkleRoot(hashes).toString('hex') !== root) {
    fail('reordered', {
      message: `the leaves of seal ${number} do not make its root: they were reordered, or replaced together with their entries`,
      seal: number,
    });
  }
}

export async function readChunk(walk: SealWalk, chunk: Chunk): Promise<ReadChunk> {
  const { log, late, after, to } = chunk;
  const { store, cipher } = walk.vault;
  const rows = [
    ...(late.length > 0 ? await readEntries(store, log, idIn('{id}', late)) : []),
    ...(to > after ? await readEntries(store, log, `{id} > ${after} AND {id} <= ${to}`) : []),
  ];
  const full = rows.filter(({ content }) => content !== null);
  if (full.length === 0) return { ...chunk, rows, contents: new Map(), keys: new Map() };
  const keys = await walk.keys.of(new Set(full.map(({ subject }) => subjectOf(subject))));
  const payloadKeys = new Map<string, PayloadKey>();
  for (const [subject, { payload }] of keys) if (payload) payloadKeys.set(subject, payload);
  const opened = await openKnownPayloads(store, cipher, {
    stored: full.map(storedContent),
    keys: payloadKeys,
    isErased: (subject, eventSeq) => walk.excuses.isErased(subject, eventSeq),
  });
  return { ...chunk, rows, contents: new Map(full.map(({ id }, index) => [id, opened[index]!])), keys };
}
