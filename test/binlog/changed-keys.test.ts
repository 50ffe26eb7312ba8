import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import { netChanges } from '../../src/change/net-changes.ts';
import { openReader, takeUntil } from '../support/read-log.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';

describe.each(flavours)('statements that change keys, on %s', (flavour) => {
  let schema: TestSchema;
  let reader: BinlogStream;

  beforeAll(async () => {
    schema = await createSchema(
      sharedServer(flavour),
      `CREATE TABLE pac (id INT PRIMARY KEY AUTO_INCREMENT, doc VARCHAR(10) UNIQUE, nombre VARCHAR(20));
       CREATE TABLE fin (id INT PRIMARY KEY)`,
    );
    reader = await openReader({ flavour, schema, watch: { pac: ['doc', 'nombre'], fin: [] } });
  });
  afterAll(async () => {
    reader.close();
    await schema.drop();
  });

  /** The net changes of each transaction that the statements leave, on a table with two rows. */
  async function told(...statements: string[]): Promise<string[][]> {
    await schema.query(
      "DELETE FROM pac; ALTER TABLE pac AUTO_INCREMENT = 3; INSERT INTO pac VALUES (1, '001', 'Ana'), (2, '002', 'Luis'); DELETE FROM fin",
    );
    await schema.query('INSERT INTO fin VALUES (1)');
    const isEnd = ({ table, op }: { table: { name: string }; op: string }): boolean =>
      table.name === 'fin' && op === 'insert';
    await takeUntil(reader, ({ rows }) => rows.some(isEnd));
    for (const statement of statements) await schema.query(statement);
    await schema.query('INSERT INTO fin VALUES (2)');
    const parts = await takeUntil(reader, ({ rows }) => rows.some(isEnd));
    return parts.slice(0, -1).flatMap(({ rows }) => {
      const changes = netChanges(rows).map(
        ({ op, before, after }) => `${op} ${(before ?? []).join('/')} → ${(after ?? []).join('/')}`,
      );
      return changes.length > 0 ? [changes] : [];
    });
  }

  it.each([
    {
      name: 'UPDATE of the primary key',
      sql: 'UPDATE pac SET id = 9 WHERE id = 1',
      changes: ['delete 1/001/Ana → ', 'insert  → 9/001/Ana'],
    },
    {
      name: 'UPDATE of a unique key that is not the primary one',
      sql: "UPDATE pac SET doc = '009' WHERE id = 1",
      changes: ['update 1/001/Ana → 1/009/Ana'],
    },
    {
      name: 'REPLACE by a unique key',
      sql: "REPLACE INTO pac (doc, nombre) VALUES ('001', 'Bea')",
      changes: ['delete 1/001/Ana → ', 'insert  → 3/001/Bea'],
    },
    {
      name: 'REPLACE by the primary key',
      sql: "REPLACE INTO pac VALUES (1, '009', 'Bea')",
      changes: ['update 1/001/Ana → 1/009/Bea'],
    },
    {
      name: 'REPLACE that removes two rows',
      sql: "REPLACE INTO pac VALUES (1, '002', 'Bea')",
      changes: ['delete 2/002/Luis → ', 'update 1/001/Ana → 1/002/Bea'],
      anyOrder: true,
    },
    {
      name: 'INSERT … ON DUPLICATE KEY UPDATE of the primary key',
      sql: "INSERT INTO pac (doc, nombre) VALUES ('001', 'x') ON DUPLICATE KEY UPDATE id = 9, nombre = 'Bea'",
      changes: ['delete 1/001/Ana → ', 'insert  → 9/001/Bea'],
    },
    {
      name: 'keys that are swapped in one transaction',
      sql: 'BEGIN; UPDATE pac SET id = 9 WHERE id = 1; UPDATE pac SET id = 1 WHERE id = 2; UPDATE pac SET id = 2 WHERE id = 9; COMMIT',
      changes: ['update 1/001/Ana → 1/002/Luis', 'update 2/002/Luis → 2/001/Ana'],
    },
    {
      name: 'all keys moved up by one statement',
      sql: 'UPDATE pac SET id = id + 1 ORDER BY id DESC',
      changes: ['update 2/002/Luis → 2/001/Ana', 'insert  → 3/002/Luis', 'delete 1/001/Ana → '],
    },
    {
      name: 'INSERT, UPDATE of its key, DELETE',
      sql: "BEGIN; INSERT INTO pac VALUES (5, '5', 'x'); UPDATE pac SET id = 6 WHERE id = 5; DELETE FROM pac WHERE id = 6; COMMIT",
      changes: null,
    },
  ])('$name', async ({ sql, changes, anyOrder }) => {
    const [first, ...more] = await told(sql);
    expect(more).toEqual([]);
    if (anyOrder) expect(first?.toSorted()).toEqual(changes.toSorted());
    else expect(first ?? null).toEqual(changes);
  });
});
