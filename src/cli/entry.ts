import { AppError, codeOf } from '../lib/errors.ts';
import { exitCodeOf } from './process/interrupt.ts';
import { main } from './main.ts';
import { formatError, printError } from './terminal/output.ts';

/**
 * Runs the command line of this process. In every case the user sees one sentence and the caller gets an exit code, never a stack
 * trace: also if the reader of the output has exited (`status | head -1`), if its disk is full, and after an internal error.
 */
export async function runProcess(args: readonly string[]): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error) => endWithoutOutput(error, stream === process.stderr));
  }
  process.on('uncaughtException', endByFault);
  if (process.pid === 1) endOnSignals();
  process.exitCode = await main(args);
}

/** A closed pipe ends the process without an error message (EPIPE, like SIGPIPE in other programs); a full disk is reported as an error. */
function endWithoutOutput(error: unknown, isErrorOutput: boolean): void {
  if (codeOf(error) === 'EPIPE') process.exit(exitCodeOf('SIGPIPE'));
  // Without standard error no message is possible: the command ends with its own exit code, such as 2 for a usage error.
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
 * The kernel has no default action for signals to the first process of a container, so Ctrl-C would not end a command there.
 * A command that handles signals itself (`run`, `demo`, `receive`) adds its own listeners, and then this one does nothing.
 */
function endOnSignals(): void {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (process.listenerCount(signal) === 1) process.exit(exitCodeOf(signal));
    });
  }
}
