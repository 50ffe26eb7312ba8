import { monotonicMs } from '../lib/clock.ts';

/** npm passes on to its child the signal that the terminal, or systemd, has sent to both: the two are one. */
const samePressMs = 1_000;

export interface Interrupt extends Disposable {
  /** The first SIGINT or SIGTERM. */
  readonly first: Promise<NodeJS.Signals>;
  /** Aborts with it. */
  readonly signal: AbortSignal;
}

/** Listens for SIGINT and SIGTERM until disposed of. One that comes a second after the first ends the process at once. */
export function onInterrupt(): Interrupt {
  const first = Promise.withResolvers<NodeJS.Signals>();
  const interrupted = new AbortController();
  let impatientFrom = Infinity;
  function interrupt(name: NodeJS.Signals): void {
    if (interrupted.signal.aborted) {
      if (monotonicMs() > impatientFrom) process.exit(1);
      return;
    }
    impatientFrom = monotonicMs() + samePressMs;
    first.resolve(name);
    interrupted.abort();
  }
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  return {
    first: first.promise,
    signal: interrupted.signal,
    [Symbol.dispose]() {
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    },
  };
}
