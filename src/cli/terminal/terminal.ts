import { stripVTControlCharacters } from 'node:util';

/** Tables fit this where neither the terminal nor COLUMNS says more: output that is piped is read on a terminal later. */
const DEFAULT_COLUMNS = 80;
/** Below it nothing is readable anyway. */
const LEAST_COLUMNS = 40;

/** The columns of the terminal, or of COLUMNS where standard output is a file or a pipe; null where neither says. */
export function knownColumns(): number | null {
  const columns = process.stdout.columns || Number(process.env['COLUMNS']);
  return Number.isInteger(columns) && columns > 0 ? Math.max(columns, LEAST_COLUMNS) : null;
}

/** What a table may take. */
export const tableColumns = (): number => knownColumns() ?? DEFAULT_COLUMNS;

const segmenter = new Intl.Segmenter();
/** East Asian wide and full-width characters, and emoji: two cells each. */
const wide =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6]/u;
const ascii = /^[\x20-\x7e]*$/;

/** How many cells of a terminal a line takes; codes for colours take none. */
export function widthOf(line: string): number {
  const plain = stripVTControlCharacters(line);
  if (ascii.test(plain)) return plain.length;
  let width = 0;
  for (const { segment } of segmenter.segment(plain)) width += wide.test(segment) ? 2 : 1;
  return width;
}

/** The beginning of a text that fits so many cells, at least one character, and the rest. */
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
