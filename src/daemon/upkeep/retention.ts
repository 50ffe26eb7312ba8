import type { ChainMemory } from '../../audit/seal/chain.ts';
import { dropSeals } from '../../audit/seal/drop-seals.ts';
import { proveEvents, readDroppedTo } from '../../audit/seal/prove-events.ts';
import { decidePruning } from '../../audit/act/retention-acts.ts';
import type { Config } from '../../config/types.ts';
import { pruneKept, pruneLog, prunePayloads } from '../../outbox/prune.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/** Events removed at a time: removing millions of rows leaves capacity of the store to others. */
const BATCH = 250;

export interface Pruned {
  /** Seals whose entries were removed. */
  seals: number;
  /** Events whose payloads were examined, including kept ones that are no longer owed to a webhook. */
  payloads: number;
  /** Events that were removed as a whole. */
  events: number;
  /** Whether there is more to do. */
  more: boolean;
}

export interface PruneOptions {
  /** The part of the sealed log that this process has seen. */
  memory?: ChainMemory;
  /** Whether to start as soon as anything is due: otherwise some are collected first, because each start is an act. */
  atOnce?: boolean;
}

/** Retention starts this much late, or a twenty-fourth of the retention time if that is less. */
const PATIENCE_MS = 3_600_000;

/**
 * Removes one batch of everything that has expired. Data is first proved against the sealed log, and its removal is recorded in it. Throws
 * AppError ERR_AUDIT, and drops nothing more, if the log is not as it was sealed.
 */
export async function prune(
  vault: EncryptedStore,
  retention: Config['retention'],
  { memory = {}, atOnce = false }: PruneOptions = {},
): Promise<Pruned> {
  const { store, cipher } = vault;
  const { payloadsMs, logMs } = retention;
  const patience = (ms: number): number => (atOnce ? 0 : Math.min(PATIENCE_MS, ms / 24));
  const seals = await dropSeals(vault, { olderThanMs: logMs, patienceMs: patience(logMs), memory });
  const upTo = await decidePruning(store, cipher, {
    olderThanMs: payloadsMs,
    patienceMs: patience(payloadsMs),
  });
  const payloads = await prunePayloads(store, {
    olderThanMs: payloadsMs,
    batch: BATCH,
    upTo,
    prove: proveEvents,
  });
  const kept = await pruneKept(store, { batch: BATCH, upTo });
  const droppedTo = await readDroppedTo(store);
  const events = await pruneLog(store, { olderThanMs: logMs, batch: BATCH, upTo: droppedTo });
  const more = seals.more || [payloads, kept, events].some((count) => count >= BATCH);
  return { seals: seals.dropped, payloads: payloads + kept, events, more };
}
