import type { Halt } from '../binlog/halt.ts';
import { estimateRunway, type Runway } from '../binlog/position/runway.ts';
import type { Source } from '../binlog/source/source.ts';
import type { Position } from '../binlog/types.ts';
import { findIdleHolder } from '../db/connection/lease.ts';
import { systemClock } from '../lib/clock.ts';
import { appErrorWithin } from '../lib/errors.ts';
import { readQueueDepths, readQueueErrors } from '../outbox/queue/claim.ts';
import { readCaptureState } from '../outbox/checkpoint.ts';
import { countAlive } from '../outbox/queue/heartbeat.ts';
import type { CaptureState } from '../outbox/types.ts';
import { countUnloggedCascades } from '../outbox/unlogged-cascades.ts';
import { listWebhooks } from '../outbox/webhook/webhook-registry.ts';
import type { WebhookRecord } from '../outbox/webhook/webhook-row.ts';
import type { WebhookStanding } from '../outbox/types.ts';
import type { EncryptedStore } from '../db/connection/encrypted-store.ts';

/** The state of the installation according to the store and the source, with or without a daemon. */
export interface InstallationStatus {
  daemon: {
    /** Processes that sent a heartbeat within the last seconds. */
    running: number;
    /** Whether one of them holds the lease to capture. */
    capturing: boolean;
  };
  capture: {
    /** Null before the first run. */
    position: Position | null;
    /** Commit time of the last transaction before it. */
    committed_at: string | null;
    /** Age of that transaction while there is more to read; 0 when everything is read; null if unknown. */
    lag_ms: number | null;
    halt: (Halt & { at: string }) | null;
    /** The holder of the capture lease if it does not capture; null otherwise. */
    blocked_by: string | null;
    /** Parents whose foreign keys may have changed watched tables without the log showing it. */
    unlogged_cascades: readonly { table: string; count: number; last_at: string }[];
  };
  source: SourceStatus | { error: string; remedy: string };
  webhooks: readonly WebhookStatus[];
}

export interface SourceStatus {
  /** Time until the log at the position may be purged; null if the server never purges its log. */
  until_purge_ms: number | null;
  behind_bytes: number;
  log_bytes: number;
}

export interface WebhookStatus {
  id: number;
  name: string;
  active: boolean;
  /** Whether deliveries are sent to it, and if not, why. */
  standing: WebhookStanding;
  /** Problems of its row. */
  problems: readonly string[];
  /** Why the engine disabled it. */
  disabled_reason: string | null;
  failing_since: string | null;
  /** Deliveries that are to be sent, or wait for an earlier one. */
  queued: number;
  sending: number;
  /** How the last attempt of a delivery that will be retried ended: `503`, `timeout`. */
  last_error: string | null;
}

/** Throws AppError ERR_STORE_*; a source that cannot be queried is part of the result. */
export async function readStatus(
  source: Source,
  vault: EncryptedStore,
  problems: ProblemsOf,
): Promise<InstallationStatus> {
  const { store } = vault;
  const state = await readCaptureState(store);
  const [daemon, blockedBy, webhooks, cascades, log] = await Promise.all([
    countAlive(store),
    findIdleHolder(store),
    readWebhookStatus(vault, problems),
    countUnloggedCascades(store),
    readSourceStatus(source, state),
  ]);
  const unlogged = cascades.map(({ table, count, lastAtMs }) => ({
    table,
    count,
    last_at: toMoment(lastAtMs),
  }));
  const capture = { ...toCapture(state, log), blocked_by: blockedBy, unlogged_cascades: unlogged };
  return { daemon, capture, source: log, webhooks };
}

/** Ids of checks that a status shows itself: a source that does not answer, and a halt. */
export const shownByStatus = ({
  source,
  capture,
}: Pick<InstallationStatus, 'source' | 'capture'>): string[] => [
  ...('error' in source ? ['connection'] : []),
  ...(capture.halt ? ['lineage'] : []),
];

async function readSourceStatus(
  source: Source,
  { checkpoint }: CaptureState,
): Promise<InstallationStatus['source']> {
  try {
    const position = checkpoint?.position ?? { gtid: null, file: '', offset: 0 };
    return toSourceStatus(await estimateRunway(source, position));
  } catch (error) {
    const known = appErrorWithin(error);
    if (known) return { error: known.message, remedy: known.remedy };
    return {
      error: 'The source does not tell how long it keeps its log.',
      remedy: 'odontology-webhooks check',
    };
  }
}

function toSourceStatus({ untilPurgeMs, behindBytes, logBytes }: Runway): SourceStatus {
  return { until_purge_ms: untilPurgeMs, behind_bytes: behindBytes, log_bytes: logBytes };
}

function toCapture(
  { checkpoint, halt }: CaptureState,
  source: InstallationStatus['source'],
): Omit<InstallationStatus['capture'], 'unlogged_cascades' | 'blocked_by'> {
  const committedAtMs = checkpoint?.committedAtMs ?? null;
  const isRead = 'behind_bytes' in source && source.behind_bytes === 0;
  const age = committedAtMs === null ? null : Math.max(0, systemClock.now() - committedAtMs);
  let told: InstallationStatus['capture']['halt'] = null;
  if (halt) {
    const { atMs, ...rest } = halt;
    told = { ...rest, at: toMoment(atMs) };
  }
  return {
    position: checkpoint?.position ?? null,
    committed_at: committedAtMs === null ? null : toMoment(committedAtMs),
    lag_ms: isRead ? 0 : age,
    halt: told,
  };
}

/** Problems of webhooks besides those shown by their rows, by id. */
type ProblemsOf = (webhooks: readonly WebhookRecord[]) => ReadonlyMap<number, readonly string[]>;

async function readWebhookStatus(vault: EncryptedStore, problemsOf: ProblemsOf): Promise<WebhookStatus[]> {
  const { store } = vault;
  const [records, depths, errors] = await Promise.all([
    listWebhooks(vault),
    readQueueDepths(store),
    readQueueErrors(store),
  ]);
  const depthOf = new Map(depths.map((depth) => [depth.webhookId, depth]));
  const wrong = problemsOf(records);
  return records.map(({ id, name, isActive, standing, problems, disabledReason, failingSince }) => {
    const { pending = 0, waiting = 0, sending = 0 } = depthOf.get(id) ?? {};
    return {
      id,
      name,
      active: isActive,
      standing,
      problems: [...new Set([...problems, ...(wrong.get(id) ?? [])])],
      disabled_reason: disabledReason,
      failing_since: failingSince && failingSince.toISOString(),
      queued: pending + waiting,
      sending,
      last_error: errors.get(id) ?? null,
    };
  });
}

function toMoment(ms: number): string {
  return new Date(ms).toISOString();
}
