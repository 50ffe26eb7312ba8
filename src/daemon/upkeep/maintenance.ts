import { endEncryption } from '../../audit/act/adopt.ts';
import { sealedErasures } from '../../audit/act/sealed-erasures.ts';
import { engine } from '../../audit/act/record-act.ts';
import { recordMissed } from '../../audit/act/record-along.ts';
import { isReplayExplained, recordReplayEnd } from '../../audit/act/replay-acts.ts';
import type { Config } from '../../config/types.ts';
import { acquireLease, leaseTiming, readLeaseHolder } from '../../db/connection/lease.ts';
import { monotonicMs } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { createLoop, type Background } from '../../lib/loop/loop.ts';
import type { FailureLog } from '../../lib/loop/failure-log.ts';
import { destroyKeys } from '../../outbox/payload/destroy-keys.ts';
import { endOrphans } from '../../outbox/queue/end-queued.ts';
import { closeMissed } from '../../outbox/webhook/missed.ts';
import { listRunningReplays } from '../../outbox/replay/replay.ts';
import { stepReplay } from '../../outbox/replay/replay-step.ts';
import { readClearTo } from '../../outbox/payload/payload-acts.ts';
import { encryptPayloads } from '../../outbox/payload/encrypt-payloads.ts';
import type { Claimant, Subscription } from '../../outbox/types.ts';
import { findLongFailing } from '../../outbox/webhook/webhook-state.ts';
import type { AuditWatch } from './audit-watch.ts';
import type { DisableByEngine } from '../disable-webhook.ts';
import { prune } from './retention.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

const HOUSEKEEPING_EVERY_MS = 10_000;
const REPLAY_POLL_MS = 1_000;
/** Pause between two batches, so that removing millions of rows leaves capacity of the store to others. */
const BATCH_PAUSE_MS = 20;
/** Pause between two steps that delay appends. */
const SEALING_PAUSE_MS = 100;

export interface MaintenanceOptions {
  claimant: Claimant;
  vault: EncryptedStore;
  log: Log;
  retention: Config['retention'];
  disableAfterMs: number;
  outages: FailureLog;
  webhooks(): readonly Subscription[];
  disable: DisableByEngine;
  audit: Pick<AuditWatch, 'memory' | 'guard'>;
  /** Called when something became due. */
  onDue(): void;
}

/** Tasks that one of the processes does for all: retention, replays, and webhooks that have failed for too long. */
export function createMaintenance(options: MaintenanceOptions): Background {
  const { audit, claimant, log, outages, retention, vault } = options;
  const { store, owner } = claimant;

  /**
   * Whether this process has the task: the process that captures does, by a lease that it renews anyway; while none captures, the first
   * that asks.
   */
  const isOurs = async (): Promise<boolean> => {
    const capturing = await readLeaseHolder(store, 'capture');
    if (capturing !== null) return capturing === owner;
    const lease = { name: 'maintenance', holder: owner, ttlMs: leaseTiming.ttlMs };
    return (await acquireLease(store, lease)) !== null;
  };

  const stepReplays = createReplaySteps(options);
  const sealOld = createPayloadEncryption(options);
  let toldUnexplained = 0;
  const loops = [
    createLoop({
      ...audit.guard(outages.part('what outlived its retention could not be dropped, trying again')),
      async step() {
        if (!(await isOurs())) return HOUSEKEEPING_EVERY_MS;
        return (await prune(vault, retention, { memory: audit.memory })).more
          ? BATCH_PAUSE_MS
          : HOUSEKEEPING_EVERY_MS;
      },
    }),
    createLoop({
      ...outages.part('maintenance failed, trying again'),
      async step() {
        if (!(await isOurs())) return HOUSEKEEPING_EVERY_MS;
        for (const { id } of await findLongFailing(store, options.disableAfterMs)) {
          await options.disable(id, 'failing');
        }
        await endOrphans(store);
        const collecting = options.webhooks().filter(({ collects }) => collects);
        await closeMissed(
          store,
          collecting.map(({ id }) => id),
          recordMissed(claimant.cipher),
        );
        return HOUSEKEEPING_EVERY_MS;
      },
    }),
    createLoop({
      ...outages.part('the key file could not be looked after, trying again'),
      // Runs in every process: each has read the file.
      async step() {
        const { unexplained } = await destroyKeys(claimant, sealedErasures(claimant));
        if (unexplained > 0 && unexplained !== toldUnexplained)
          log.error(
            { keys: unexplained },
            'keys are named as destroyed, and no sealed erasure gave them up: they are kept',
          );
        toldUnexplained = unexplained;
        return HOUSEKEEPING_EVERY_MS;
      },
    }),
    createLoop({
      ...outages.part('maintenance failed, trying again'),
      async step() {
        if (!(await isOurs())) return HOUSEKEEPING_EVERY_MS;
        return (await sealOld()) ? SEALING_PAUSE_MS : HOUSEKEEPING_EVERY_MS;
      },
    }),
    createLoop({
      ...outages.part('maintenance failed, trying again'),
      async step() {
        const running = await listRunningReplays(store);
        if (running.length === 0 || !(await isOurs())) return REPLAY_POLL_MS;
        return stepReplays(running);
      },
    }),
  ];
  return {
    start: () => loops.forEach((loop) => loop.start()),
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()));
    },
  };
}

/** One step of encrypting rows that were written before a key was configured. Returns whether there is more to do at once. */
function createPayloadEncryption({ claimant, log }: MaintenanceOptions): () => Promise<boolean> {
  let lastSeq: number | undefined;
  let sealed = 0;
  let done = false;
  return async () => {
    if (done) return false;
    lastSeq ??= await readClearTo(claimant.store, claimant.cipher);
    const step = await encryptPayloads(claimant, lastSeq);
    sealed += step.encrypted;
    done = step.kind === 'done';
    if (done && lastSeq > 0) await endEncryption(claimant.store, claimant.cipher);
    if (done && sealed > 0)
      log.info({ events: sealed }, 'payloads from before the key was set are encrypted now');
    return step.kind === 'encrypted';
  };
}

const unexplainedReplay = 'this replay is not carried out: SQL made it, or changed what it asks for';

/** One step of every replay that is due. Returns how long to wait for the next, ms. */
function createReplaySteps({
  claimant,
  log,
  webhooks,
  onDue,
}: MaintenanceOptions): (ids: readonly number[]) => Promise<number> {
  let dueAtMs = new Map<number, number>();
  const refused = new Set<number>();
  return async (ids) => {
    const next = new Map<number, number>();
    for (const id of ids) {
      const dueMs = dueAtMs.get(id) ?? 0;
      if (dueMs > monotonicMs()) {
        next.set(id, dueMs);
        continue;
      }
      if (!(await isReplayExplained(claimant.store, claimant.cipher, id))) {
        if (!refused.has(id)) log.error({ replay: id }, unexplainedReplay);
        refused.add(id);
        continue;
      }
      const { queued, waitMs } = await stepReplay(claimant, id, {
        webhooks: webhooks(),
        onEnd: recordReplayEnd(claimant.cipher, engine),
      });
      if (queued > 0) onDue();
      if (waitMs !== null) next.set(id, monotonicMs() + waitMs);
    }
    dueAtMs = next;
    return Math.max(0, Math.min(REPLAY_POLL_MS, ...[...next.values()].map((dueMs) => dueMs - monotonicMs())));
  };
}
