import { Lines, styled, toCell } from './styled.ts';
import { tableColumns, widthOf } from './terminal.ts';
import { wrapText } from './wrap.ts';

const GAP = 2;

/**
 * A table without frames that is no wider than the terminal. Cells are wrapped at spaces. If single words are too wide, each row
 * is printed as a list of its cells instead, so that ids and URLs stay whole and can be copied.
 */
export function formatTable(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const columns = tableColumns();
  const cells = rows.map((row) => row.map(cellText));
  const widths = fitWidths([head, ...cells], columns);
  return widths ? formatGrid(head, cells, widths) : formatRecords(head, cells, columns);
}

/** Labels and values, one line each. Values are wrapped, and long words in them are broken. */
export function formatFacts(facts: readonly (readonly [string, unknown])[]): string {
  const columns = tableColumns();
  const label = Math.max(...facts.map(([name]) => widthOf(name)));
  return facts.map(([name, value]) => formatFact(pad(name, label), cellText(value), columns)).join('\n');
}

function formatFact(label: string, value: string, columns: number): string {
  const indent = widthOf(label) + GAP;
  const lines = wrapText(value, columns - indent, { breaksWords: true }).split('\n');
  return lines.map((line, n) => (n === 0 ? pad(label, indent) : ' '.repeat(indent)) + line).join('\n');
}

function cellText(cell: unknown): string {
  if (cell === null || cell === undefined) return '–';
  return cell instanceof Lines ? cell.lines.map(toCell).join('\n') : toCell(`${cell as string | number}`);
}

/** Null if the longest words do not fit beside each other. */
function fitWidths(lines: readonly (readonly string[])[], columns: number): number[] | null {
  const room = columns - GAP * (lines[0]!.length - 1);
  const most = (measure: (cell: string) => number): number[] =>
    lines[0]!.map((_, column) => Math.max(...lines.map((line) => measure(line[column] ?? ''))));
  const widest = most((cell) => Math.max(...cell.split('\n').map(widthOf)));
  const least = most((cell) => Math.max(...cell.split(/[ \n]/).map(widthOf)));
  const sum = (widths: readonly number[]): number => widths.reduce((total, width) => total + width, 0);
  if (sum(least) > room) return null;
  let widths = widest;
  for (let cap = Math.max(...widest); sum(widths) > room; cap -= 1) {
    widths = widest.map((width, column) => Math.max(least[column]!, Math.min(width, cap)));
  }
  return widths;
}

function formatGrid(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  widths: readonly number[],
): string {
  const titles = head.map((title) => title && styled('bold', title));
  const lineOf = (cells: readonly string[]): string[] => {
    const wrapped = cells.map((cell, column) => wrapText(cell, widths[column]!).split('\n'));
    const height = Math.max(...wrapped.map(({ length }) => length));
    return Array.from({ length: height }, (_, line) =>
      wrapped
        .map((lines, column) => pad(lines[line] ?? '', widths[column]!))
        .join(' '.repeat(GAP))
        .trimEnd(),
    );
  };
  return [titles, ...rows].flatMap(lineOf).join('\n');
}

function formatRecords(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  columns: number,
): string {
  const label = Math.max(...head.map(widthOf));
  return rows
    .map((row) =>
      row
        .map((cell, column) => formatFact(styled('bold', pad(head[column]!, label)), cell, columns))
        .join('\n'),
    )
    .join('\n\n');
}

const pad = (text: string, columns: number): string =>
  text + ' '.repeat(Math.max(columns - widthOf(text), 0));

/** A time in UTC, to the second; it can be wrapped between date and time. */
export const formatMoment = (ms: number): string => new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
