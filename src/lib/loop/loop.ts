import { backoffMs, type BackoffOptions } from './backoff.ts';
import { sleep } from '../clock.ts';

/** The start/stop contract of every background part: start twice, stop twice, stop before start are safe; stop waits. */
export interface Background {
  start(): void;
  stop(): Promise<void>;
}

export interface LoopVerbs {
  /** One step. Returns how long to wait before the next one, in ms; it must return soon once the signal aborts. */
  step(signal: AbortSignal): Promise<number>;
  /** Called with every error of a step; the loop then waits by `backoff` and continues. */
  onError(error: unknown, failures: number): void;
  /** Called after every successful step. */
  onRecovered?(): void;
  backoff?: BackoffOptions;
}

export interface Loop extends Background {
  /** Ends the current wait, so that the next step runs at once. */
  wake(): void;
}

/** Repeats a step until stopped. The loop waits, retries and stops; the step holds the logic and is what tests call. */
export function createLoop({
  step,
  onError,
  onRecovered,
  backoff = { firstMs: 250, maxMs: 5_000 },
}: LoopVerbs): Loop {
  let stopping = new AbortController();
  let waiting = new AbortController();
  let woken = false;
  let running: Promise<void> | undefined;

  async function run(signal: AbortSignal): Promise<void> {
    let failures = 0;
    while (!signal.aborted) {
      woken = false;
      let waitMs: number;
      try {
        waitMs = await step(signal);
        failures = 0;
        onRecovered?.();
      } catch (error) {
        if (signal.aborted) return;
        onError(error, failures);
        waitMs = backoffMs(failures, backoff);
        failures += 1;
      }
      if (waitMs > 0 && !woken && !signal.aborted) {
        waiting = new AbortController();
        await sleep(waitMs, AbortSignal.any([signal, waiting.signal]));
      }
    }
  }

  return {
    start() {
      if (running) return;
      stopping = new AbortController();
      running = run(stopping.signal);
    },
    async stop() {
      stopping.abort();
      await running;
      running = undefined;
    },
    wake() {
      // At most once a step: each abort creates an error with a stack, which took a tenth of the time of a full queue that wakes at every response.
      if (woken) return;
      woken = true;
      waiting.abort();
    },
  };
}
