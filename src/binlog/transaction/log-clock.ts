import type { Clock } from '../../lib/clock.ts';
import type { CommitTime, Position } from '../types.ts';

/*
 * MySQL's GTID events contain the commit time of the server's own clock. MariaDB's events contain the time at which the statement
 * began, which a session can set (`SET timestamp`), also in the format description of a file that its commit begins (10.11). Sessions
 * cannot set the following:
 *
 *   a Query event       its time plus its duration is the server's clock (the duration is the difference, modulo 2^32)
 *   our own rows        our sessions set no timestamp; if the store is on the source, its log has them at every heartbeat
 *   a heartbeat         the server had sent everything that it had logged
 *   the log's end       as the server reported it when the reader was opened: everything after it is later
 *
 * Each proves that the server's clock had passed a moment before the next events in the log were committed. A time before that moment,
 * or in the future, is not trusted.
 */

/** A clock may be read a moment before its event is written, and the clocks of two machines differ. */
const AHEAD_MS = 2_000;
/** Longest time from a statement's start to its commit for which the start is reported; for a slower statement, the end is. */
const EARLY_MS = 2_000;
/** While the last proof is this recent, reading keeps up with the log: events that arrive now were just committed. */
const LIVE_MS = 60_000;
/** Maximum lag of a replica behind its source: an earlier time is not a commit time. */
const REPLICA_LAG_MS = 30 * 86_400_000;

/** Determines when transactions were committed, from what the log proves, or else from when they arrived. */
export class LogClock {
  readonly #clock: Clock;
  #passedMs: number | null = null;
  #lastMs: number | null;

  /** @param lastMs commit time of the transaction before the first one, ms since 1970 UTC; null when it is not known */
  constructor(clock: Clock, lastMs: number | null = null) {
    this.#clock = clock;
    this.#lastMs = lastMs !== null && lastMs > clock.now() + AHEAD_MS ? null : lastMs;
  }

  /** The latest moment that the server's clock is known to have passed, ms since 1970 UTC; stored in the checkpoint. */
  get passedMs(): number | null {
    return this.#passedMs;
  }

  now(): number {
    return this.#clock.now();
  }

  /** Notes that later events in the log were committed after a moment. A moment in the future is not trusted. */
  pass(ms: number): void {
    if (ms > this.now() + AHEAD_MS) return;
    if (this.#passedMs === null || ms > this.#passedMs) this.#passedMs = ms;
  }

  /**
   * Returns the commit time of a transaction whose events contain `toldMs`, in whole seconds, and whose first event arrived at
   * `arrivedMs`. `isReplicated`: another server than the one whose log is read wrote it. `isBacklog`: it was in the log before reading
   * began.
   */
  timeOf({ toldMs, arrivedMs, isReplicated, isBacklog = false }: Told): CommitTime {
    // If a server's clock is set back, the moments it has passed lie in the future.
    const passedMs = this.#passedMs === null ? null : Math.min(this.#passedMs, arrivedMs);
    const earliestMs = isReplicated ? arrivedMs - REPLICA_LAG_MS : (passedMs ?? 0) - EARLY_MS;
    const isBelieved = toldMs > 0 && toldMs + 999 >= earliestMs && toldMs <= arrivedMs + AHEAD_MS;
    if (isBelieved) {
      this.#lastMs = toldMs;
      return { committedAtMs: toldMs, isEstimated: false };
    }
    const isLive = !isBacklog && (passedMs === null || arrivedMs - passedMs <= LIVE_MS);
    const beforeMs = Math.max(passedMs ?? 0, Math.min(this.#lastMs ?? 0, arrivedMs));
    const estimateMs = isLive || beforeMs === 0 ? arrivedMs : beforeMs;
    return { committedAtMs: Math.floor(estimateMs), isEstimated: true };
  }
}

interface Told {
  toldMs: number;
  arrivedMs: number;
  isReplicated: boolean;
  isBacklog?: boolean;
}

/**
 * Returns the commit time in a MySQL GTID event, ms since 1970 UTC: the original server's time for a replicated transaction; the
 * server's own time for any other, or if the original time is implausible: 0 means a source older than 8.0, and a privileged session
 * can set any other. Undefined if the event has none.
 */
export function mysqlCommitMs(
  { immediateMicros, originalMicros }: { immediateMicros: bigint; originalMicros: bigint },
  isReplicated: boolean,
): number | undefined {
  if (immediateMicros <= 0n) return undefined;
  const immediateMs = Number(immediateMicros / 1000n);
  const originalMs = Number(originalMicros / 1000n);
  const isPlausible = originalMs <= immediateMs && originalMs >= immediateMs - REPLICA_LAG_MS;
  return isReplicated && isPlausible ? originalMs : immediateMs;
}

/** Creates a clock from the times in the checkpoint of a position. */
export function clockBehind(
  {
    position,
    time,
  }: { position: Position; time?: { committedAtMs: number | null; passedMs: number | null } },
  clock: Clock,
): LogClock {
  const logClock = new LogClock(clock, time?.committedAtMs);
  for (const ms of [time?.passedMs, position.fileCreatedAt && position.fileCreatedAt * 1_000])
    if (ms !== null && ms !== undefined) logClock.pass(ms);
  return logClock;
}
