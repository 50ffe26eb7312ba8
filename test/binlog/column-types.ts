import type { ServerVariant } from '../../src/demo/server-binaries.ts';

/** Every column type at its boundaries, as SQL: what goes in, and how the server itself says what is there. */
export interface TypeCase {
  name: string;
  definition: string;
  /** SQL expressions to insert. */
  values: string[];
  /** How SELECT and cell are compared. */
  compare: 'text' | 'number' | 'float32' | 'float64' | 'hex' | 'utf8-hex' | 'json';
  /** Only where this server has it; `mariadb` means every MariaDB. */
  only?: ServerVariant;
}

const q = (text: string): string => `'${text.replaceAll("'", "''")}'`;

function integers(name: string, bits: number): TypeCase[] {
  const half = 2n ** BigInt(bits - 1);
  return [
    {
      name: `${name} signed`,
      definition: name,
      values: [`${-half}`, '-1', '0', '1', `${half - 1n}`],
      compare: 'text',
    },
    {
      name: `${name} unsigned`,
      definition: `${name} UNSIGNED`,
      values: ['0', '1', `${half}`, `${2n * half - 1n}`],
      compare: 'text',
    },
  ];
}

const nines = (digits: number): string => '9'.repeat(digits);

const decimals: TypeCase[] = [
  [1, 0],
  [2, 1],
  [9, 0],
  [9, 9],
  [10, 2],
  [18, 9],
  [19, 3],
  [27, 13],
  [38, 10],
  [65, 0],
  [65, 30],
  [30, 30],
].map(([precision, scale]) => {
  const integer = nines(precision! - scale!) || '0';
  const top = scale! > 0 ? `${integer}.${nines(scale!)}` : integer;
  const small = scale! > 0 ? `0.${'0'.repeat(scale! - 1)}1` : '1';
  return {
    name: `decimal(${precision},${scale})`,
    definition: `DECIMAL(${precision},${scale})`,
    values: [top, `-${top}`, '0', small, `-${small}`],
    compare: 'text',
  };
});

const fractions = [0, 1, 2, 3, 4, 5, 6];
const temporals: TypeCase[] = fractions.flatMap((fsp) => {
  const f = fsp === 0 ? '' : `.${'123456'.slice(0, fsp)}`;
  const top = fsp === 0 ? '' : `.${'999999'.slice(0, fsp)}`;
  const low = fsp === 0 ? '' : `.${'0'.repeat(fsp - 1)}1`;
  return [
    {
      name: `time(${fsp})`,
      definition: `TIME(${fsp})`,
      values: [
        '838:59:59',
        '-838:59:59',
        `12:34:56${f}`,
        `-12:34:56${f}`,
        `-00:00:00${low}`,
        `-00:00:01${top}`,
        '00:00:00',
        `100:00:01${low}`,
      ].map(q),
      compare: 'text',
    },
    {
      name: `datetime(${fsp})`,
      definition: `DATETIME(${fsp})`,
      values: [
        `1000-01-01 00:00:00${f}`,
        `9999-12-31 23:59:59${top}`,
        '0000-00-00 00:00:00',
        `2026-00-00 01:02:03${low}`,
      ].map(q),
      compare: 'text',
    },
    {
      name: `timestamp(${fsp})`,
      definition: `TIMESTAMP(${fsp}) NULL`,
      values: [
        `1970-01-01 00:00:01${f}`,
        `2038-01-19 03:14:07${fsp === 0 ? '' : top}`,
        '0000-00-00 00:00:00',
        `2024-02-29 23:59:59${low}`,
      ].map(q),
      compare: 'text',
    },
  ] satisfies TypeCase[];
});

const jsonDocuments = [
  'null',
  'true',
  '"texto"',
  '-1',
  '32767',
  '32768',
  '65535',
  '65536',
  '-32769',
  '2147483648',
  '9223372036854775807',
  '18446744073709551615',
  '-9223372036854775808',
  '1.5',
  '1e300',
  '0.1',
  '[]',
  '{}',
  '[1,[2,[3,{"a":[]}]]]',
  '{"ñ":"😀","comilla":"\\"","barra":"\\\\","nulo":null,"falso":false}',
];

const latin = "CONVERT(X'C3A1C3B1E282ACC2A1' USING utf8mb4)";

export const typeCases: TypeCase[] = [
  ...integers('TINYINT', 8),
  ...integers('SMALLINT', 16),
  ...integers('MEDIUMINT', 24),
  ...integers('INT', 32),
  ...integers('BIGINT', 64),
  {
    name: 'bigint around 2^53',
    definition: 'BIGINT',
    values: ['9007199254740991', '9007199254740992', '9007199254740993', '-9007199254740993'],
    compare: 'text',
  },
  { name: 'zerofill', definition: 'INT(8) UNSIGNED ZEROFILL', values: ['42'], compare: 'number' },
  { name: 'boolean', definition: 'TINYINT(1)', values: ['0', '1', '-128', '127'], compare: 'text' },
  ...decimals,
  {
    name: 'float',
    definition: 'FLOAT',
    values: ['0', '0.1', '-3.4028234e38', '3.4028234e38', '1.17549435e-38', '123456.7'],
    compare: 'float32',
  },
  {
    name: 'double',
    definition: 'DOUBLE',
    values: ['0', '0.1', '-1.7976931348623157e308', '2.2250738585072014e-308', '123456789.123456789'],
    compare: 'float64',
  },
  { name: 'year', definition: 'YEAR', values: ["'0000'", '1901', '2026', '2155'], compare: 'number' },
  {
    name: 'date',
    definition: 'DATE',
    values: ['0000-00-00', '1000-01-01', '9999-12-31', '2026-00-00', '2024-02-29'].map(q),
    compare: 'text',
  },
  ...temporals,
  ...[1, 7, 8, 9, 16, 17, 31, 32, 33, 48, 53, 54, 63, 64].map((width): TypeCase => ({
    name: `bit(${width})`,
    definition: `BIT(${width})`,
    values: ["b'0'", "b'1'", `b'${'1'.repeat(width)}'`, `b'1${'0'.repeat(width - 1)}'`],
    compare: 'number',
  })),
  {
    name: 'enum',
    definition: "ENUM('x','con, coma','con ''comilla''','ñandú','confirmed')",
    values: [q('x'), q('con, coma'), q("con 'comilla'"), q('ñandú'), q('confirmed'), '0'],
    compare: 'utf8-hex',
  },
  {
    name: 'enum of 300',
    definition: `ENUM(${Array.from({ length: 300 }, (_, i) => q(`v${i}`)).join(',')})`,
    values: [q('v0'), q('v255'), q('v256'), q('v299')],
    compare: 'utf8-hex',
  },
  {
    name: 'enum latin1',
    definition: "ENUM('sí','no','€') CHARACTER SET latin1",
    values: [q('sí'), q('€')],
    compare: 'utf8-hex',
  },
  {
    name: 'set',
    definition: "SET('a','con ''comilla''','ñ','d','e','f','g','h','i')",
    values: [q(''), q('a'), q("con 'comilla',i"), q('a,ñ,i')],
    compare: 'utf8-hex',
  },
  {
    name: 'set of 64',
    definition: `SET(${Array.from({ length: 64 }, (_, i) => q(`s${i}`)).join(',')})`,
    values: [q('s0,s31,s32,s63')],
    compare: 'utf8-hex',
  },
  { name: 'char', definition: 'CHAR(20)', values: [q(''), q('ñandú 😀')], compare: 'utf8-hex' },
  {
    name: 'char beyond 255 bytes',
    definition: 'CHAR(255) CHARACTER SET utf8mb4',
    values: [`REPEAT('😀', 255)`, q('a')],
    compare: 'utf8-hex',
  },
  { name: 'varchar', definition: 'VARCHAR(63)', values: [q(''), `REPEAT('é', 63)`], compare: 'utf8-hex' },
  {
    name: 'varchar beyond 255 bytes',
    definition: 'VARCHAR(4000)',
    values: [q(''), q('a'), `REPEAT('€', 4000)`],
    compare: 'utf8-hex',
  },
  ...['TINYTEXT', 'TEXT', 'MEDIUMTEXT', 'LONGTEXT'].map((definition): TypeCase => ({
    name: definition.toLowerCase(),
    definition,
    values: [q(''), q('línea\nuna\ttab'), "REPEAT('ó', 100)"],
    compare: 'utf8-hex',
  })),
  ...[
    'latin1',
    'cp1251',
    'cp1250',
    'latin2',
    'latin5',
    'latin7',
    'cp850',
    'cp852',
    'cp866',
    'macroman',
    'koi8r',
    'greek',
    'hebrew',
    'tis620',
    'ucs2',
    'utf16',
    'utf16le',
    'utf32',
    'utf8mb3',
    'ascii',
    'gbk',
    'gb2312',
    'big5',
    'sjis',
    'cp932',
    'ujis',
    'eucjpms',
    'euckr',
    'cp1256',
    'cp1257',
    'armscii8',
    'dec8',
    'geostd8',
    'hp8',
    'keybcs2',
    'koi8u',
    'macce',
    'swe7',
  ].map((charset): TypeCase => ({
    name: `varchar ${charset}`,
    definition: `VARCHAR(40) CHARACTER SET ${charset}`,
    values: [q('Plain ASCII ~'), ...nationalText(charset).map(q)],
    compare: 'utf8-hex',
  })),
  {
    name: 'varchar gb18030',
    definition: 'VARCHAR(40) CHARACTER SET gb18030',
    values: [q('中文 ñandú 😀')],
    compare: 'utf8-hex',
    only: 'mysql',
  },
  {
    name: 'minus sign in sjis',
    definition: 'VARCHAR(20) CHARACTER SET sjis',
    values: ["_sjis X'3033817C31323334'"],
    compare: 'utf8-hex',
  },
  {
    name: 'latin1 C1 controls',
    definition: 'VARCHAR(10) CHARACTER SET latin1',
    values: ["CONVERT(X'81' USING latin1)", "_latin1 X'808D8F909D9F'"],
    compare: 'utf8-hex',
  },
  {
    name: 'latin text',
    definition: 'VARCHAR(40) CHARACTER SET latin1',
    values: [latin],
    compare: 'utf8-hex',
  },
  {
    name: 'binary',
    definition: 'BINARY(8)',
    values: ["X'00'", "X'0102030405060708'", "X'FF00FF0000000000'"],
    compare: 'hex',
  },
  {
    name: 'varbinary',
    definition: 'VARBINARY(300)',
    values: ["X''", "X'00FF00'", "REPEAT(X'80', 300)"],
    compare: 'hex',
  },
  ...['TINYBLOB', 'BLOB', 'MEDIUMBLOB', 'LONGBLOB'].map((definition): TypeCase => ({
    name: definition.toLowerCase(),
    definition,
    values: ["X''", "X'00FFC080'"],
    compare: 'hex',
  })),
  {
    name: 'json',
    definition: 'JSON',
    values: jsonDocuments.map((text) => q(text.replaceAll('\\', '\\\\'))),
    compare: 'json',
  },
  {
    name: 'json with many keys',
    definition: 'JSON',
    values: [
      q(
        JSON.stringify(
          Object.fromEntries(
            Array.from({ length: 5000 }, (_, i) => [`clave-${i}`, { n: i, t: 'x'.repeat(20) }]),
          ),
        ),
      ),
    ],
    compare: 'json',
  },
  {
    name: 'json opaque values',
    definition: 'JSON',
    values: [
      "JSON_OBJECT('d', CAST('12345678901234567890.123456789' AS DECIMAL(40,10)), 't', CAST('-10:11:12.5' AS TIME(6)), 'dt', CAST('2026-03-07 15:30:00.25' AS DATETIME(6)), 'f', CAST('2026-03-07' AS DATE), 'b', X'00FF')",
    ],
    compare: 'json',
    only: 'mysql',
  },
  { name: 'point', definition: 'POINT', values: ['POINT(1.5, -2.5)'], compare: 'hex' },
  {
    name: 'geometry',
    definition: 'GEOMETRY',
    values: ["ST_GeomFromText('POLYGON((0 0,0 1,1 1,0 0))')", "ST_GeomFromText('MULTIPOINT((0 0),(1 1))')"],
    compare: 'hex',
  },
  {
    name: 'vector',
    definition: 'VECTOR(4)',
    values: ["STRING_TO_VECTOR('[1,2.5,-3,0]')"],
    compare: 'hex',
    only: 'mysql',
  },
  { name: 'generated stored', definition: 'INT AS (7 * 6) STORED', values: [], compare: 'text' },
  { name: 'generated virtual', definition: 'INT AS (7 * 6) VIRTUAL', values: [], compare: 'text' },
  { name: 'invisible', definition: 'INT INVISIBLE', values: ['5'], compare: 'text' },
  {
    name: 'uuid',
    definition: 'UUID',
    values: [
      '123e4567-e89b-12d3-a456-426655440000',
      '00000000-0000-0000-0000-000000000000',
      'ffffffff-ffff-ffff-ffff-ffffffffffff',
      '018f4e1c-7b1a-7c3d-9e2f-0a1b2c3d4e5f',
      '1ec9414c-232a-6b00-b3c8-9e6bdeced846',
      '6ccd780c-baba-1026-9564-5b8c656024db',
      'a1b2c3d4-0000-4000-0000-123456789abc',
    ].map(q),
    compare: 'text',
    only: 'mariadb',
  },
  {
    name: 'inet6',
    definition: 'INET6',
    values: [
      '::',
      '::1',
      '::ffff:192.0.2.128',
      '::192.0.2.128',
      '2001:db8::ff00:42:8329',
      '1:0:0:2:0:0:0:3',
      'fe80:0:0:1::',
    ].map(q),
    compare: 'text',
    only: 'mariadb',
  },
  {
    name: 'inet4',
    definition: 'INET4',
    values: ['0.0.0.0', '192.0.2.1', '255.255.255.255'].map(q),
    compare: 'text',
    only: 'mariadb',
  },
  ...[
    'VARCHAR(63) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci',
    'TEXT CHARACTER SET utf16 COLLATE utf16_uca1400_as_cs',
    "ENUM('ñandú','x') CHARACTER SET utf8mb3 COLLATE utf8mb3_uca1400_swedish_ai_ci",
  ].map((definition): TypeCase => ({
    name: definition.toLowerCase(),
    definition,
    values: [q('ñandú'), q('x')],
    compare: 'utf8-hex',
    only: 'mariadb',
  })),
  {
    name: 'timestamp beyond 2038',
    definition: 'TIMESTAMP(6) NULL',
    values: [
      '2038-01-19 03:14:07.999999',
      '2038-01-19 03:14:08',
      '2099-12-31 23:59:59.5',
      '2106-02-07 06:28:15.999999',
    ].map(q),
    compare: 'text',
    only: 'mariadb-11.8',
  },
  {
    name: 'vector of MariaDB',
    definition: 'VECTOR(4)',
    values: ["VEC_FromText('[1,2.5,-3,0]')"],
    compare: 'hex',
    only: 'mariadb-11.8',
  },
  {
    name: 'varchar compressed',
    definition: 'VARCHAR(500) COMPRESSED',
    values: [q(''), q('corto'), "REPEAT('ñ', 400)"],
    compare: 'utf8-hex',
    only: 'mariadb',
  },
  {
    name: 'blob compressed',
    definition: 'BLOB COMPRESSED',
    values: ["X''", "X'00FF'", "REPEAT(X'AB', 5000)"],
    compare: 'hex',
    only: 'mariadb',
  },
];

function nationalText(charset: string): string[] {
  if (charset === 'ascii') return [];
  if (/^(utf|ucs)/.test(charset))
    return ['ñandú жук 中文', ...(charset === 'ucs2' || charset === 'utf8mb3' ? [] : ['😀 𝄞'])];
  if (['cp1251', 'cp866', 'koi8r'].includes(charset)) return ['Привет'];
  if (['latin2', 'cp1250', 'cp852'].includes(charset)) return ['Žluťoučký'];
  if (['latin7', 'cp1257'].includes(charset)) return ['Žąsis'];
  if (['gbk', 'gb2312', 'big5'].includes(charset)) return ['中文'];
  if (['sjis', 'cp932', 'ujis', 'eucjpms'].includes(charset)) return ['日本語 カナ'];
  if (charset === 'euckr') return ['한국어'];
  if (charset === 'greek') return ['Ελλάδα'];
  if (charset === 'hebrew') return ['שלום'];
  if (charset === 'tis620') return ['ไทย'];
  if (charset === 'cp1256') return ['مرحبا'];
  if (charset === 'koi8u') return ['Привіт'];
  if (charset === 'keybcs2' || charset === 'macce') return ['Žluťoučký'];
  if (charset === 'armscii8') return ['Բարեւ'];
  if (charset === 'geostd8') return ['გამარჯობა'];
  if (charset === 'swe7') return ['Åkerö'];
  return ['ñandú é ü'];
}
