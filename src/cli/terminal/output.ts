import { appErrorWithin, codeOf, messageOf } from '../../lib/errors.ts';
import { escapeJson } from '../../lib/terminal-text.ts';
import { forTerminal, styled } from './styled.ts';
import { knownColumns } from './terminal.ts';
import { wrapProse } from './wrap.ts';

/**
 * Writes text for users to standard output: sentences are wrapped if the width of the terminal is known. Names, reasons and payloads may
 * contain terminal escapes: only line ends and our own styles are passed through.
 */
export function print(text: string): void {
  printExact(toWidth(text));
}

/** Writes a text to standard error in the same way. */
export function printError(text: string): void {
  process.stderr.write(`${forTerminal(toWidth(text))}\n`);
}

/** Writes a text that users copy or run, such as a payload or a script. It is not wrapped. */
export function printExact(text: string): void {
  process.stdout.write(`${forTerminal(text)}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${escapeJson(JSON.stringify(value, null, 2))}\n`);
}

function toWidth(text: string): string {
  const columns = knownColumns();
  return columns === null ? text : wrapProse(text, columns);
}

/** An error as text for the user: the message, then the remedy. Without a stack, except for an internal error at log level debug. */
export function formatError(error: unknown): string {
  const known = appErrorWithin(error);
  if (known)
    return `${styled('red', known.code)}: ${known.message}\n${styled('bold', 'Remedy:')} ${known.remedy}`;
  const stack = process.env['LOG_LEVEL'] === 'debug' && error instanceof Error ? `\n${framesOf(error)}` : '';
  return `${styled('red', 'ERR_INTERNAL')}: ${codeOf(error) ?? ''} ${messageOf(error)}${stack}`;
}

/** A stack begins with the message, which may quote a statement: only the frames are returned. */
function framesOf({ stack = '' }: Error): string {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}
