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
/** An answer of the store that takes longer than this is taken for lost. */
const FORGOTTEN_AFTER_MS = 30_000;

export interface UpkeepOptions {
  claimant: Claimant;
  log: Log;
  outages: FailureLog;
  /** Ids of the deliveries that this process has in hand. */
  held(): ReadonlySet<number>;
  /** How many processes share each webhook's limits, and which of them this one is. */
  onRank(share: { rank: number; of: number }): void;
  /** Something became due. */
  onDue(): void;
}

/** What must be done now and then: claims of dead processes end, and nothing waits for what is over. */
export function createUpkeep({ claimant, log, outages, held, onRank, onDue }: UpkeepOptions): Background {
  const { store } = claimant;
  let afterLane = 0;
  const loops = [
    createLoop({
      ...outages.part('upkeep failed, trying again'),
      async step() {
        // In this order: a store that could not be reached for a while must not make us take our own claims for orphans.
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
