import { readLogStatus } from '../binlog/source/log-file.ts';
import { endsBefore, hasReached } from '../binlog/position/log-place.ts';
import type { Source, SourceIdentity } from '../binlog/source/source.ts';
import type { LogPlace } from '../binlog/types.ts';
import { monotonicMs } from '../lib/clock.ts';
import { createLoop, type Background } from '../lib/loop/loop.ts';
import type { FailureLog } from '../lib/loop/failure-log.ts';
import { registerProcess, saidWithLeaseMs } from '../outbox/queue/heartbeat.ts';
import type { Claimant } from '../outbox/types.ts';
import type { CaptureStatus } from './capture-status.ts';

/*
 * Whether capture makes progress, which neither silence nor a heartbeat shows:
 *
 *   our row of `leases` was written within 1.5 s, or is now ─▶ the source is asked where its log ends now ─▶ capture has read and mapped that far: it is back
 *
 * Where the store is on the source server, the row itself is in the log before that end, so that it must arrive even when
 * the clinic is idle. Where it is not, the log ends where the application left it: heartbeats then detect a dead connection,
 * and the canary detects a reader or an outbox that is stuck. It is found by its place, so nothing of ours is watched or decoded.
 */

export interface CanaryOptions {
  claimant: Claimant;
  source: Source;
  identity(): SourceIdentity;
  capture(): CaptureStatus;
  /** The source's address leads to another server than the one that capture was opened on. */
  onMoved(): void;
  /** The source's log ends before what was read of it: it was reset under the reader, which the server may not notice. */
  onShortened(end: LogPlace): void;
  everyMs: number;
  outages: FailureLog;
}

export interface CanaryStatus {
  /** Since the last one that came back was sent. */
  ageMs: number;
  /** Since the oldest one that has not come back was sent; 0 when none is under way. */
  lagMs: number;
}

export interface Canary extends Background {
  /** Null in a process that does not capture. */
  status(): CanaryStatus | null;
}

/** So many are under way at most, the oldest for the lag and the newest: after a RESET or a failover only those can come back. */
const MAXIMUM_SENT = 100;

export function createCanary(options: CanaryOptions): Canary {
  const { claimant, source, identity, capture, onMoved, onShortened, everyMs, outages } = options;
  /** Under way, oldest first. */
  let sent: { atMs: number; end: LogPlace }[] = [];
  /** When the last one that came back was sent; at the beginning, when capture began. */
  let returnedMs: number | null = null;

  function status(): CanaryStatus | null {
    const { role, doneTo } = capture();
    if (role === 'standby') {
      sent = [];
      returnedMs = null;
      return null;
    }
    const nowMs = monotonicMs();
    const back = doneTo ? sent.findLastIndex(({ end }) => hasReached(doneTo, end)) : -1;
    returnedMs = sent[back]?.atMs ?? returnedMs ?? nowMs;
    sent = sent.slice(back + 1);
    return { ageMs: nowMs - returnedMs, lagMs: sent[0] ? nowMs - sent[0].atMs : 0 };
  }

  const loop = createLoop({
    async step() {
      if (status() === null) return everyMs;
      const atMs = monotonicMs();
      await registerProcess(claimant, { unlessWithinMs: saidWithLeaseMs });
      // Our reader's connection may outlive a failover, and hear the demoted server's heartbeats for ever.
      const { serverUuid } = await source.identify();
      if (capture().role === 'capturing' && serverUuid !== identity().serverUuid) onMoved();
      // Read before the end is asked for: an answer that was under way while the reader read on would be behind it.
      const { doneTo } = capture();
      const end = await readLogStatus(source, identity());
      if (end && doneTo && endsBefore(end, doneTo)) onShortened(end);
      else if (end) sent.push({ atMs, end });
      if (sent.length > MAXIMUM_SENT) sent.splice(1, 1);
      return Math.max(0, everyMs - (monotonicMs() - atMs));
    },
    ...outages.part('the canary could not be sent, trying again'),
    backoff: { firstMs: 250, maxMs: everyMs },
  });
  return { start: () => loop.start(), stop: () => loop.stop(), status };
}
