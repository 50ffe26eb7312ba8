import { stripVTControlCharacters } from 'node:util';

/** Width of tables if neither the terminal nor COLUMNS gives one: piped output is read on a terminal later. */
const DEFAULT_COLUMNS = 80;
/** Narrower output would be unreadable. */
const LEAST_COLUMNS = 40;

/** The columns of the terminal, or of COLUMNS if standard output is a file or a pipe; null if neither is known. */
export function knownColumns(): number | null {
  const columns = process.stdout.columns || Number(process.env['COLUMNS']);
  return Number.isInteger(columns) && columns > 0 ? Math.max(columns, LEAST_COLUMNS) : null;
}

/** The maximum width of a table. */
export const tableColumns = (): number => knownColumns() ?? DEFAULT_COLUMNS;

const segmenter = new Intl.Segmenter();
/** East Asian wide and full-width characters, and emoji: two cells each. */
const wide =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;
const ascii = /^[\x20-\x7e]*$/;

/** The number of terminal cells that a line takes; colour codes take none. */
export function widthOf(line: string): number {
  const plain = stripVTControlCharacters(line);
  if (ascii.test(plain)) return plain.length;
  let width = 0;
  for (const { segment } of segmenter.segment(plain)) width += wide.test(segment) ? 2 : 1;
  return width;
}

/** Splits a text after the part that fits into `columns` cells, at least one character. */
export function splitAt(text: string, columns: number): [string, string] {
  let width = 0;
  let end = 0;
  for (const { segment, index } of segmenter.segment(text)) {
    width += wide.test(segment) ? 2 : 1;
    if (width > columns && index > 0) break;
    end = index + segment.length;
  }
  return [text.slice(0, end), text.slice(end)];
}
