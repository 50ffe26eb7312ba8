import Table from 'cli-table3';
import { styleText } from 'node:util';
import { AppError, codeOf, messageOf } from '../lib/errors.ts';

/** Where a command writes: standard output is data, standard error is talk. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printError(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value, null, 2));
}

/** A table without frames: it wraps nothing, so that a line can be copied. */
export function formatTable(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const table = new Table({
    head: head.map((title) => styleText('bold', title)),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2 },
    chars: {
      top: '',
      'top-mid': '',
      'top-left': '',
      'top-right': '',
      bottom: '',
      'bottom-mid': '',
      'bottom-left': '',
      'bottom-right': '',
      left: '',
      'left-mid': '',
      mid: '',
      'mid-mid': '',
      right: '',
      'right-mid': '',
      middle: '',
    },
  });
  table.push(
    ...rows.map((row) =>
      row.map((cell) => (cell === null || cell === undefined ? '–' : `${cell as string | number}`)),
    ),
  );
  return table.toString();
}

/** An error as a person reads it: what happened, then what mends it. Never a stack, except for a fault of our own at debug. */
export function formatError(error: unknown): string {
  if (error instanceof AppError) {
    return `${styleText('red', error.code)}: ${error.message}\n${styleText('bold', 'Remedy:')} ${error.remedy}`;
  }
  const stack = process.env['LOG_LEVEL'] === 'debug' && error instanceof Error ? `\n${framesOf(error)}` : '';
  return `${styleText('red', 'ERR_INTERNAL')}: ${codeOf(error) ?? ''} ${messageOf(error)}${stack}`;
}

/** A stack begins with the message, which may quote a statement: only the places are printed. */
function framesOf({ stack = '' }: Error): string {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}
