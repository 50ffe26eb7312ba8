import { estimateRunway, type Runway } from '../../binlog/position/runway.ts';
import type { Source } from '../../binlog/source/source.ts';
import type { Store } from '../../db/connection/client.ts';
import type { Log } from '../../lib/log.ts';
import { createLoop, type Background } from '../../lib/loop/loop.ts';
import type { FailureLog } from '../../lib/loop/failure-log.ts';
import { readCaptureState } from '../../outbox/checkpoint.ts';

/** The server may purge expired logs at any time: this interval is short enough to notice the last hour in advance. */
const EVERY_MS = 60_000;
/** Interval until there is a checkpoint. */
const FIRST_MS = 1_000;
/**
 * Reported when less than this remains, or less than half of what the server keeps if that is shorter, and again at each half of the last
 * report.
 */
const EARLY_MS = 24 * 3_600_000;

export interface RunwayWatchOptions {
  source: Source;
  store: Store;
  log: Log;
  outages: FailureLog;
}

export interface RunwayWatch extends Background {
  /** The last reading; undefined before the first. */
  latest(): Runway | undefined;
}

/** Forecasts when the log at the checkpoint may be purged, and warns while there is time. */
export function createRunwayWatch({ source, store, log, outages }: RunwayWatchOptions): RunwayWatch {
  let latest: Runway | undefined;
  let toldMs = Infinity;
  const loop = createLoop({
    async step() {
      const { checkpoint } = await readCaptureState(store);
      if (!checkpoint) return FIRST_MS;
      latest = await estimateRunway(source, checkpoint.position);
      const untilMs = latest.untilPurgeMs ?? Infinity;
      if (!isShort(latest)) toldMs = Infinity;
      else if (untilMs <= toldMs / 2) {
        toldMs = untilMs;
        log.warn(
          { until_purge_s: Math.round(untilMs / 1_000), behind_bytes: latest.behindBytes },
          `the log that is still to be read may be purged in ${Math.round(untilMs / 60_000)} minutes: let the server keep ` +
            'it for longer, and see with `status` what holds capture up',
        );
      }
      return EVERY_MS;
    },
    ...outages.part('how long the log is kept could not be looked at, trying again'),
  });
  return { start: () => loop.start(), stop: () => loop.stop(), latest: () => latest };
}

/**
 * Whether a person should be warned.
 * @internal
 */
export function isShort({ untilPurgeMs, retentionMs, behindBytes }: Runway): boolean {
  if (untilPurgeMs === null || behindBytes === 0) return false;
  return untilPurgeMs < Math.min(EARLY_MS, (retentionMs ?? Infinity) / 2);
}
