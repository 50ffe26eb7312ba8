import type { Flavour } from '../../../src/binlog/types.ts';
import type { Random } from '../../chaos/random.ts';

/** How a session spells its statements. */
export interface Spelling {
  flavour: Flavour;
  charset: string;
  ansiQuotes: boolean;
  noBackslashEscapes: boolean;
  /** sql_mode=ORACLE of MariaDB, which includes ANSI_QUOTES. */
  isOracle: boolean;
}

/** Characters of which a byte is that of a quote, a backslash or a backtick: in bytes, by character set. */
const traps: Readonly<Record<string, readonly string[]>> = {
  gbk: ['\x81\x5c', '\xbf\x5c', '\x95\x60'],
  sjis: ['\x95\x5c', '\x83\x5c', '\x83\x60'],
  cp932: ['\x95\x5c', '\x83\x5c'],
  big5: ['\xa5\x5c', '\xb3\x5c'],
  latin1: ['\xf1', '\xa0', '\xe9'],
  utf8mb4: ['\xc3\xb1', '\xe8\xa1\xa8', '\xf0\x9f\x98\x80'],
};
export const charsets: readonly string[] = Object.keys(traps);

const decoys = [
  'citas',
  'UPDATE citas SET',
  '/*',
  '*/',
  '--',
  '#',
  ';',
  '`',
  '"',
  '`citas`',
  "''",
  'FOR',
  '(',
  'END',
];

/** Writes names, strings, white space and comments in the ways that a session admits, as latin1 text of their bytes. */
export class StatementSpeller {
  readonly #random: Random;
  readonly #spelling: Spelling;

  constructor(random: Random, spelling: Spelling) {
    this.#random = random;
    this.#spelling = spelling;
  }

  /** `schema` is left out of the name where it is the session's own. */
  qualified(schema: string | null, object: string): string {
    if (schema === null) return this.name(object);
    return `${this.name(schema)}${this.gap()}.${this.gap()}${this.name(object)}`;
  }

  name(name: string): string {
    const { ansiQuotes } = this.#spelling;
    return this.#random.pick([name, `\`${name}\``, ...(ansiQuotes ? [`"${name}"`] : [])]);
  }

  string(): string {
    const { ansiQuotes, noBackslashEscapes, charset } = this.#spelling;
    const quote = ansiQuotes || this.#random.chance(0.6) ? "'" : '"';
    const pieces = Array.from({ length: this.#random.below(5) }, () => {
      const kind = this.#random.below(4);
      if (kind === 0) return this.#random.pick(traps[charset]!);
      if (kind === 1)
        return noBackslashEscapes ? '\\' : this.#random.pick(['\\\\', `\\${quote}`, '\\n', "\\'"]);
      if (kind === 2) return quote + quote;
      return this.#random.pick(decoys).replaceAll(quote, quote + quote);
    });
    return quote + pieces.join('') + quote;
  }

  /** Tokens with white space and comments between them; a word may be wrapped in an executable comment. */
  statement(tokens: readonly string[]): string {
    return this.#lead() + tokens.map((token) => this.#wrap(token)).join(' ') + this.#tail();
  }

  #wrap(token: string): string {
    const isWord = /^[A-Z]+$/.test(token);
    if (isWord && this.#random.chance(0.1))
      return `/*!${this.#random.pick(['', '50000 ', '50000'])} ${token} */`;
    if (isWord && this.#spelling.flavour === 'mariadb' && this.#random.chance(0.1))
      return `/*M!100000 ${token} */`;
    return this.gap() + (isWord && this.#random.chance(0.3) ? token.toLowerCase() : token);
  }

  /** White space and comments. */
  gap(): string {
    if (this.#random.chance(0.7)) return '';
    const decoy = this.#random.pick(decoys).replaceAll('*/', '').replaceAll('/*', '');
    return this.#random.pick([
      ' ',
      '\t',
      '\r\n',
      `/* ${decoy} */`,
      `/**/`,
      `-- ${decoy}\n`,
      `--\n`,
      `# ${decoy}\n`,
      `/*x${decoy}*/`,
    ]);
  }

  #lead(): string {
    return this.#random.chance(0.2) ? this.#random.pick(['/*!*/', '/*Migration 7*/', '-- x\n', ' \n']) : '';
  }

  #tail(): string {
    return this.#random.chance(0.2) ? this.#random.pick([' -- citas', ' /* end */', ' # x', '\n', ' ;']) : '';
  }
}
