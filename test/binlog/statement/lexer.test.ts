import { describe, expect, it } from 'vitest';
import { createRulesReader, dictionaryRules } from '../../../src/binlog/statement/lexical-rules.ts';
import { Lexer } from '../../../src/binlog/statement/lexer.ts';
import { parseStatement } from '../../../src/binlog/statement/parse-statement.ts';
import type { Flavour } from '../../../src/binlog/types.ts';

function tokens(text: string | Buffer, flavour: Flavour = 'mysql', sqlMode = ''): string[] {
  const bytes = Buffer.from(text);
  const lexer = new Lexer(bytes, dictionaryRules(flavour, sqlMode));
  const found: string[] = [];
  while (lexer.next() !== 'end')
    found.push(`${lexer.type} ${bytes.toString('utf8', lexer.start, lexer.end)}`);
  return found;
}

describe('splits a statement as the server does', () => {
  it.each([
    ['a/**/b', ['word a', 'word b']],
    ['a -- b\nc --d', ['word a', 'word c', 'symbol -', 'symbol -', 'word d']],
    ['a#b\nc', ['word a', 'word c']],
    ['/*! a */ b /*!50701c */ /*!080000 d*/', ['word a', 'word b', 'word c', 'word d']],
    ['/* 99999 a (* b *) c */ d', ['word d']],
    ['/*!40000 a /* b */ c */ d', ['word a', 'word c', 'word d']],
    ['/*/ a */ b', ['word b']],
    ["'it''s' 'b\\'c' d", ["string 'it''s'", "string 'b\\'c'", 'word d']],
    ['`a``b`.`c`', ['name `a``b`', 'symbol .', 'name `c`']],
    ['"a" x', ['string "a"', 'word x']],
    [
      "x'41' N'b' _latin1'c' 0xAB",
      ['word x', "string '41'", 'word N', "string 'b'", 'word _latin1', "string 'c'", 'word 0xAB'],
    ],
    ['AS $$ a; b $$ c $x', ['word AS', 'string $$ a; b $$', 'word c', 'word $x']],
    ['año ñ', ['word año', 'word ñ']],
  ])('%s', (text, expected) => expect(tokens(text)).toEqual(expected));

  it('knows the two forms of a double quote and of a backslash', () => {
    expect(tokens('"a""b" c', 'mysql', 'ANSI_QUOTES')).toEqual(['name "a""b"', 'word c']);
    expect(tokens("'a\\' b", 'mysql', 'NO_BACKSLASH_ESCAPES')).toEqual(["string 'a\\'", 'word b']);
  });

  it('executes MariaDB’s own comments on MariaDB alone', () => {
    expect(tokens('/*M!100000 a */ b', 'mariadb')).toEqual(['word a', 'word b']);
    expect(tokens('/*M!100000 a */ b', 'mysql')).toEqual(['word b']);
    expect(tokens('/*!400001*/', 'mariadb')).toEqual([]);
    expect(tokens('/*!400001*/', 'mysql')).toEqual(['word 1']);
  });

  it('takes the second byte of a character for no quote and no backslash', () => {
    const rulesOf = createRulesReader({ flavour: 'mysql', charsetOf: () => 'sjis' });
    const lexer = new Lexer(
      Buffer.from("'\x83\\' x `\x83`` y", 'latin1'),
      rulesOf({ sqlMode: 0n, clientCollation: 13 }),
    );
    expect([lexer.next(), lexer.next(), lexer.next(), lexer.next()]).toEqual([
      'string',
      'word',
      'name',
      'word',
    ]);
  });
});

it('says where it is not certain: quotes of an unknown mode, or without an end', () => {
  const rules = createRulesReader({ flavour: 'mysql', charsetOf: () => 'utf8mb4' })({});
  expect(parseStatement(Buffer.from('DROP TABLE "t"'), rules).isUncertain()).toBe(true);
  expect(parseStatement(Buffer.from('DROP TABLE `t`'), rules).isUncertain()).toBe(false);
  expect(parseStatement(Buffer.from("DROP TABLE t 'x"), dictionaryRules('mysql', '')).isUncertain()).toBe(
    true,
  );
});

it('neither throws nor takes longer than in proportion for any bytes', () => {
  const pieces = [
    '/*',
    '*/',
    '/*!',
    "'",
    '"',
    '`',
    '\\',
    '$a$',
    '$',
    '--',
    '#',
    '\n',
    '(',
    ')',
    ';',
    'SET STATEMENT ',
    'FOR ',
    'CREATE ',
    'TABLE ',
  ];
  for (const piece of pieces) {
    for (const flavour of ['mysql', 'mariadb'] as const) {
      const parsed = parseStatement(Buffer.from(piece.repeat(200_000)), dictionaryRules(flavour, ''));
      expect(parsed.head.length).toBeLessThanOrEqual(4);
      parsed.isUncertain();
    }
  }
});
