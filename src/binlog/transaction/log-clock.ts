import type { Clock } from '../../lib/clock.ts';
import type { CommitTime, Position } from '../types.ts';

/*
 * MySQL's GTID events carry the commit time of the server's own clock. MariaDB's events carry the time at which the statement
 * began, which a session can set (`SET timestamp`), also in the format description of a file that its commit begins (10.11). What
 * no session can set:
 *
 *   a Query event       its time plus its duration is the server's clock (the duration is the difference, modulo 2^32)
 *   our own rows        our sessions set no timestamp; where the store is on the source they are in its log at every heartbeat
 *   a heartbeat         the server had sent everything that it had logged
 *   the log's end       as the server reported it when the reader was opened: what is behind it is later
 *
 * Each proves that the server's clock had passed a moment before what follows in the log was committed. A time before that
 * moment, or after the present, is not believed.
 */

/** A clock may be read a moment before its event is written, and machines differ. */
const AHEAD_MS = 2_000;
/** The longest time between a statement's start and its commit for which the start is reported; for a slower one, the end is. */
const EARLY_MS = 2_000;
/** While the last proof is so recent, reading keeps up with the log: what arrives now was committed just now. */
const LIVE_MS = 60_000;
/** A replica may be so far behind its source: an earlier time is not a commit time. */
const REPLICA_LAG_MS = 30 * 86_400_000;

/** When transactions were committed, from what the log proves and, where that does not do, from when they arrived. */
export class LogClock {
  readonly #clock: Clock;
  #passedMs: number | null = null;
  #lastMs: number | null;

  /** @param lastMs commit time of the transaction before the first one, ms since 1970 UTC; null when it is not known */
  constructor(clock: Clock, lastMs: number | null = null) {
    this.#clock = clock;
    this.#lastMs = lastMs !== null && lastMs > clock.now() + AHEAD_MS ? null : lastMs;
  }

  /** The latest moment that the server's clock is known to have passed, ms since 1970 UTC: the checkpoint keeps it. */
  get passedMs(): number | null {
    return this.#passedMs;
  }

  now(): number {
    return this.#clock.now();
  }

  /** Notes that what follows in the log was committed after a moment. One that lies in the future is not believed. */
  pass(ms: number): void {
    if (ms > this.now() + AHEAD_MS) return;
    if (this.#passedMs === null || ms > this.#passedMs) this.#passedMs = ms;
  }

  /**
   * The commit time of a transaction whose events say `toldMs`, in whole seconds, and whose first event arrived at `arrivedMs`.
   * `isReplicated`: its server is not the one whose log is read. `isBacklog`: it was in the log before reading began.
   */
  timeOf({ toldMs, arrivedMs, isReplicated, isBacklog = false }: Told): CommitTime {
    // A server's clock may be set back: what it has passed then lies in the future.
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
 * The commit time that a MySQL GTID event carries, ms since 1970 UTC: that of the original server where the transaction was
 * replicated, that of the server itself where it was not, or where the original time cannot be one: 0 stands for a source older
 * than 8.0, and a session with privileges can set any other. Undefined where the event has none.
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

/** A clock that knows what the checkpoint keeps of the time up to a position. */
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
