import { constants } from 'node:os';
import { monotonicMs } from '../../lib/clock.ts';

/** npm forwards to its child a signal that the terminal, or systemd, has sent to both processes: within this time the two count as one. */
const samePressMs = 1_000;

/** The exit code that a shell reports for a program that a signal ended (POSIX: 128 + its number). */
export const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

export interface Interrupt extends Disposable {
  /** The first SIGINT or SIGTERM. */
  readonly first: Promise<NodeJS.Signals>;
  /** Aborts on the first signal. */
  readonly signal: AbortSignal;
  /** Ends as on a signal, for another cause: the output is closed (SIGPIPE), or the parent has died (SIGTERM). */
  end(name: NodeJS.Signals): void;
}

/** Listens for SIGINT and SIGTERM until disposed of. A signal more than a second after the first ends the process immediately. */
export function onInterrupt(): Interrupt {
  const first = Promise.withResolvers<NodeJS.Signals>();
  const interrupted = new AbortController();
  let impatientFrom = Infinity;
  function interrupt(name: NodeJS.Signals): void {
    if (!interrupted.signal.aborted) {
      end(name);
    } else if (monotonicMs() > impatientFrom) {
      process.exit(1);
    }
  }
  function end(name: NodeJS.Signals): void {
    if (interrupted.signal.aborted) return;
    impatientFrom = monotonicMs() + samePressMs;
    first.resolve(name);
    interrupted.abort();
  }
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  return {
    first: first.promise,
    signal: interrupted.signal,
    end,
    [Symbol.dispose]() {
      process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
    },
  };
}
