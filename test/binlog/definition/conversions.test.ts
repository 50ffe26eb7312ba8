import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readAlteration } from '../../../src/binlog/definition/alter-actions.ts';
import { showColumn } from '../../../src/binlog/definition/shown-column.ts';
import { findValueChange } from '../../../src/binlog/definition/value-change.ts';
import { readDictionary } from '../../../src/binlog/source/dictionary.ts';
import { openSource, type Source, type SourceIdentity } from '../../../src/binlog/source/source.ts';
import { dictionaryRules } from '../../../src/binlog/statement/lexical-rules.ts';
import { parseStatement } from '../../../src/binlog/statement/parse-statement.ts';
import { parseDatabaseUrl } from '../../../src/db/connection/database-url.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../../support/server.ts';

/*
 * Definitions are tried on the servers: wherever a value is another one afterwards, the rule must have said so from the statement alone.
 */

interface Former {
  type: string;
  values: readonly string[];
  /** Definitions that the rule must find harmless. */
  kept: readonly string[];
  /** Definitions that change values on some server, or that it may refuse. */
  other: readonly string[];
}

const formers: readonly Former[] = [
  {
    type: 'SMALLINT',
    values: ['-32768', '-1', '0', '200', '32767', 'NULL'],
    kept: ['INT', 'BIGINT NULL DEFAULT 5', 'INTEGER(5)', 'INT8', "MEDIUMINT COMMENT 'NOT NULL'"],
    other: [
      'TINYINT',
      'TINYINT UNSIGNED',
      'INT UNSIGNED',
      'INT ZEROFILL',
      'INT NOT NULL',
      'INT AS (7)',
      'INT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE',
      'SERIAL',
    ],
  },
  {
    type: 'INT UNSIGNED NOT NULL',
    values: ['0', '4294967295'],
    kept: ['BIGINT', 'BIGINT UNSIGNED NOT NULL', 'INT UNSIGNED NULL'],
    other: ['INT', 'SMALLINT UNSIGNED', 'INT UNSIGNED NOT NULL AUTO_INCREMENT UNIQUE'],
  },
  {
    type: 'DECIMAL(10,2)',
    values: ['12345678.25', '-0.05', 'NULL'],
    kept: ['DECIMAL(10,2)', 'DECIMAL(12,4)', 'NUMERIC(11,2)', 'DEC(20,2) DEFAULT (1)'],
    other: ['DECIMAL(10,1)', 'DECIMAL', 'DECIMAL(9,2)', 'DECIMAL(10,2) UNSIGNED', 'DECIMAL(8,2)'],
  },
  {
    type: 'DOUBLE',
    values: ['0.1234567890123', '-1e20'],
    kept: ['DOUBLE', 'DOUBLE PRECISION', 'FLOAT(30)', 'FLOAT8'],
    other: ['FLOAT', 'FLOAT(20)', 'DOUBLE(10,2)', 'DOUBLE UNSIGNED'],
  },
  {
    type: 'FLOAT',
    values: ['1.5', '-2e10'],
    kept: ['FLOAT', 'DOUBLE'],
    other: ['FLOAT(5,1)', 'FLOAT UNSIGNED'],
  },
  {
    type: 'DATETIME(3)',
    values: ["'2026-03-07 15:30:59.999'", 'NULL'],
    kept: ['DATETIME(3)', 'DATETIME(6)'],
    other: ['DATETIME', 'DATETIME(2)', 'DATETIME(3) NOT NULL'],
  },
  { type: 'TIME(2)', values: ["'-10:11:12.99'"], kept: ['TIME(6)'], other: ['TIME', 'TIME(1)'] },
  {
    type: 'TIMESTAMP(2) NULL',
    values: ["'2026-03-07 15:30:59.99'", 'NULL'],
    kept: ['TIMESTAMP(4) NULL'],
    other: ['TIMESTAMP NULL', 'TIMESTAMP(2) NOT NULL DEFAULT CURRENT_TIMESTAMP(2)'],
  },
  { type: 'BIT(5)', values: ["b'10101'"], kept: ['BIT(5)', 'BIT(9)'], other: ['BIT(3)', 'BIT'] },
  { type: 'YEAR', values: ['2026', '0'], kept: ['YEAR'], other: [] },
  { type: 'DATE', values: ["'2026-03-07'"], kept: ['DATE'], other: [] },
  {
    type: 'VARCHAR(6) CHARACTER SET latin1',
    values: ["'Peña  '", "'abcdef'", "''", 'NULL'],
    kept: [
      'VARCHAR(7) CHARACTER SET latin1',
      'VARCHAR(6) CHARACTER SET utf8mb4',
      'VARCHAR(20) COLLATE utf8mb4_bin AFTER id',
      "CHARACTER VARYING(6) CHARSET 'latin1'",
      'TEXT CHARACTER SET utf8mb4',
      'TINYTEXT CHARACTER SET latin1',
    ],
    other: [
      'VARCHAR(6) CHARACTER SET ascii',
      'VARCHAR(5) CHARACTER SET latin1',
      'CHAR(20) CHARACTER SET latin1',
      'VARCHAR(4)',
      'VARCHAR(10) NOT NULL',
      'VARCHAR(6) CHARACTER SET greek',
      'NATIONAL VARCHAR(4)',
      'VARBINARY(20)',
      'TEXT(3)',
    ],
  },
  {
    type: 'CHAR(6) CHARACTER SET utf8mb4',
    values: ["'Peña'", "'日本'"],
    kept: [
      'CHAR(7) CHARACTER SET utf8mb4',
      'VARCHAR(6) CHARACTER SET utf8mb4',
      'LONGTEXT CHARACTER SET utf8mb4',
    ],
    other: [
      'CHAR(3) CHARACTER SET utf8mb4',
      'CHAR(6) ASCII',
      'CHAR(6) UNICODE',
      'BINARY(24)',
      'CHAR(24) BYTE',
    ],
  },
  {
    type: 'TEXT CHARACTER SET utf8mb4',
    values: ["REPEAT('ñ', 300)"],
    kept: ['MEDIUMTEXT CHARACTER SET utf8mb4', 'LONG VARCHAR CHARACTER SET utf8mb4'],
    other: [
      'TINYTEXT CHARACTER SET utf8mb4',
      'VARCHAR(299) CHARACTER SET utf8mb4',
      'TEXT CHARACTER SET latin1',
      'BLOB',
    ],
  },
  {
    type: 'BINARY(3)',
    values: ["'ab'"],
    kept: ['BINARY(3)', 'VARBINARY(3)', 'BLOB'],
    other: ['BINARY(2)', 'BINARY(5)', 'VARBINARY(2)', 'CHAR(3)'],
  },
  {
    type: 'VARBINARY(3)',
    values: ["'ab'", "'abc'"],
    kept: ['VARBINARY(4)', 'LONG VARBINARY', 'TINYBLOB'],
    other: ['BINARY(4)', 'VARBINARY(1)'],
  },
  {
    type: "ENUM('a','b c','it''s')",
    values: ["'a'", "'b c'", "'it''s'", 'NULL'],
    kept: ["ENUM('a','b c','it''s','d')", "ENUM('it''s','new','b c','a')", `ENUM("a",'b c',"it's")`],
    other: [
      "ENUM('a','b c')",
      "ENUM('A','B C','IT''S')",
      "ENUM('a','b c','it''s') NOT NULL",
      "ENUM('x','y','z')",
    ],
  },
  {
    type: "SET('a','b','c')",
    values: ["'a,b'", "'c'", "''"],
    kept: ["SET('a','b','c','d')", "SET('x','a','b','y','c')"],
    other: ["SET('b','a','c')", "SET('a','b')", "SET('A','b','c')"],
  },
  { type: 'JSON', values: ['\'{"a": 1}\''], kept: ['JSON'], other: ['TEXT', 'VARCHAR(3)'] },
  { type: 'POINT', values: ['POINT(1, 2)'], kept: ['POINT', 'GEOMETRY'], other: [] },
];

/** What can be written around the definition of a column, and every other action of an ALTER TABLE of both servers. */
const around: readonly [statement: string, changes: string | null][] = [
  ['ALTER TABLE t ADD COLUMN n INT', null],
  ['ALTER TABLE t ADD (n INT, m CHAR(3) DEFAULT (1 + 2), INDEX (n))', null],
  ['ALTER TABLE t ADD INDEX i (c), ADD UNIQUE KEY u (id, c), ADD CONSTRAINT k CHECK (id > 0)', null],
  ['ALTER TABLE t ADD FULLTEXT INDEX f (c), ALGORITHM=COPY, LOCK=SHARED', null],
  ["ALTER TABLE t ALTER COLUMN c SET DEFAULT 'x', ALTER c DROP DEFAULT", null],
  ["ALTER TABLE t COMMENT = 'DROP COLUMN c', AUTO_INCREMENT = 5, ROW_FORMAT = DYNAMIC", null],
  ['ALTER TABLE t DEFAULT CHARACTER SET latin1 COLLATE latin1_bin', null],
  ['ALTER TABLE t DISABLE KEYS, ENABLE KEYS, FORCE', null],
  ['ALTER TABLE t ORDER BY c DESC, id', null],
  ['ALTER TABLE t RENAME INDEX i TO j', null],
  ['ALTER TABLE t RENAME KEY i TO j, DROP KEY j', null],
  ['ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, c)', null],
  ['ALTER TABLE t DROP FOREIGN KEY c, DROP INDEX c, DROP CONSTRAINT c, DROP CHECK c', null],
  ['ALTER TABLE t PARTITION BY KEY (id) PARTITIONS 3', null],
  ['ALTER TABLE t REMOVE PARTITIONING', null],
  ['ALTER TABLE t ADD SYSTEM VERSIONING, ADD PERIOD FOR SYSTEM_TIME (s, e)', null],
  ['ALTER TABLE t DROP SYSTEM VERSIONING, DROP PERIOD FOR SYSTEM_TIME', null],
  ['ALTER TABLE t ALTER INDEX i INVISIBLE, ALTER COLUMN c SET INVISIBLE, ALTER CHECK k NOT ENFORCED', null],
  ['ALTER TABLE t ENGINE=InnoDB, STATS_PERSISTENT=1', null],
  [
    'ALTER TABLE t DROP COLUMN other, DROP extra, RENAME COLUMN n TO m, MODIFY n INT, CHANGE n m CHAR(1)',
    null,
  ],
  ['ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin', null],
  ['ALTER TABLE t MODIFY c VARCHAR(20) CHARACTER SET utf8mb4 REMOVE PARTITIONING', null],
  ['ALTER TABLE t DROP COLUMN c', 'c'],
  ['ALTER TABLE t DROP c RESTRICT, ADD COLUMN c VARCHAR(20) CHARACTER SET utf8mb4', 'c'],
  ['ALTER TABLE t ADD n INT, DROP COLUMN `C`', 'c'],
  ['ALTER TABLE IF EXISTS t NOWAIT DROP COLUMN IF EXISTS c', 'c'],
  ['ALTER ONLINE TABLE db.t WAIT 5 RENAME COLUMN c TO d, RENAME COLUMN d TO c', 'c'],
  ['ALTER TABLE t CHANGE COLUMN c d VARCHAR(20) CHARACTER SET utf8mb4, CHANGE d c VARCHAR(20)', 'c'],
  ['ALTER TABLE t RENAME COLUMN d TO n, RENAME COLUMN c TO d', 'c'],
  ['ALTER TABLE t CHANGE c c VARCHAR(10) CHARACTER SET utf8mb4', 'c'],
  ['ALTER TABLE t CHANGE c c VARCHAR(20) CHARACTER SET utf8mb4 FIRST', null],
  ['ALTER TABLE t MODIFY COLUMN t.c TEXT CHARACTER SET binary', 'c'],
  ['ALTER TABLE t MODIFY COLUMN IF EXISTS c INVENTED', 'c'],
  ['ALTER TABLE t CONVERT TO CHARACTER SET binary', 'c'],
  ['ALTER TABLE t MODIFY n INT DEFAULT (1, 2), MODIFY c VARCHAR(9) CHARACTER SET utf8mb4', 'c'],
];

function judge(
  flavour: 'mysql' | 'mariadb',
  statement: string,
  { known, isStrict }: Pick<Parameters<typeof findValueChange>[1], 'known'> & { isStrict: boolean },
): string | null {
  const parsed = parseStatement(Buffer.from(statement), dictionaryRules(flavour, ''));
  const alteration = readAlteration(parsed)!;
  const compared = new Set(Object.keys(known).filter((name) => name === 'c'));
  const mode = { isStrict, padsChar: false };
  return findValueChange(alteration, { known, compared, mode })?.column ?? null;
}

it.each(around)('finds in %s what it does to the column c', (statement, column) => {
  const known = {
    c: { kind: 'text', type: 'varchar(20)', charset: 'utf8mb4' },
    n: { kind: 'integer', type: 'int' },
  } as const;
  expect(judge('mariadb', statement, { known, isStrict: true })).toBe(column);
});

describe.each(flavours)('a definition on %s', (variant) => {
  const server = sharedServer(variant);
  let schema: TestSchema;
  let source: Source;
  let identity: SourceIdentity;
  beforeAll(async () => {
    schema = await createSchema(server);
    source = openSource(parseDatabaseUrl(schema.url()));
    identity = await source.identify();
  });
  afterAll(async () => {
    await source.close();
    await schema.drop();
  });

  /** As text, without the zeros at the end of a fraction, which a wider type adds. */
  async function readValues(kind: string): Promise<string> {
    const shown =
      kind === 'bit'
        ? 'c + 0'
        : ['binary', 'geometry'].includes(kind)
          ? 'HEX(c)'
          : 'CAST(c AS CHAR CHARACTER SET utf8mb4)';
    const rows = await schema.query(`SELECT ${shown} AS text FROM t ORDER BY id`);
    return JSON.stringify(
      rows.map(({ text }) =>
        typeof text === 'string' && /^\S+ ?[\d:]*\.\d+$/.test(text) ? text.replace(/\.?0+$/, '') : text,
      ),
    );
  }

  async function tryConversion(former: Former, definition: string, isStrict: boolean): Promise<string[]> {
    await schema.query(
      `DROP TABLE IF EXISTS t; CREATE TABLE t (id INT PRIMARY KEY, c ${former.type}) CHARACTER SET utf8mb4`,
    );
    for (const [id, value] of former.values.entries())
      if (value !== 'NULL' || !former.type.includes('NOT NULL'))
        await schema.query(`INSERT INTO t VALUES (${id}, ${value})`);
    const { tables } = await readDictionary(source, identity);
    const table = tables.get('t')!;
    const column = table.columnOf.get('c')!;
    const known = { c: showColumn(column, table) };
    const before = await readValues(column.kind);
    const statement = `ALTER TABLE t MODIFY c ${definition}`;
    const verdict = judge(identity.flavour, statement, { known, isStrict });
    const isRefused = await schema.query(statement).then(
      () => false,
      () => true,
    );
    const isChanged = !isRefused && (await readValues(column.kind)) !== before;
    const place = `${former.type} → ${definition}`;
    if (isChanged && verdict === null) return [`${place} changes values`];
    if (former.kept.includes(definition) && (verdict !== null || isRefused)) return [`${place} is harmless`];
    return [];
  }

  it.each([true, false])(
    'is called harmless only where no value changes, strict: %s',
    { timeout: 120_000 },
    async (isStrict) => {
      await schema.query(
        isStrict ? "SET SESSION sql_mode = 'STRICT_TRANS_TABLES'" : "SET SESSION sql_mode = ''",
      );
      for (const former of formers)
        for (const definition of [...former.kept, ...former.other])
          await tryConversion(former, definition, isStrict);
    },
  );
});
