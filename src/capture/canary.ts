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
 * Detects whether capture makes progress, which neither silence nor a heartbeat shows:
 *
 *   our row of `leases` was written within 1.5 s, or is written now ─▶ the canary asks the source where its log ends ─▶ capture has read and mapped up to there: the canary returned
 *
 * If the store is on the source server, the row itself is in the log before that end, so that it must arrive even when the clinic is idle. Otherwise the
 * log ends with the last write of the application: heartbeats then detect a dead connection, and the canary detects a stuck reader or outbox. The canary
 * is identified by its log position, so none of our own tables is watched or decoded.
 */

export interface CanaryOptions {
  claimant: Claimant;
  source: Source;
  identity(): SourceIdentity;
  capture(): CaptureStatus;
  /** The source's address now leads to a different server than the one that capture reads. */
  onMoved(): void;
  /** The source's log ends before the position that was read: it was reset under the reader, which the server may not notice. */
  onShortened(end: LogPlace): void;
  everyMs: number;
  outages: FailureLog;
}

export interface CanaryStatus {
  /** Time since the last returned canary was sent. */
  ageMs: number;
  /** Time since the oldest pending canary was sent; 0 when none is pending. */
  lagMs: number;
}

export interface Canary extends Background {
  /** Null in a process that does not capture. */
  status(): CanaryStatus | null;
}

/** Maximum number of pending canaries: the oldest measure the lag; after a RESET or a failover only the newest can return. */
const MAXIMUM_SENT = 100;

export function createCanary(options: CanaryOptions): Canary {
  const { claimant, source, identity, capture, onMoved, onShortened, everyMs, outages } = options;
  /** Pending canaries, oldest first. */
  let sent: { atMs: number; end: LogPlace }[] = [];
  /** Time at which the last returned canary was sent; at first, the time at which capture began. */
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
      // Our reader's connection may survive a failover and receive the demoted server's heartbeats forever.
      const { serverUuid } = await source.identify();
      if (capture().role === 'capturing' && serverUuid !== identity().serverUuid) onMoved();
      // Read before asking for the end: the reader continues while the answer is pending and could be past that end.
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
