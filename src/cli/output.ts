import Table from 'cli-table3';
import { randomInt } from 'node:crypto';
import { styleText } from 'node:util';
import { AppError, codeOf, messageOf } from '../lib/errors.ts';
import { escapeControls, escapeJson, escapeLine } from '../lib/terminal-text.ts';

/**
 * Where a command writes: standard output is data, standard error is talk. Names, reasons and payloads may hold what a terminal obeys:
 * nothing but line ends and our own styles gets through.
 */
export function print(text: string): void {
  process.stdout.write(`${forTerminal(text)}\n`);
}

export function printError(text: string): void {
  process.stderr.write(`${forTerminal(text)}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${escapeJson(JSON.stringify(value, null, 2))}\n`);
}

/** Tells our own styles from those that stand in a text: nobody can write it who does not know the number. */
const ownStyle = randomInt(2 ** 40);

/** Text in a style of `styleText`, where standard output takes colours; for what goes to `print` or `printError`. */
export function styled(format: Parameters<typeof styleText>[0], text: string): string {
  return styleText(format, escapeControls(text)).replaceAll('\u001b[', `\u001b[${ownStyle};`);
}

/** What a stream may be given that can be a terminal. */
export function forTerminal(text: string): string {
  return text
    .split(`\u001b[${ownStyle};`)
    .map((part, index) => (index === 0 ? '' : '\u001b[') + escapeControls(part))
    .join('');
}

/** A cell of several lines. */
export class Lines {
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    this.lines = lines;
  }
}

/** Keeps our own styles, and nothing else that is not seen. */
function toCell(text: string): string {
  const own = `\u001b[${ownStyle};`;
  return text.split(own).map(escapeLine).join(own);
}

/** A table without frames: it wraps nothing, so that a line can be copied. */
export function formatTable(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const table = new Table({
    head: head.map((title) => styled('bold', title)),
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
      row.map((cell) => {
        if (cell === null || cell === undefined) return '–';
        return cell instanceof Lines
          ? cell.lines.map(toCell).join('\n')
          : toCell(`${cell as string | number}`);
      }),
    ),
  );
  return table.toString();
}

/** An error as a person reads it: what happened, then what mends it. Never a stack, except for a fault of our own at debug. */
export function formatError(error: unknown): string {
  if (error instanceof AppError) {
    return `${styled('red', error.code)}: ${error.message}\n${styled('bold', 'Remedy:')} ${error.remedy}`;
  }
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
