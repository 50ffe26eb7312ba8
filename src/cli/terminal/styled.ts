import { randomInt } from 'node:crypto';
import { styleText } from 'node:util';
import { escapeControls, escapeLine } from '../../lib/terminal-text.ts';

/**
 * Distinguishes our own styles from escapes in a text: a text cannot imitate them without knowing the numbers. The numbers have four
 * digits, the most that `stripVTControlCharacters` recognises: codes with longer numbers were counted as width.
 */
const ownStyle = Array.from({ length: 3 }, () => randomInt(1_000, 10_000)).join(';');

/** Text in a style of `styleText`, if standard output supports colours; for `print` and `printError`. */
export function styled(format: Parameters<typeof styleText>[0], text: string): string {
  return styleText(format, escapeControls(text)).replaceAll('\u001b[', `\u001b[${ownStyle};`);
}

/** Escapes a text for a stream that may be a terminal. */
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

/** Keeps our own styles, and escapes all other invisible characters. */
export function toCell(text: string): string {
  const own = `\u001b[${ownStyle};`;
  return text.split(own).map(escapeLine).join(own);
}
