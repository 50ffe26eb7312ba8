import { splitAt, widthOf } from './terminal.ts';

/**
 * Breaks each line of a text at its spaces, so that no line is wider than `columns`; continuation lines keep the indentation of the line.
 * A word is broken only if it is wider than a whole line and `breaksWords` is set.
 */
export function wrapText(text: string, columns: number, { breaksWords = false } = {}): string {
  return text
    .split('\n')
    .flatMap((line) => (widthOf(line) <= columns ? line : wrapLine(line, columns, breaksWords)))
    .join('\n');
}

function wrapLine(line: string, columns: number, breaksWords: boolean): string[] {
  const [indent = ''] = /^\s*(-- )?/.exec(line) ?? [];
  const room = Math.max(columns - widthOf(indent), 1);
  const lines: string[] = [];
  let current = '';
  for (let word of line.slice(indent.length).split(' ')) {
    const joined = current === '' ? word : `${current} ${word}`;
    if (widthOf(joined) <= room) {
      current = joined;
      continue;
    }
    if (current !== '') lines.push(current);
    while (breaksWords && widthOf(word) > room) {
      const [head, rest] = splitAt(word, room);
      lines.push(head);
      word = rest;
    }
    current = word;
  }
  if (current !== '') lines.push(current);
  return lines.map((each) => indent + each);
}

const statement =
  /^(ALTER|CALL|CREATE|DELETE|DROP|FLUSH|GRANT|INSERT|PURGE|RENAME|RESET|REVOKE|SET|SHOW|START|STOP|UPDATE)\b.*;/;
const command = /^\s*(\$ |sudo |npx |odontology-webhooks |sed -n )/;
const setting = /^[a-z_]+: \{ .* \}$/;

/** Wraps the sentences of a text. A statement, a command or a line for the configuration stays on one line, however long, so that it can be copied. */
export function wrapProse(text: string, columns: number): string {
  return text
    .split('\n')
    .map((line) =>
      [statement, command, setting].some((each) => each.test(line)) ? line : wrapText(line, columns),
    )
    .join('\n');
}
