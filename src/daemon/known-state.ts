import type { CleanStop } from '../binlog/position/verdict.ts';
import type { Baseline } from '../binlog/types.ts';
import type { Config } from '../config/types.ts';
import { openBox } from '../crypto/encryption.ts';
import type { Store } from '../db/connection/client.ts';
import { readCaptureState } from '../outbox/checkpoint.ts';
import type { Checkpoint } from '../outbox/types.ts';
import { loadWebhooks } from '../outbox/webhook/webhook-registry.ts';

/** What is known before a start: of a store that was used before. */
export interface KnownState {
  checkpoint: Checkpoint | null;
  cleanStop: CleanStop | null;
  baseline: Baseline;
  /** Null before the first run, where the configuration sets none. */
  serverId: number | null;
  /** Whether a daemon holds the capture lease now. */
  readerRuns: boolean;
  /** Webhooks that the database manages, and what is wrong with their rows. */
  webhooks: Awaited<ReturnType<typeof loadWebhooks>>;
}

/** Of a store that was not used before. */
export const nothingKnown: KnownState = {
  checkpoint: null,
  cleanStop: null,
  baseline: {},
  serverId: null,
  readerRuns: false,
  webhooks: { webhooks: [], problems: [] },
};

/** What a store knows, that is up to date. */
export async function readKnownState(store: Store, config: Config): Promise<KnownState> {
  const { checkpoint, cleanStop, baseline } = await readCaptureState(store);
  const [installation] = await store.rows<{ serverId: number }>(
    'SELECT server_id AS serverId FROM installation',
  );
  const held = await store.rows(
    "SELECT 1 FROM leases WHERE name = 'capture' AND expires_at > UTC_TIMESTAMP(3)",
  );
  return {
    checkpoint,
    cleanStop,
    baseline,
    serverId: config.source.serverId ?? installation?.serverId ?? null,
    readerRuns: held.length > 0,
    webhooks: await loadWebhooks({ store, box: openBox(config.store) }),
  };
}
