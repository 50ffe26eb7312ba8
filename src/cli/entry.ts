import { AppError, codeOf } from '../lib/errors.ts';
import { exitCodeOf } from './process/interrupt.ts';
import { main } from './main.ts';
import { formatError, printError } from './terminal/output.ts';

/**
 * Runs the command line of this process. Whatever happens, the user sees one sentence and the caller an exit code, never a stack
 * trace: also when the reader of the output is gone (`status | head -1`), when its disk is full, and after a fault of our own.
 */
export async function runProcess(args: readonly string[]): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => endWithoutOutput(error, stream === process.stderr));
  }
  process.on('uncaughtException', endByFault);
  if (process.pid === 1) endOnSignals();
  process.exitCode = await main(args);
}

/** A closed pipe is an ordinary end (EPIPE, what SIGPIPE does to other programs); a full disk is a failure that is named. */
function endWithoutOutput(error: unknown, isErrorOutput: boolean): void {
  if (codeOf(error) === 'EPIPE') process.exit(exitCodeOf('SIGPIPE'));
  // What cannot be said stays unsaid: the command ends with the exit code that it has anyway, such as 2 for a usage error.
  if (isErrorOutput) return;
  const message = `standard output cannot be written (${codeOf(error) ?? 'unknown'})`;
  printError(formatError(new AppError('ERR_OUTPUT', message)));
  process.exit(1);
}

function endByFault(error: unknown): void {
  printError(formatError(error));
  process.exit(1);
}

/**
 * The kernel has no default action for a signal to the first process of a container, so Ctrl-C would not end a command there.
 * A command that handles signals itself (`run`, `demo`, `receive`) has listeners of its own by then and keeps its way to end.
 */
function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(exitCodeOf(signal));
    });
  }
}
