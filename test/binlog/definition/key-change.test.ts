import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HaltError } from '../../../src/binlog/halt.ts';
import type { Position } from '../../../src/binlog/types.ts';
import { netChanges } from '../../../src/change/net-changes.ts';
import { endOfLog, openReader, takeUntil, type ReadOptions } from '../../support/read-log.ts';
import { createSchema, type SharedServer, type TestSchema } from '../../support/server.ts';
import { borrowServer, modes } from '../modes.ts';

/** What becomes of the identity of the row (id 1, sede 'n', doc 'd1') after a definition; null where no key is left. */
interface KeyChange {
  definition: string[];
  key: string | null;
}

const loosely = "SET SESSION sql_mode = ''";
const keyChanges: KeyChange[] = [
  { definition: ['ALTER TABLE t DROP PRIMARY KEY'], key: null },
  { definition: ['ALTER TABLE t DROP PRIMARY KEY', 'ALTER TABLE t ADD PRIMARY KEY (id)'], key: '1' },
  { definition: ['ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id)'], key: '1' },
  { definition: ['ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (doc)'], key: 'd1' },
  { definition: ['ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (doc(2))'], key: 'd1' },
  { definition: ['ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, sede)'], key: '1,n' },
  {
    definition: ['ALTER TABLE t DROP PRIMARY KEY, ADD CONSTRAINT pk PRIMARY KEY USING BTREE (sede, id)'],
    key: 'n,1',
  },
  {
    definition: [
      'ALTER TABLE t ADD COLUMN n INT NOT NULL DEFAULT 7, DROP PRIMARY KEY, ADD PRIMARY KEY (n, id)',
    ],
    key: '7,1',
  },
  {
    definition: [
      'ALTER TABLE t DROP PRIMARY KEY',
      'ALTER TABLE t ADD COLUMN n BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY FIRST',
    ],
    key: '1',
  },
  { definition: ['ALTER TABLE t DROP PRIMARY KEY, ADD UNIQUE KEY u (doc)'], key: 'd1' },
  { definition: ['ALTER TABLE t DROP PRIMARY KEY, ADD UNIQUE KEY u (sede, doc)'], key: 'n,d1' },
  { definition: ['ALTER TABLE t DROP PRIMARY KEY, ADD UNIQUE KEY u (libre)'], key: null },
  { definition: ['ALTER TABLE t ADD UNIQUE KEY u (doc)', 'ALTER TABLE t DROP PRIMARY KEY'], key: 'd1' },
  {
    definition: ['ALTER TABLE t DROP PRIMARY KEY, ADD UNIQUE KEY u (doc)', 'ALTER TABLE t DROP INDEX u'],
    key: null,
  },
  {
    definition: [
      'ALTER TABLE t DROP PRIMARY KEY, ADD UNIQUE KEY u (doc)',
      'DROP INDEX u ON t',
      'CREATE UNIQUE INDEX v ON t (id)',
    ],
    key: '1',
  },
  {
    definition: [
      'ALTER TABLE t DROP PRIMARY KEY, ADD UNIQUE KEY u (doc)',
      'ALTER TABLE t MODIFY doc VARCHAR(10) CHARACTER SET ascii NULL',
    ],
    key: null,
  },
  {
    definition: [
      'ALTER TABLE t RENAME INDEX i TO j, DROP PRIMARY KEY, ADD PRIMARY KEY (doc, id), ADD INDEX (id)',
    ],
    key: 'd1,1',
  },
  {
    definition: [
      'CREATE TABLE _t_new LIKE t',
      'ALTER TABLE _t_new DROP PRIMARY KEY, ADD PRIMARY KEY (doc)',
      'INSERT INTO _t_new SELECT * FROM t',
      'RENAME TABLE t TO _t_old, _t_new TO t',
    ],
    key: 'd1',
  },
  {
    definition: [
      'CREATE TABLE _t_new LIKE t',
      'ALTER TABLE _t_new DROP PRIMARY KEY',
      'INSERT INTO _t_new SELECT * FROM t',
      'RENAME TABLE t TO _t_old, _t_new TO t',
    ],
    key: null,
  },
];

const keyColumnChanges: { definition: string[] }[] = [
  { definition: ['ALTER TABLE t RENAME COLUMN id TO num'] },
  { definition: ['ALTER TABLE t CHANGE id num INT'] },
  { definition: ['ALTER TABLE t DROP PRIMARY KEY, DROP COLUMN id, ADD PRIMARY KEY (doc)'] },
  {
    definition: [
      'ALTER TABLE t DROP PRIMARY KEY, RENAME COLUMN id TO num, RENAME COLUMN aux TO id, ADD PRIMARY KEY (id)',
    ],
  },
  { definition: [loosely, 'ALTER TABLE t MODIFY id TINYINT', 'ALTER TABLE t MODIFY id INT'] },
];

describe.each(modes)('keys that a definition changes in the log of $name', (mode) => {
  const { flavour } = mode;
  let server: SharedServer;
  let giveBack: () => Promise<void>;
  let schema: TestSchema;
  beforeAll(async () => {
    ({ server, giveBack } = await borrowServer(mode));
  });
  afterAll(() => giveBack());
  beforeEach(async () => {
    schema = await createSchema(
      server,
      `CREATE TABLE t (id INT NOT NULL, sede CHAR(1) NOT NULL, doc VARCHAR(10) CHARACTER SET ascii NOT NULL, libre INT, aux INT NOT NULL, nota VARCHAR(20),
         PRIMARY KEY (id), INDEX i (nota))`,
    );
  });
  afterEach(() => schema.drop());

  /** Reads up to the row with the note `fin`: of each change what was done, and to which key. */
  async function readKeys(position: Position, extra: Partial<ReadOptions> = {}): Promise<string[]> {
    const stream = await openReader({ flavour, schema, position, watch: { t: ['id', 'nota'] }, ...extra });
    try {
      const parts = await takeUntil(stream, ({ rows }) =>
        rows.some(({ table, after }) => after?.[table.indexOf.get('nota')!] === 'fin'),
      );
      return parts.flatMap(({ rows }) => netChanges(rows).map(({ op, key }) => `${op} ${key}`));
    } finally {
      stream.close();
    }
  }

  async function change({ definition }: { definition: string[] }): Promise<Position> {
    const position = await endOfLog(flavour, schema);
    const session = await schema.connect();
    await session.query("INSERT INTO t VALUES (1, 'n', 'd1', NULL, 5, 'uno')");
    for (const statement of definition) await session.query(statement);
    await session.query("UPDATE t SET nota = 'fin'");
    return position;
  }

  it.each(keyChanges)('come as the log shows them: $definition', async ({ definition, key }) => {
    const position = await change({ definition });
    if (key !== null) {
      expect(await readKeys(position)).toEqual(['insert 1', `update ${key}`]);
      return;
    }
    const error = await readKeys(position).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(HaltError);
    const { halt } = error as HaltError;
    expect(halt).toMatchObject({ reason: 'column-changed', table: `${schema.name}.t` });
    expect(halt.message).toContain(`${schema.name}.t has no primary key any more`);
    expect(halt.remedy).toContain('resume --accept-gap --reason "definition changed"');
    // As an acceptance leaves it: all watched columns identify the row.
    expect(await readKeys(halt.position!, { baseline: {} })).toEqual([
      expect.stringMatching(/^update [0-9a-f]{32}$/),
    ]);
  });

  it.each(keyColumnChanges)(
    'stop the reader where a column of the key is another: $definition',
    async (how) => {
      const error = await readKeys(await change(how)).catch((caught: unknown) => caught);
      expect((error as HaltError).halt).toMatchObject({
        reason: 'column-changed',
        table: `${schema.name}.t`,
      });
      expect((error as HaltError).halt.message).toContain(`${schema.name}.t.id `);
    },
  );

  it('split an UPDATE by the key in force, and stop the reader over a restart too', async () => {
    const position = await endOfLog(flavour, schema);
    const run = async (...statements: string[]): Promise<void> => {
      for (const statement of statements) await schema.query(statement);
    };
    await run(
      "INSERT INTO t VALUES (1, 'n', 'd1', NULL, 5, 'uno')",
      "UPDATE t SET doc = 'd2'",
      'UPDATE t SET id = 2',
    );
    await run('ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (doc)');
    await run("UPDATE t SET doc = 'd3', nota = 'x'", "UPDATE t SET id = 3, nota = 'fin'");
    expect(await readKeys(position)).toEqual([
      'insert 1',
      'delete 1',
      'insert 2',
      'delete d2',
      'insert d3',
      'update d3',
    ]);
    const behind = await endOfLog(flavour, schema);
    await run('ALTER TABLE t DROP PRIMARY KEY', "UPDATE t SET nota = 'fin', id = 4");
    const known = { t: { doc: { kind: 'text', isKey: true }, id: { kind: 'integer' } } } as const;
    await expect(readKeys(behind, { baseline: known })).rejects.toThrow('has no primary key any more');
  });

  it.each([
    ['another unique key', 'ALTER TABLE t ADD UNIQUE KEY u (doc)', 'ALTER TABLE t DROP PRIMARY KEY'],
    ['a longer key', 'ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (id, sede)', 'DO 0'],
    ['two other keys', 'ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (doc)', "UPDATE t SET nota = 'x'"],
  ])('stop the reader where a former key is in force again after %s', async (name, first, second) => {
    const position = await endOfLog(flavour, schema);
    const run = async (...statements: string[]): Promise<void> => {
      for (const statement of statements) await schema.query(statement);
    };
    await run("INSERT INTO t VALUES (1, 'n', 'd1', NULL, 5, 'uno')", 'UPDATE t SET id = 2', first, second);
    // Row 2 becomes row 1 again, of which the receivers know that it was deleted.
    await run('UPDATE t SET id = 1');
    if (name === 'two other keys')
      await run('ALTER TABLE t DROP PRIMARY KEY, ADD PRIMARY KEY (doc, sede)', "UPDATE t SET nota = 'y'");
    const again = name === 'another unique key' ? '' : 'DROP PRIMARY KEY, ';
    await run(`ALTER TABLE t ${again}ADD PRIMARY KEY (id)`, "UPDATE t SET nota = 'fin'");
    const error = await readKeys(position).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(HaltError);
    const { halt } = error as HaltError;
    expect(halt).toMatchObject({ reason: 'column-changed', table: `${schema.name}.t` });
    expect(halt.message).toContain(`${schema.name}.t has a key again that it had before`);
    expect(halt.remedy).toContain('resume --accept-gap --reason "definition changed"');
    // As an acceptance leaves it.
    expect(await readKeys(halt.position!, { baseline: {} })).toEqual(['update 1']);
  });
});
