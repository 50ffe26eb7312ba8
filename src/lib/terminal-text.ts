/*
 * Characters that a terminal interprets instead of showing: control characters (C0, DEL, C1), with which a name could move the cursor, hide a line or open
 * a link (OSC 8); characters that change the direction of text or are invisible; lone surrogates. They are printed as \u001b.
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

/** Escapes text for a terminal; line ends and tabs stay. */
export function escapeControls(text: string): string {
  return text.replace(controls, escapeCharacter);
}

/** Escapes text that is part of one line, such as a cell of a table. */
export function escapeLine(text: string): string {
  return text.replace(controlsOfLine, escapeCharacter);
}

/** Escapes characters in JSON that JSON allows and a terminal interprets; the meaning of the JSON stays. */
export function escapeJson(json: string): string {
  return json.replace(controls, (character) =>
    [...Array(character.length).keys()]
      .map((index) => `\\u${character.charCodeAt(index).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}

/** JSON whose parsed texts contain the escapes instead of the characters: for programs that print parsed texts unchanged. */
export function escapeJsonTwice(json: string): string {
  return escapeJson(json).replace(/\\(?:(["\\/nt])|([bfr]|u[0-9a-f]{4}))/gi, (escape, _kept, control) =>
    control === undefined ? escape : `\\${escape}`,
  );
}
