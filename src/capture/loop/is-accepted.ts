import type { HaltError } from '../../binlog/halt.ts';
import { monotonicMs, sleep } from '../../lib/clock.ts';
import { EventTooLarge, fitsNow } from '../../outbox/append/require-fit.ts';
import { readCaptureState } from '../../outbox/checkpoint.ts';
import type { Claimant } from '../../outbox/types.ts';

/** How often the checkpoint is read while halted: an operator may have accepted the gap, which takes effect within 2 s. */
const HALT_POLL_MS = 1_000;
/** How often reading is retried while halted, because the cause may be gone. */
const HALT_RETRY_MS = 30_000;

/**
 * Reads the checkpoint until an operator has accepted the gap (returns true), or until it is time to retry (false): after `HALT_RETRY_MS`, or once the
 * store's server accepts the event that was too large for it.
 */
export async function isAccepted(
  {
    claimant,
    epoch,
    signal,
    halted,
  }: { claimant: Claimant; epoch: number; signal: AbortSignal; halted: HaltError },
  isHalted: () => boolean,
): Promise<boolean> {
  const { cause } = halted;
  const until = monotonicMs() + HALT_RETRY_MS;
  while (isHalted() && monotonicMs() < until) {
    if ((await readCaptureState(claimant.store)).epoch !== epoch) return true;
    // Not the limit of the newest connection: deliveries may have opened one after the change, so that no difference would be seen.
    if (cause instanceof EventTooLarge && (await fitsNow(claimant.store, cause.bytes))) return false;
    await sleep(HALT_POLL_MS, signal);
  }
  return false;
}
