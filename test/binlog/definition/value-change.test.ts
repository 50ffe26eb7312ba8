import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HaltError } from '../../../src/binlog/halt.ts';
import type { Position } from '../../../src/binlog/types.ts';
import { byName, endOfLog, openReader, takeUntil, type ReadOptions } from '../../support/read-log.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../../support/server.ts';

const loose = "SET SESSION sql_mode = ''";
const strict = "SET SESSION sql_mode = 'STRICT_TRANS_TABLES'";
const swap = (...alterations: string[]): string[] => [
  'CREATE TABLE _t_gho LIKE t',
  ...alterations.map((each) => `ALTER TABLE _t_gho ${each}`),
  'INSERT IGNORE INTO _t_gho (id) SELECT id FROM t',
  'RENAME TABLE t TO _t_del, _t_gho TO t',
];

describe.each(flavours)('a definition in the log of %s', (flavour) => {
  const server = sharedServer(flavour);
  let schema: TestSchema;
  beforeEach(async () => {
    schema = await createSchema(
      server,
      `CREATE TABLE t (id VARCHAR(10) CHARACTER SET ascii PRIMARY KEY, a VARCHAR(20), b VARCHAR(20), n INT, e ENUM('x','y'), d DECIMAL(8,2), other VARCHAR(20))`,
    );
  });
  afterEach(() => schema.drop());

  const watch = { t: ['id', 'a', 'b', 'n', 'e', 'd'] };

  async function haltOf(position: Position, extra: Partial<ReadOptions> = {}): Promise<HaltError | null> {
    const stream = await openReader({ flavour, schema, position, watch, ...extra });
    try {
      await takeUntil(stream, ({ rows }) => rows.some((row) => byName(row, 'after')['id'] === 'dos'));
      return null;
    } catch (error) {
      if (error instanceof HaltError) return error;
      throw error;
    } finally {
      stream.close();
    }
  }

  /** A row before the statements, and one after them. */
  async function haltAfter(
    statements: readonly string[],
  ): Promise<{ halt: HaltError | null; position: Position }> {
    const position = await endOfLog(flavour, schema);
    const session = await schema.connect();
    await session.query("INSERT INTO t (id, a, b, n, e, d) VALUES ('uno', 'marca-a', 'b', 1000, 'y', 1.25)");
    await session.query(strict);
    for (const statement of statements) await session.query(statement);
    await session.query("INSERT INTO t (id) VALUES ('dos')");
    return { halt: await haltOf(position), position };
  }

  const changing: [column: string, statements: string[]][] = [
    ['a', ['ALTER TABLE t DROP COLUMN a, ADD COLUMN a VARCHAR(20)']],
    ['a', ['ALTER TABLE t DROP COLUMN a', 'ALTER TABLE t ADD COLUMN a VARCHAR(20) AFTER id']],
    ['a', ['ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a']],
    ['a', ['ALTER TABLE t RENAME COLUMN a TO c', 'ALTER TABLE t RENAME COLUMN other TO a']],
    ['a', ['ALTER TABLE t CHANGE a b VARCHAR(20), CHANGE b a VARCHAR(20)']],
    [
      'id',
      [
        loose,
        'ALTER TABLE t MODIFY id VARCHAR(2) CHARACTER SET ascii',
        'ALTER TABLE t MODIFY id VARCHAR(10) CHARACTER SET ascii',
      ],
    ],
    ['n', [loose, 'ALTER TABLE t MODIFY n TINYINT', strict, 'ALTER TABLE t MODIFY n INT']],
    ['a', ["UPDATE t SET a = '7'", 'ALTER TABLE t MODIFY a INT', 'ALTER TABLE t MODIFY a VARCHAR(20)']],
    ['a', [loose, 'ALTER TABLE t MODIFY a VARCHAR(20) CHARACTER SET ascii']],
    ['a', [loose, 'ALTER TABLE t CONVERT TO CHARACTER SET ascii']],
    ['a', [loose, 'ALTER TABLE t DEFAULT CHARACTER SET ascii', 'ALTER TABLE t MODIFY a VARCHAR(30)']],
    [
      'a',
      [
        loose,
        'ALTER TABLE t DEFAULT CHARACTER SET ascii',
        'ALTER TABLE t MODIFY a VARCHAR(30)',
        'ALTER TABLE t MODIFY a VARCHAR(30) CHARACTER SET utf8mb4',
      ],
    ],
    ['d', ['ALTER TABLE t MODIFY d DECIMAL(8,1)', 'ALTER TABLE t MODIFY d DECIMAL(8,2)']],
    ['e', ["ALTER TABLE t MODIFY e ENUM('X','Y')", "ALTER TABLE t MODIFY e ENUM('x','y')"]],
    ['n', ['ALTER TABLE t MODIFY n INT GENERATED ALWAYS AS (7) STORED']],
    ['a', swap('DROP COLUMN a', 'ADD COLUMN a VARCHAR(20)')],
    ['a', swap('RENAME COLUMN a TO z', 'RENAME COLUMN b TO a', 'RENAME COLUMN z TO b')],
    ['a', swap('MODIFY a VARCHAR(5)')],
    ['d', swap('MODIFY d DECIMAL(8,1)')],
    [
      'n',
      [
        'SET SESSION sql_log_bin = 0',
        loose,
        'ALTER TABLE t MODIFY n SMALLINT',
        'SET SESSION sql_log_bin = 1',
      ],
    ],
  ];

  it.each(changing)('stops the reader where %s may have other values: %j', async (column, statements) => {
    const { halt, position } = await haltAfter(statements);
    expect(halt?.halt).toMatchObject({ reason: 'column-changed', table: `${schema.name}.t` });
    expect(halt?.message).toContain(`${schema.name}.t.${column} `);
    expect(halt?.message).not.toContain('marca-a');
    expect(halt?.remedy).toContain('resume --accept-gap --reason "definition changed"');
    // As an acceptance leaves it: the reader begins before the definition, and nothing is known of the table.
    expect(await haltOf(halt!.halt.position!, { baseline: {} })).toBeNull();
    expect(position).not.toEqual(halt!.halt.position);
  });

  it('reads on over definitions that keep every value', async () => {
    const { halt } = await haltAfter([
      'ALTER TABLE t ADD COLUMN x INT, ADD INDEX (d), ADD UNIQUE INDEX (id, n)',
      'ALTER TABLE t DROP COLUMN other, RENAME COLUMN x TO y',
      'CREATE INDEX i ON t (n)',
      'DROP INDEX i ON t',
      "ALTER TABLE t COMMENT = 'DROP COLUMN a', ALTER COLUMN a SET DEFAULT 'z'",
      'ALTER TABLE t MODIFY a VARCHAR(40) AFTER b, MODIFY n BIGINT, MODIFY d DECIMAL(12,4)',
      "ALTER TABLE t MODIFY e ENUM('nuevo','y','x'), CHANGE b b TEXT",
      'ALTER TABLE t MODIFY n INT, MODIFY a VARCHAR(40) CHARACTER SET latin1',
      'ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4',
      loose,
      'ALTER TABLE t MODIFY a VARCHAR(50), MODIFY n BIGINT',
      'ALTER TABLE t MODIFY n BIGINT, ADD COLUMN later INT',
      ...swap('MODIFY a VARCHAR(60)', 'ADD COLUMN w INT'),
    ]);
    expect(halt).toBeNull();
  });
});
