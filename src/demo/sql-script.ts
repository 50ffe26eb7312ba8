// Tokens that may contain a delimiter without ending the statement: quoted texts and names, and comments.
const token =
  /'(?:[^'\\]|\\[^]|'')*'|"(?:[^"\\]|\\[^]|"")*"|`(?:[^`]|``)*`|--(?=\s|$)[^\n]*|#[^\n]*|\/\*[^]*?\*\/|^[ \t]*DELIMITER[ \t]+(?<delimiter>\S+)[ \t]*$|[^]/gimy;

/**
 * The statements of an SQL script as the `mysql` client would send them: DELIMITER is applied, comments between
 * statements are dropped, comments within a statement are kept.
 */
export function splitSqlScript(script: string): string[] {
  const statements: string[] = [];
  let delimiter = ';';
  let current = '';
  function finish(): void {
    if (current.trim() !== '') statements.push(current.trim());
    current = '';
  }
  token.lastIndex = 0;
  while (token.lastIndex < script.length) {
    if (script.startsWith(delimiter, token.lastIndex)) {
      token.lastIndex += delimiter.length;
      finish();
      continue;
    }
    const match = token.exec(script);
    if (!match) break;
    const [text] = match;
    const next = match.groups?.['delimiter'];
    if (next !== undefined) delimiter = next;
    else if (current.trim() !== '' || !/^(--|#|\/\*(?![!+]))/.test(text)) current += text;
  }
  finish();
  return statements;
}
