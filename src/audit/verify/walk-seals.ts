import { isSignedBy } from '../../db/proof/seal-key.ts';
import { readAhead } from '../../lib/read-ahead.ts';
import { readSeals, sealHash, type Seal } from '../seal/chain.ts';
import { compareChunk, checkSkipped } from './compare-chunk.ts';
import { compareOldSeals, skipOld } from './compare-old-seals.ts';
import { fail } from './flaw.ts';
import { planChunks, readChunk, type Chunk, type ReadChunk } from './read-chunks.ts';
import type { SealWalk } from './seal-walk.ts';

const sealsAtOnce = 500;
/** Leaves that are held in memory at once, some 10 MB with their rows; one seal may have as many. */
const entriesAtOnce = 5_000;
/** Chunks that the server reads while one is hashed. */
const chunksAhead = 2;

interface Range {
  /** The seal before the first. */
  anchor: number;
  to: number;
}

/** Proves seals one after the other, and compares their leaves with the present rows. */
export async function walkSeals(walk: SealWalk, range: Range): Promise<void> {
  await skipOld(walk, 'attempts');
  await skipOld(walk, 'audit_log');
  for await (const step of readAhead(planSteps(walk, range), chunksAhead, (planned) =>
    readStep(walk, planned),
  )) {
    if (step.chunk) await compareChunk(walk, step.chunk);
    else await passSeals(walk, step.seals);
  }
  await checkOutside(walk, range);
  checkSkipped(walk);
}

/** A chunk; or seals whose chunks all came before, or that are of version 1. */
type Step<C> = { chunk: C } | { chunk?: undefined; seals: readonly Seal[] };

async function* planSteps(
  walk: SealWalk,
  { anchor, to }: Range,
): AsyncGenerator<Step<Chunk>, void, undefined> {
  let previousHash = walk.result.lastHash;
  for (let number = anchor + 1; number <= to; number += sealsAtOnce) {
    const some = await readSealsInOrder(walk, number, Math.min(to, number + sealsAtOnce - 1));
    for (const seals of batches(some)) {
      for (const seal of seals) {
        checkSeal(walk, seal, previousHash);
        previousHash = seal.hash;
      }
      if (seals[0]!.version !== 1) for await (const chunk of planChunks(walk, seals)) yield { chunk };
      yield { seals };
    }
  }
}

async function readStep(walk: SealWalk, step: Step<Chunk>): Promise<Step<ReadChunk>> {
  return step.chunk ? { chunk: await readChunk(walk, step.chunk) } : step;
}

async function passSeals(walk: SealWalk, seals: readonly Seal[]): Promise<void> {
  const { result, head } = walk;
  if (seals[0]!.version === 1) await compareOldSeals(walk, seals);
  for (const { number, entries, hash } of seals) {
    result.seals += 1;
    result.entries += entries;
    result.lastSeal = number;
    result.lastHash = hash;
    if (head?.number === number) result.headCompared = true;
  }
}

/** Proves that a seal follows the one before it, and that it is signed. */
function checkSeal({ publicKey, head }: SealWalk, seal: Seal, previousHash: string): void {
  const { number, sealedAt } = seal;
  const which = `seal ${number} (${sealedAt})`;
  if (seal.previousHash !== previousHash)
    fail('edited', { message: `${which} does not follow the seal before it`, seal: number });
  if (sealHash(seal) !== seal.hash) fail('edited', { message: `${which} was edited`, seal: number });
  if (!isSignedBy(publicKey, seal.hash, seal.signature))
    fail('forged', { message: `${which} is not signed by the key of the installation`, seal: number });
  if (head?.number === number && head.hash !== seal.hash)
    fail('rewritten', { message: `${which} is another one than the head that was exported`, seal: number });
}

/** Reads seals `from` to `to`, by number; fails if one is missing. */
async function readSealsInOrder(walk: SealWalk, from: number, to: number): Promise<Seal[]> {
  const seals = await readSeals(walk.vault.store, 'number BETWEEN ? AND ? ORDER BY number', [from, to]);
  for (let number = from; number <= to; number += 1) {
    if (seals[number - from]?.number === number) continue;
    const isEnd = !seals.some((other) => other.number > number);
    fail(isEnd ? 'truncated' : 'deleted', { message: `seal ${number} is missing`, seal: number });
  }
  return seals;
}

/** Groups seals of one version that fit into memory together. */
function batches(seals: readonly Seal[]): Seal[][] {
  const all: Seal[][] = [];
  let entries = 0;
  for (const seal of seals) {
    const batch = all.at(-1);
    entries += seal.entries;
    if (batch && batch[0]!.version === seal.version && entries <= entriesAtOnce) batch.push(seal);
    else {
      all.push([seal]);
      entries = seal.entries;
    }
  }
  return all;
}

/** Fails for seals and leaves that are not in the chain. */
async function checkOutside({ vault: { store } }: SealWalk, { anchor, to }: Range): Promise<void> {
  for (const table of ['seals', 'seal_packs', 'seal_leaves'] as const) {
    const column = table === 'seals' ? 'number' : 'seal';
    const [beyond] = await store.rows<{ number: number }>(
      `SELECT ${column} AS number FROM ${table} WHERE ${column} <= ? ORDER BY ${column} LIMIT 1`,
      [anchor],
    );
    if (beyond) {
      fail('inserted', {
        message: `seal ${beyond.number} stands before the beginning of the chain (${table})`,
        seal: beyond.number,
      });
    }
    if (table === 'seals') continue;
    const [after] = await store.rows<{ number: number }>(
      `SELECT p.${column} AS number FROM ${table} p WHERE p.${column} > ?
         AND NOT EXISTS (SELECT 1 FROM seals s WHERE s.number = p.${column}) LIMIT 1`,
      [to],
    );
    if (after)
      fail('truncated', {
        message: `seal ${after.number} is missing, and its leaves are there`,
        seal: after.number,
      });
  }
}
