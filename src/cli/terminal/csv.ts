/**
 * CSV that spreadsheets open correctly: a byte order mark for UTF-8, CRLF, quotes where they are needed. If a spreadsheet would parse a
 * text as a formula, the text is prefixed with an apostrophe.
 */
export function formatCsv(head: readonly string[], rows: Iterable<readonly unknown[]>): string {
  let text = `\uFEFF${formatLine(head)}`;
  for (const row of rows) text += formatLine(row);
  return text;
}

export function formatLine(cells: readonly unknown[]): string {
  return `${cells.map(formatCell).join(',')}\r\n`;
}

function formatCell(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return String(value);
  const given = typeof value === 'string' ? value : JSON.stringify(value);
  // Also after leading spaces, which some spreadsheets drop, and for full-width characters.
  const text = /^[\s]*[=+\-@\t\r\n|%＝＋－＠]/.test(given) ? `'${given}` : given;
  return /[",\r\n;\t']/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}
