import type { CleanStop } from '../binlog/position/verdict.ts';
import type { Baseline } from '../binlog/types.ts';
import type { Config, ConfiguredWebhook } from '../config/types.ts';
import { openCipher, type Cipher } from '../crypto/cipher.ts';
import type { Store } from '../db/connection/client.ts';
import { isInForce } from '../db/connection/lease.ts';
import { readMarker } from '../db/proof/marks.ts';
import { readCaptureState } from '../outbox/checkpoint.ts';
import type { Checkpoint } from '../outbox/types.ts';
import { isRefused, readClaims } from '../outbox/webhook/file-claims.ts';
import { loadWebhooks } from '../outbox/webhook/webhook-registry.ts';
import { digestOf } from '../outbox/webhook/webhook-sync.ts';

/** State of the store before a start, for a store that was used before. */
export interface KnownState {
  checkpoint: Checkpoint | null;
  cleanStop: CleanStop | null;
  baseline: Baseline;
  /** Null before the first run, unless the configuration sets it. */
  serverId: number | null;
  /** Whether a daemon holds the capture lease now. */
  readerRuns: boolean;
  /** Webhooks that the database manages, and the problems of their rows. */
  webhooks: Awaited<ReturnType<typeof loadWebhooks>>;
  /** Names of webhooks of this file that a running daemon uses with another definition. */
  refused: readonly string[];
}

/** The state of a store that was not used before. */
const nothingKnown: KnownState = {
  checkpoint: null,
  cleanStop: null,
  baseline: {},
  serverId: null,
  readerRuns: false,
  webhooks: { webhooks: [], problems: [] },
  refused: [],
};

/** Reads the state of a store that is up to date. */
export async function readKnownState(store: Store, config: Config): Promise<KnownState> {
  const cipher = openCipher(config.store);
  const { checkpoint, cleanStop, baseline } = await readCaptureState(store);
  const [installation] = await store.rows<{ serverId: number }>(
    'SELECT server_id AS serverId FROM installation',
  );
  const held = await store.rows(`SELECT 1 FROM leases WHERE name = 'capture' AND ${isInForce}`);
  return {
    checkpoint,
    cleanStop,
    baseline,
    serverId: config.source.serverId ?? installation?.serverId ?? null,
    readerRuns: held.length > 0,
    webhooks: await loadWebhooks({ store, cipher }),
    refused: await readRefusedNames(store, config, cipher),
  };
}

/** The state of a store that cannot be reached. */
export const unknownState = ({ source }: Config): KnownState => ({
  ...nothingKnown,
  serverId: source.serverId,
});

/**
 * Same as `readKnownState`, for a report: if the store does not answer, nothing is known, and the preflight reports why it does not answer.
 */
export async function tryReadKnownState(store: Store, config: Config): Promise<KnownState> {
  try {
    return await readKnownState(store, config);
  } catch {
    return unknownState(config);
  }
}

/** Returns nothing if the encryption key is not the store's: that mistake is reported separately. */
async function readRefusedNames(store: Store, { webhooks }: Config, cipher: Cipher): Promise<string[]> {
  const claims = await readClaims(store);
  const marker = claims.length === 0 ? null : await readMarker(store, cipher);
  if (!marker) return [];
  const isDifferent = (webhook: ConfiguredWebhook): boolean =>
    isRefused(claims, { name: webhook.name, digest: digestOf(marker, webhook) });
  return webhooks.filter(isDifferent).map(({ name }) => name);
}
