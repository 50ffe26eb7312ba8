/*
 * What a terminal obeys instead of showing it: control characters (C0, DEL, C1), by which a name could move the cursor, hide a line or open
 * a link (OSC 8); characters that turn the direction of text, or are not seen; lone surrogates. They are printed as \u001b.
 */

const hidden =
  '\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff' +
  '\\ufff9-\\ufffb\\ud800-\\udfff\\u{e0000}-\\u{e007f}';
const controls = new RegExp(`[${hidden}]`, 'gu');
const controlsOfLine = new RegExp(`[${hidden}\\t\\n]`, 'gu');

function escapeCharacter(character: string): string {
  const point = character.codePointAt(0)!;
  return point > 0xffff ? `\\u{${point.toString(16)}}` : `\\u${point.toString(16).padStart(4, '0')}`;
}

/** Text as a terminal may have it; line ends and tabs stay. */
export function escapeControls(text: string): string {
  return text.replace(controls, escapeCharacter);
}

/** Text that is a part of one line, such as a cell of a table. */
export function escapeLine(text: string): string {
  return text.replace(controlsOfLine, escapeCharacter);
}

/** JSON with the same meaning, without the characters that JSON allows in the clear and a terminal obeys. */
export function escapeJson(json: string): string {
  return json.replace(controls, (character) =>
    [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** JSON whose texts, once they are parsed, hold the escapes instead of the characters: for what prints them as they are. */
export function escapeJsonTwice(json: string): string {
  return escapeJson(json).replace(/\\(?:(["\\/nt])|([bfr]|u[0-9a-f]{4}))/gi, (escape, _kept, control) =>
    control === undefined ? escape : `\\${escape}`,
  );
}
