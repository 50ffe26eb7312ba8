import { appErrorWithin, codeOf, messageOf } from '../../lib/errors.ts';
import { escapeJson } from '../../lib/terminal-text.ts';
import { forTerminal, styled } from './styled.ts';
import { knownColumns } from './terminal.ts';
import { wrapProse } from './wrap.ts';

/**
 * Writes data to standard output, for people: sentences are wrapped where the width of the terminal is known. Names, reasons and payloads
 * may hold what a terminal obeys: nothing but line ends and our own styles gets through.
 */
export function print(text: string): void {
  printExact(toWidth(text));
}

/** Writes a text to standard error, in the same way. */
export function printError(text: string): void {
  process.stderr.write(`${forTerminal(toWidth(text))}\n`);
}

/** Writes what is copied or run as it stands: a payload, a script. Nothing is wrapped. */
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

/** An error as a person reads it: what happened, then the remedy. Never a stack, except for a fault of our own at debug. */
export function formatError(error: unknown): string {
  const known = appErrorWithin(error);
  if (known)
    return `${styled('red', known.code)}: ${known.message}\n${styled('bold', 'Remedy:')} ${known.remedy}`;
  const stack = process.env['LOG_LEVEL'] === 'debug' && error instanceof Error ? `\n${framesOf(error)}` : '';
  return `${styled('red', 'ERR_INTERNAL')}: ${codeOf(error) ?? ''} ${messageOf(error)}${stack}`;
}

/** A stack begins with the message, which may quote a statement: only the places are printed. */
function framesOf({ stack = '' }: Error): string {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}
