import { storedText } from '../../db/proof/stored-json.ts';
import type { Session } from '../../db/connection/client.ts';
import { idIn } from '../../db/connection/sql-text.ts';
import {
  anchorText,
  privateKeyOf,
  readSealState,
  signText,
  type SealState,
} from '../../db/proof/seal-key.ts';
import { fromSqlDatetime } from '../../outbox/sql-datetime.ts';
import { broken, proveEnd, proveSeal, readSeals, type ChainMemory, type Seal } from './chain.ts';
import { keepActs } from '../act/keep-acts.ts';
import { readProvedIds } from './prove-leaves.ts';
import { engine, recordAct } from '../act/record-act.ts';
import { readClock } from './unsealed.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

const sealsAtOnce = 20;
const entriesAtOnce = 20_000;

export const dropAction = 'retention.drop';

export interface DropOptions {
  olderThanMs: number;
  /** Nothing is dropped until the oldest seal is older than `olderThanMs` by this much, because each drop is an act. Default 0. */
  patienceMs?: number;
  memory?: ChainMemory;
}

/**
 * Removes the oldest expired seals, with the attempts and acts that they seal, in one bounded transaction, on record. Each seal is proved
 * first: its hash, its signature, its link to the previous seal, and that the rows to remove are the rows that it seals. The chain then
 * begins with a signed anchor at the cut, so that it still verifies; the last seal is always kept. Call again while there is more. Throws
 * AppError ERR_AUDIT if a seal is invalid: then nothing is dropped.
 */
export async function dropSeals(
  { store, cipher }: EncryptedStore,
  { olderThanMs, patienceMs = 0, memory = {} }: DropOptions,
): Promise<{ dropped: number; more: boolean }> {
  return store.transaction(async (tx) => {
    const nothing = { dropped: 0, more: false };
    const state = await readSealState(tx, { lock: true });
    if (!state) return nothing;
    const { last } = await proveEnd(tx, state, { cipher, memory });
    if (!last) return nothing;
    const nowMs = fromSqlDatetime(await readClock(tx));
    const old = await readOldSeals(tx, state, { lastNumber: last.number, beforeMs: nowMs - olderThanMs });
    const cut = old.at(-1);
    if (!cut || fromSqlDatetime(old[0]!.sealedAt) > nowMs - olderThanMs - patienceMs) return nothing;
    const counts = await dropEntries(tx, cipher, old);
    await tx.run('DELETE FROM seals WHERE number <= ?', [cut.number]);
    const signature = signText(privateKeyOf(state, cipher), anchorText(cut, 'sealed'));
    await tx.run(
      'UPDATE seal_state SET anchor_number = ?, anchor_hash = ?, anchor_signature = ?, anchor = ? WHERE id = 1',
      [cut.number, cut.hash, signature, storedText('seal_state.anchor', cut)],
    );
    await recordAct(tx, cipher, {
      actor: engine,
      action: dropAction,
      target: `${old[0]!.number} to ${cut.number}`,
      details: {
        ...{ from: old[0]!.number, to: cut.number, hash: cut.hash, sealed_at: cut.sealedAt },
        ...{ retention_ms: olderThanMs, ...counts },
      },
    });
    return { dropped: old.length, more: old.length === sealsAtOnce };
  });
}

interface Reach {
  lastNumber: number;
  beforeMs: number;
}

/** Returns the oldest seals up to the first that is too young to drop, each proved. Bounded by the number of seals and of entries. */
async function readOldSeals(
  tx: Session,
  { anchor, publicKey }: SealState,
  { lastNumber, beforeMs }: Reach,
): Promise<Seal[]> {
  const seals = await readSeals(tx, 'number < ? ORDER BY number LIMIT ?', [lastNumber, sealsAtOnce]);
  const old: Seal[] = [];
  let previous = anchor;
  let entries = 0;
  for (const seal of seals) {
    if (seal.previousHash !== previous.hash || seal.number !== previous.number + 1)
      throw broken(`seal ${seal.number} does not follow seal ${previous.number}`);
    proveSeal(seal, publicKey);
    entries += seal.entries;
    if (fromSqlDatetime(seal.sealedAt) >= beforeMs || (old.length > 0 && entries > entriesAtOnce)) break;
    old.push(seal);
    previous = { ...anchor, ...seal };
  }
  return old;
}

/** Attempts and acts are removed with their seals; events and deliveries once nothing refers to them (outbox/prune). */
async function dropEntries(
  tx: Session,
  cipher: EncryptedStore['cipher'],
  seals: readonly Seal[],
): Promise<{ attempts: number; acts: number }> {
  const ids = await readProvedIds(tx, seals);
  await keepActs(tx, cipher, ids.audit_log);
  for (const log of ['attempts', 'audit_log'] as const)
    await tx.run(`DELETE FROM ${log} WHERE ${idIn('id', ids[log])}`);
  const to = seals.at(-1)!.number;
  await tx.run('DELETE FROM seal_leaves WHERE seal <= ?', [to]);
  await tx.run('DELETE FROM seal_packs WHERE seal <= ?', [to]);
  return { attempts: ids.attempts.length, acts: ids.audit_log.length };
}
