import { dropSeals } from '../audit/drop-seals.ts';
import type { SealVault } from '../audit/seal.ts';
import type { Config } from '../config/types.ts';
import { pruneKept, pruneLog, prunePayloads } from '../outbox/prune.ts';

/** So many events at a time: removing millions of rows leaves the store to others. */
const BATCH = 250;

export interface Pruned {
  /** Seals whose entries went. */
  seals: number;
  /** Events that were looked at for their payloads, kept ones that are no longer owed to anybody included. */
  payloads: number;
  /** Events that went whole. */
  events: number;
  /** Whether there is more to do. */
  more: boolean;
}

/** One batch of everything whose time is over. */
export async function prune(vault: SealVault, retention: Config['retention']): Promise<Pruned> {
  const { store } = vault;
  const seals = await dropSeals(vault, { olderThanMs: retention.logMs });
  const payloads = await prunePayloads(store, { olderThanMs: retention.payloadsMs, batch: BATCH });
  const kept = await pruneKept(store, BATCH);
  const events = await pruneLog(store, { olderThanMs: retention.logMs, batch: BATCH });
  const more = seals.more || [payloads, kept, events].some((count) => count >= BATCH);
  return { seals: seals.dropped, payloads: payloads + kept, events, more };
}
