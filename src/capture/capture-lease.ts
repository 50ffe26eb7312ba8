import { acquireLease, leaseTiming, releaseLease, renewLease, type Lease } from '../db/connection/lease.ts';
import { monotonicMs, sleep } from '../lib/clock.ts';
import { messageOf } from '../lib/errors.ts';
import type { Log } from '../lib/log.ts';
import { extendAlive } from '../outbox/queue/liveness.ts';
import type { Claimant } from '../outbox/types.ts';

/**
 * Runs `work` while this process has the capture lease; its signal aborts when the lease passes to another, or could not be
 * extended in time. Returns false at once when another process has it.
 */
export async function withCaptureLease(
  { claimant, log, signal }: { claimant: Claimant; log: Log; signal: AbortSignal },
  work: (lease: Lease, held: AbortSignal) => Promise<void>,
): Promise<boolean> {
  const { store, owner } = claimant;
  const lease = await acquireLease(store, { name: 'capture', holder: owner, ttlMs: leaseTiming.ttlMs });
  if (!lease) return false;
  const over = new AbortController();
  const held = AbortSignal.any([signal, over.signal]);
  const renewing = renewWhile(held, { claimant, log, lease }).then(() => over.abort());
  try {
    await work(lease, held);
  } finally {
    over.abort();
    await renewing;
    // Without the lease, its own row alone says that this process lives.
    await extendAlive(claimant);
    await releaseLease(store, lease);
  }
  return true;
}

/** Extends the lease until the signal aborts, or until it is lost. */
async function renewWhile(
  signal: AbortSignal,
  { claimant: { store }, log, lease }: { claimant: Claimant; log: Log; lease: Lease },
): Promise<void> {
  let renewedAt = monotonicMs();
  while (!signal.aborted) {
    await sleep(leaseTiming.renewMs, signal);
    if (signal.aborted) return;
    try {
      if (!(await renewLease(store, lease, leaseTiming.ttlMs))) return;
      renewedAt = monotonicMs();
    } catch (error) {
      log.warn({ error: messageOf(error) }, 'the capture lease could not be extended');
      if (monotonicMs() - renewedAt > leaseTiming.ttlMs) return;
    }
  }
}
