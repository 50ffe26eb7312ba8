import type { Log } from '../../lib/log.ts';
import { createLoop, type Background } from '../../lib/loop/loop.ts';
import type { FailureLog } from '../../lib/loop/failure-log.ts';
import { releaseForgotten, rescueExpired } from '../../outbox/queue/release-claims.ts';
import {
  registerProcess,
  unregisterProcess,
  expireOrphans,
  readRank,
  saidWithLeaseMs,
} from '../../outbox/queue/heartbeat.ts';
import type { Claimant } from '../../outbox/types.ts';
import { sweepLanes } from '../../outbox/queue/promote.ts';

const RESCUE_EVERY_MS = 2_000;
const SWEEP_EVERY_MS = 5_000;
const SWEEP_LANES = 1_000;
const FORGOTTEN_EVERY_MS = 5_000;
/** An answer of the store that takes longer than this counts as lost. */
const FORGOTTEN_AFTER_MS = 30_000;

export interface UpkeepOptions {
  claimant: Claimant;
  log: Log;
  outages: FailureLog;
  /** Ids of the deliveries that this process holds. */
  held(): ReadonlySet<number>;
  /** How many processes share each webhook's limits, and the rank of this one. */
  onRank(share: { rank: number; of: number }): void;
  /** Called when something became due. */
  onDue(): void;
}

/** Periodic tasks: ends claims of dead processes, and promotes deliveries whose predecessor has ended. */
export function createUpkeep({ claimant, log, outages, held, onRank, onDue }: UpkeepOptions): Background {
  const { store } = claimant;
  let afterLane = 0;
  const loops = [
    createLoop({
      ...outages.part('upkeep failed, trying again'),
      async step() {
        // Heartbeat first: after a store outage our own lease may have expired, and our live claims would be treated as orphans.
        await registerProcess(claimant, { unlessWithinMs: saidWithLeaseMs });
        onRank(await readRank(claimant));
        const forged = await expireOrphans(claimant);
        if (forged > 0) {
          log.warn(
            { forged },
            'rows of `leases` expired later than any daemon sets: something other than this program wrote them; they were removed',
          );
        }
        const rescued = await rescueExpired(claimant);
        if (rescued > 0) {
          log.warn({ rescued }, 'claims expired without an outcome: those deliveries are sent again');
          onDue();
        }
        return rescued > 0 ? 0 : RESCUE_EVERY_MS;
      },
    }),
    createLoop({
      ...outages.part('upkeep failed, trying again'),
      async step() {
        const released = await releaseForgotten(claimant, { held, afterMs: FORGOTTEN_AFTER_MS });
        if (released > 0) {
          log.warn(
            { released },
            'claims whose answer was lost are taken back: those deliveries are sent now',
          );
          onDue();
        }
        return FORGOTTEN_EVERY_MS;
      },
    }),
    createLoop({
      ...outages.part('upkeep failed, trying again'),
      async step() {
        const { promoted, nextLane } = await sweepLanes(store, { afterLane, lanes: SWEEP_LANES });
        afterLane = nextLane ?? 0;
        if (promoted > 0) onDue();
        return nextLane === null ? SWEEP_EVERY_MS : 50;
      },
    }),
  ];
  return {
    start: () => loops.forEach((loop) => loop.start()),
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()));
      await unregisterProcess(claimant);
    },
  };
}
