import type { Session } from '../db/connection/client.ts';
import {
  acquireLease,
  findIdleHolder,
  leaseTiming,
  releaseLease,
  renewLease,
  type Lease,
} from '../db/connection/lease.ts';
import { monotonicMs, sleep } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { FailureReporter } from '../lib/loop/failure-log.ts';
import { extendAlive } from '../outbox/queue/heartbeat.ts';
import type { Claimant } from '../outbox/types.ts';

interface Taking {
  claimant: Claimant;
  log: Log;
  /** Success and failure of extending the lease. */
  reports: FailureReporter;
  signal: AbortSignal;
}

/**
 * Runs `work` while this process has the capture lease. The signal aborts when another process takes the lease, or when it could not be extended in time.
 * Returns false at once when another process has the lease.
 */
export async function withCaptureLease(
  { claimant, log, reports, signal }: Taking,
  work: (lease: Lease, held: AbortSignal) => Promise<void>,
): Promise<boolean> {
  const { store, owner } = claimant;
  const lease = await acquireLease(store, { name: 'capture', holder: owner, ttlMs: leaseTiming.ttlMs });
  if (!lease) return false;
  if (lease.forgedBy !== undefined) {
    log.warn(
      { holder: lease.forgedBy },
      'the capture lease named a holder that is no running daemon, or expired later than any daemon sets: something other than this ' +
        'program wrote it; this daemon captures',
    );
  }
  const over = new AbortController();
  const held = AbortSignal.any([signal, over.signal]);
  const renewing = renewWhile(held, { claimant, reports, lease }).then(() => over.abort());
  try {
    await work(lease, held);
  } finally {
    over.abort();
    await renewing;
    // Without the lease, only the process's own row shows that it is alive.
    await extendAlive(claimant);
    await releaseLease(store, lease);
  }
  return true;
}

/** Extends the lease until the signal aborts or the lease is lost. */
async function renewWhile(
  signal: AbortSignal,
  { claimant: { store }, reports, lease }: { claimant: Claimant; reports: FailureReporter; lease: Lease },
): Promise<void> {
  let renewedAt = monotonicMs();
  while (!signal.aborted) {
    await sleep(leaseTiming.renewMs, signal);
    if (signal.aborted) return;
    try {
      if (!(await renewLease(store, lease, leaseTiming.ttlMs))) return;
      renewedAt = monotonicMs();
      reports.onRecovered();
    } catch (error) {
      reports.onError(error);
      if (monotonicMs() - renewedAt > leaseTiming.ttlMs) return;
    }
  }
}

/** A process begins to capture within 1 s after it took the lease, and a killed process loses the lease within 6 s. */
const IDLE_AFTER_MS = 15_000;

/**
 * Watches, on a standby, whether the holder of the lease captures. `look` returns the holder's name when it has not captured for `IDLE_AFTER_MS`, and logs
 * this once; otherwise null.
 */
export function createIdleHolderWatch(session: Session, log: Log): { look(): Promise<string | null> } {
  let idle: { holder: string; sinceMs: number; isLogged: boolean } | null = null;
  return {
    async look() {
      const holder = await findIdleHolder(session);
      if (holder !== idle?.holder)
        idle = holder === null ? null : { holder, sinceMs: monotonicMs(), isLogged: false };
      if (idle === null || monotonicMs() - idle.sinceMs < IDLE_AFTER_MS) return null;
      if (!idle.isLogged)
        log.error({ holder, remedy: freeLease }, 'the holder of the lease to capture does not capture');
      idle.isLogged = true;
      return holder;
    },
  };
}

/** The remedy for a lease whose holder does not capture. */
export const freeLease =
  "Stop the process that writes it, then free the lease in the schema of the store: DELETE FROM leases WHERE name = 'capture';";
