/** What a server returns for bytes without a character in Unicode. */
export const NO_CHARACTER = '?'.charCodeAt(0);

/**
 * Reads a mapping of codes to characters into `table`: entries of the form `code=character` or `code*count=character`, code and
 * character in hexadecimal, count in decimal; `?` stands for no character. `next` returns the code that follows a given code.
 */
export function readMapping(mapping: string, table: Uint16Array, next: (code: number) => number): void {
  for (const [, from = '', count = '1', to = ''] of mapping.matchAll(
    /([0-9a-f]+)(?:\*(\d+))?=([0-9a-f]+|\?)/g,
  )) {
    let code = parseInt(from, 16);
    for (let i = 0; i < Number(count); i += 1) {
      table[code] = to === '?' ? NO_CHARACTER : parseInt(to, 16) + i;
      code = next(code);
    }
  }
}
