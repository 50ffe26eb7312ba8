import type { ChainMemory } from '../../audit/seal/chain.ts';
import { dropSeals } from '../../audit/seal/drop-seals.ts';
import { proveEvents, readDroppedTo } from '../../audit/seal/prove-events.ts';
import { decidePruning } from '../../audit/act/retention-acts.ts';
import type { Config } from '../../config/types.ts';
import { pruneKept, pruneLog, prunePayloads } from '../../outbox/prune.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

/** So many events at a time: removing millions of rows leaves the store to others. */
const BATCH = 250;

export interface Pruned {
  /** Seals whose entries went. */
  seals: number;
  /** Events that were looked at for their payloads, including kept ones that are no longer owed to a webhook. */
  payloads: number;
  /** Events that went whole. */
  events: number;
  /** Whether there is more to do. */
  more: boolean;
}

export interface PruneOptions {
  /** What this process has seen of the sealed log. */
  memory?: ChainMemory;
  /** Whether to begin as soon as anything is due: else some are gathered, because each beginning is an act. */
  atOnce?: boolean;
}

/** Retention begins this much late, or a twenty-fourth of its time if that is less. */
const PATIENCE_MS = 3_600_000;

/**
 * One batch of everything whose time is over. What is dropped is proved first against the sealed log, and on record in it. Throws
 * AppError ERR_AUDIT, and drops nothing more, when it is not as it was sealed.
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
