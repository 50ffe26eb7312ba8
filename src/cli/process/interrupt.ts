import { constants } from 'node:os';
import { monotonicMs } from '../../lib/clock.ts';

/** npm passes on to its child the signal that the terminal, or systemd, has sent to both: the two are one. */
const samePressMs = 1_000;

/** The exit code that a shell reports for a program that a signal ended (POSIX: 128 + its number). */
export const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

export interface Interrupt extends Disposable {
  /** The first SIGINT or SIGTERM. */
  readonly first: Promise<NodeJS.Signals>;
  /** Aborts with it. */
  readonly signal: AbortSignal;
  /** Ends as a signal does, for another cause: the output is closed (SIGPIPE), the parent has died (SIGTERM). */
  end(name: NodeJS.Signals): void;
}

/** Listens for SIGINT and SIGTERM until disposed of. One that comes a second after the first ends the process at once. */
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
