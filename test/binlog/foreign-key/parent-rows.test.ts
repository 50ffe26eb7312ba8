import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it } from 'vitest';
import { CascadeReach } from '../../../src/binlog/foreign-key/cascade-reach.ts';
import { readKeyGraph, tableKey } from '../../../src/binlog/foreign-key/read-keys.ts';
import { openSource } from '../../../src/binlog/source/source.ts';
import type { BinlogStream } from '../../../src/binlog/stream.ts';
import { startPrivateServer } from '../../../src/demo/private-server.ts';
import type { Flavour, ServerVariant } from '../../../src/demo/server-binaries.ts';
import { parseDatabaseUrl } from '../../../src/db/connection/database-url.ts';
import { openReader, takeUntil } from '../../support/read-log.ts';
import { createSchema, sharedServer, type SharedServer, type TestSchema } from '../../support/server.ts';

interface Server {
  name: string;
  flavour: Flavour;
  /** Where it is not the flavour's first version. */
  variant?: ServerVariant;
  settings: string[];
  /** Whether the server logs what foreign keys change. */
  logs: boolean;
}

const servers: Server[] = [
  { name: 'MySQL', flavour: 'mysql', settings: [], logs: true },
  {
    name: 'MySQL with native keys',
    flavour: 'mysql',
    settings: ['innodb_native_foreign_keys=ON'],
    logs: false,
  },
  { name: 'MariaDB', flavour: 'mariadb', settings: [], logs: false },
  { name: 'MariaDB 11.8', flavour: 'mariadb', variant: 'mariadb-11.8', settings: [], logs: false },
];

describe.each(servers)('parents in the log of $name', ({ flavour, variant = flavour, settings, logs }) => {
  let server: SharedServer;
  let giveBack = (): Promise<void> => Promise.resolve();
  let schema: TestSchema;
  let reader: BinlogStream;
  beforeAll(async () => {
    if (settings.length === 0) {
      server = sharedServer(variant);
      return;
    }
    const own = await startPrivateServer({ flavour, settings });
    server = own;
    giveBack = () => own.stop();
  });
  afterAll(() => giveBack());
  beforeEach(async () => {
    schema = await createSchema(
      server,
      `CREATE TABLE parent (id INT PRIMARY KEY, code VARCHAR(20) UNIQUE, doc JSON, place POINT);
      CREATE TABLE middle (id INT PRIMARY KEY, parent_id INT, FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE);
      CREATE TABLE child (id INT PRIMARY KEY, middle_id INT, code VARCHAR(20),
        FOREIGN KEY (middle_id) REFERENCES middle (id) ON DELETE SET NULL,
        FOREIGN KEY (code) REFERENCES parent (code) ON UPDATE CASCADE);
      CREATE TABLE t (id INT PRIMARY KEY);
      INSERT INTO parent (id, code) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
      INSERT INTO middle VALUES (1, 1), (2, 2), (3, 3), (4, 4);
      INSERT INTO child VALUES (1, 1, NULL), (2, 2, NULL), (4, NULL, 'd')`,
    );
    const source = openSource(parseDatabaseUrl(schema.url()));
    const child = { schema: schema.name, table: 'child' };
    const { graph } = await readKeyGraph(source, [child], false);
    await source.close();
    const parents = new CascadeReach(graph, new Set([tableKey(child, false)]), false).parents();
    reader = await openReader({
      flavour,
      schema,
      watch: { t: ['id'] },
      parents: {
        parentOf: (database, table) => parents.get(tableKey({ schema: database, table }, false)),
        concerns: (database) => database === schema.name,
      },
    });
  });
  afterEach(async () => {
    reader.close();
    await schema.drop();
  });

  /** What the log reports of parents in these statements, transaction by transaction. */
  async function told(sql: string): Promise<string[]> {
    await schema.query(`${sql}; INSERT INTO t VALUES (1); DELETE FROM t`);
    const parts = await takeUntil(reader, ({ rows }) => rows[0]?.op === 'delete');
    return parts.flatMap(({ parents = [] }) =>
      parents.map(({ table, op, columns }) => [op, table, ...columns].join(' ')),
    );
  }

  const expected = (...lines: string[]): string[] => (logs ? [] : lines);

  it.each([
    ['a delete', 'DELETE FROM parent WHERE id = 1', ['delete parent']],
    ['a delete of many', 'DELETE FROM parent WHERE id < 4', ['delete parent']],
    ['a delete in the middle', 'DELETE FROM middle WHERE id = 1', ['delete middle']],
    [
      'a parent without children',
      "INSERT INTO parent (id, code) VALUES (9, 'z'); DELETE FROM parent WHERE id = 9",
      ['delete parent'],
    ],
    ['REPLACE', "REPLACE INTO parent (id, code) VALUES (1, 'a2')", ['delete parent']],
    ['a changed key', "UPDATE parent SET code = 'dd' WHERE id = 4", ['update parent code']],
    ['a changed column that no key names', `UPDATE parent SET doc = '{"a": 1}'`, []],
    [
      'a delete without checks',
      'SET foreign_key_checks = 0; DELETE FROM parent WHERE id = 1; SET foreign_key_checks = 1',
      [],
    ],
    ['a delete that was rolled back', 'BEGIN; DELETE FROM parent WHERE id < 4; ROLLBACK', []],
    [
      'both in one transaction',
      "BEGIN; UPDATE parent SET code = 'x' WHERE id = 4; DELETE FROM parent WHERE id = 1; DELETE FROM parent WHERE id = 2; COMMIT",
      ['update parent code', 'delete parent'],
    ],
  ])('report %s', async (_, sql, lines) => {
    expect(await told(sql)).toEqual(expected(...lines));
  });

  it('are read from the least row image', async () => {
    const least = (sql: string): string =>
      `SET binlog_row_image = 'MINIMAL'; ${sql}; SET binlog_row_image = 'FULL'`;
    expect(
      await told(
        least(
          "UPDATE parent SET doc = '[]' WHERE id = 4; UPDATE parent SET code = 'dd' WHERE id = 4; DELETE FROM parent WHERE id = 1",
        ),
      ),
    ).toEqual(expected('update parent code', 'delete parent'));
  });

  it('come with the definitions that may change keys', async () => {
    await schema.query(
      'ALTER TABLE middle ADD COLUMN note INT; ALTER TABLE middle ADD FOREIGN KEY (note) REFERENCES parent (id); CREATE TRIGGER tr BEFORE DELETE ON parent FOR EACH ROW SET @a = 1; DROP TRIGGER tr; INSERT INTO t VALUES (1)',
    );
    const parts = await takeUntil(reader, ({ rows }) => rows.length > 0);
    const definitions = parts.flatMap(({ definition }) => definition ?? []);
    expect(definitions.map(({ trigger }) => trigger)).toEqual([null, 'create', 'drop']);
    expect(definitions[0]!.names).toContain('middle');
    expect(definitions[1]!.names).toContain('tr');
  });
});

it('report a delete that a system-versioned table logs as an update', async () => {
  const schema = await createSchema(
    sharedServer('mariadb'),
    `CREATE TABLE parent (id INT PRIMARY KEY, note INT) WITH SYSTEM VERSIONING;
    CREATE TABLE child (id INT PRIMARY KEY, parent_id INT, FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE);
    INSERT INTO parent VALUES (1, 1)`,
  );
  const source = openSource(parseDatabaseUrl(schema.url()));
  const child = { schema: schema.name, table: 'child' };
  const { graph } = await readKeyGraph(source, [child], false);
  await source.close();
  const parents = new CascadeReach(graph, new Set([tableKey(child, false)]), false).parents();
  const reader = await openReader({
    flavour: 'mariadb',
    schema,
    watch: { child: ['id'] },
    parents: {
      parentOf: (database, table) => parents.get(tableKey({ schema: database, table }, false)),
      concerns: () => false,
    },
  });
  await schema.query('UPDATE parent SET note = 2; DELETE FROM parent; INSERT INTO child VALUES (1, NULL)');
  const parts = await takeUntil(reader, ({ rows }) => rows.length > 0);
  expect(parts.flatMap((part) => part.parents ?? [])).toEqual([
    { schema: schema.name, table: 'parent', op: 'delete', columns: [] },
  ]);
  reader.close();
  await schema.drop();
});
