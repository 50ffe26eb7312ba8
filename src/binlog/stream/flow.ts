import { monotonicMs } from '../../lib/clock.ts';

/** Heartbeats that may be missed before the connection is considered dead. */
const MISSED_HEARTBEATS = 3;
/** A reader held back longer than this disconnects: the server would close the connection anyway, without the client noticing. */
const HELD_BACK_MS = 30_000;

/** Tracks whether the server is being held back, and how long it has been silent. Times are of the monotonic clock. */
export class Flow {
  #heardAt = monotonicMs();
  #bytesRead = 0;
  #heldSince: number | undefined;
  /** When reading last resumed after being held back. */
  #resumedAt = -Infinity;
  /** Resolves the promise of `released`. */
  #waiting: (() => void) | undefined;

  get isHeld(): boolean {
    return this.#heldSince !== undefined;
  }

  /** Milliseconds since the server last sent anything; 0 while it is held back. */
  get silentMs(): number {
    return this.isHeld ? 0 : monotonicMs() - this.#heardAt;
  }

  /** Milliseconds since it was last held back. */
  get sinceHeldMs(): number {
    return monotonicMs() - this.#resumedAt;
  }

  /** Returns why the connection is considered dead, or undefined. A paused reader does not receive the server's heartbeats. */
  findFault(
    { heartbeatMs, heldBackMs: limitMs = HELD_BACK_MS }: { heartbeatMs: number; heldBackMs?: number },
    isPaused: boolean,
  ): string | undefined {
    const heldMs = this.#heldSince === undefined ? 0 : monotonicMs() - this.#heldSince;
    if (heldMs > limitMs) return `the outbox took nothing for ${limitMs / 1_000} s; the buffer is full`;
    if (!isPaused && this.silentMs > heartbeatMs * MISSED_HEARTBEATS)
      return `the server was silent for ${MISSED_HEARTBEATS} heartbeats`;
    return undefined;
  }

  hear(): void {
    this.#heardAt = monotonicMs();
  }

  /** A single event may be a gigabyte: while its bytes arrive, the server is not silent. */
  countBytes(bytesRead: number): void {
    if (bytesRead === this.#bytesRead) return;
    this.#bytesRead = bytesRead;
    this.hear();
  }

  hold(): void {
    this.#heldSince ??= monotonicMs();
  }

  release(): void {
    this.#heldSince = undefined;
    this.#resumedAt = this.#heardAt = monotonicMs();
    this.wake();
  }

  /** Resolves when the server is no longer held back, or when `wake` is called. */
  released(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  wake(): void {
    this.#waiting?.();
    this.#waiting = undefined;
  }
}
