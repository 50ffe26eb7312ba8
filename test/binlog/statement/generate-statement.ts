import type { Random } from '../../chaos/random.ts';
import type { Flavour } from '../../../src/binlog/types.ts';

/** How a session spells its statements. */
export interface Spelling {
  flavour: Flavour;
  charset: string;
  ansiQuotes: boolean;
  noBackslashEscapes: boolean;
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

/** Generates statements, as latin1 text of their bytes, that change the table `target` or one besides it. */
export class StatementGenerator {
  readonly #random: Random;
  readonly #spelling: Spelling;

  constructor(random: Random, spelling: Spelling) {
    this.#random = random;
    this.#spelling = spelling;
  }

  /** `schema` is left out of the name where it is the session's own. */
  generate(schema: string | null, table: string): string {
    const { flavour } = this.#spelling;
    const name = (): string =>
      schema === null
        ? this.#name(table)
        : `${this.#name(schema)}${this.#gap()}.${this.#gap()}${this.#name(table)}`;
    const row = this.#random.below(1e9);
    const kinds: (() => readonly string[])[] = [
      () => [
        'UPDATE',
        name(),
        'SET',
        this.#name('estado'),
        '=',
        `CONCAT(${row},`,
        this.#string(),
        ')',
        'LIMIT 1',
      ],
      () => ['INSERT', 'INTO', name(), 'VALUES', '(', `${row}`, ',', this.#string(), ')'],
      () => ['REPLACE', name(), 'SELECT', `${row}`, ',', this.#string(), 'FROM', 'dual'],
      () => ['INSERT IGNORE', name(), '(', this.#name('id'), ')', 'VALUES', '(', `${row}`, ')'],
      () => ['DELETE', 'FROM', name(), 'WHERE', this.#name('estado'), '<>', this.#string(), 'LIMIT 1'],
      () => [
        'UPDATE',
        name(),
        'AS',
        'x',
        'JOIN',
        '(',
        'SELECT',
        '1',
        'AS',
        'n',
        ')',
        'y',
        'SET',
        'x.estado',
        '=',
        `CONCAT(${row},`,
        this.#string(),
        ')',
      ],
      ...(flavour === 'mysql'
        ? [
            () => [
              'WITH',
              'w',
              'AS',
              '(',
              'SELECT',
              this.#string(),
              'AS',
              's',
              ')',
              'UPDATE',
              name(),
              'JOIN',
              'w',
              'SET',
              'estado',
              '=',
              `CONCAT(${row},`,
              's',
              ')',
            ],
          ]
        : [
            () => [
              'SET',
              'STATEMENT',
              'max_statement_time',
              '=',
              '60',
              ',',
              'lock_wait_timeout',
              '=',
              '(',
              '5',
              ')',
              'FOR',
              'UPDATE',
              name(),
              'SET',
              'estado',
              '=',
              `CONCAT(${row},`,
              this.#string(),
              ')',
            ],
            () => [
              'BEGIN',
              'NOT',
              'ATOMIC',
              'IF',
              '1',
              'THEN',
              'BEGIN',
              'INSERT',
              'INTO',
              name(),
              'VALUES',
              '(',
              `${row}`,
              ',',
              this.#string(),
              ')',
              ';',
              'END',
              ';',
              'END',
              'IF',
              ';',
              'END',
            ],
          ]),
    ];
    return (
      this.#lead() +
      this.#random
        .pick(kinds)()
        .map((token) => this.#wrap(token))
        .join(' ') +
      this.#tail()
    );
  }

  #name(name: string): string {
    const { ansiQuotes } = this.#spelling;
    const spelled = [name, `\`${name}\``, ...(ansiQuotes ? [`"${name}"`] : [])];
    return this.#random.pick(spelled);
  }

  #string(): string {
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

  #wrap(token: string): string {
    const isWord = /^[A-Z]+$/.test(token);
    if (isWord && this.#random.chance(0.1))
      return `/*!${this.#random.pick(['', '50000 ', '50000'])} ${token} */`;
    if (isWord && this.#spelling.flavour === 'mariadb' && this.#random.chance(0.1))
      return `/*M!100000 ${token} */`;
    return this.#gap() + (isWord && this.#random.chance(0.3) ? token.toLowerCase() : token);
  }

  /** White space and comments. */
  #gap(): string {
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
