import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readDictionary } from '../../src/binlog/source/dictionary.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import { readingOf } from '../../src/capture/compiled-source.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { startPrivateServer } from '../../src/demo/private-server.ts';
import type { TableHints } from '../../src/binlog/decode/table-map.ts';
import { byName, endOfLog, openReader, takeRows } from '../support/read-log.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';

describe('tables of MariaDB as the log describes them', () => {
  const flavour = 'mariadb';
  let schema: TestSchema;
  beforeAll(async () => {
    schema = await createSchema(sharedServer(flavour));
  });
  afterAll(() => schema.drop());

  /** What the dictionary said when the reader was opened: an ordinary table with the key `id`. */
  const plain: TableHints = { types: new Map(), fractions: new Map(), plainColumns: new Set(['id']) };

  it('follows system versioning that is added, dropped and added again, also when an old stretch is read', async () => {
    await schema.query('CREATE TABLE citas (id INT PRIMARY KEY, estado VARCHAR(20))');
    const position = await endOfLog(flavour, schema);
    const changes = (id: number): string =>
      `INSERT INTO citas VALUES (${id}, 'a'); UPDATE citas SET estado = 'x' WHERE id = ${id}; DELETE FROM citas WHERE id = ${id};`;
    await schema.query(`${changes(1)} ALTER TABLE citas ADD SYSTEM VERSIONING; ${changes(2)}
      ALTER TABLE citas DROP SYSTEM VERSIONING; ${changes(3)} ALTER TABLE citas ADD SYSTEM VERSIONING; ${changes(4)}`);
    const hints = [plain, { ...plain, plainColumns: null }];
    for (const citas of hints) {
      const stream = await openReader({
        flavour,
        schema,
        position,
        watch: { citas: ['id', 'estado'] },
        hints: { citas },
      });
      const rows = await takeRows(stream, 12);
      stream.close();
      expect(
        rows.map((row) => [row.op, byName(row, row.op === 'delete' ? 'before' : 'after')['id']]),
      ).toEqual([1, 2, 3, 4].flatMap((id) => ['insert', 'update', 'delete'].map((op) => [op, id])));
      expect(rows.every(({ table }) => table.key.length === 1)).toBe(true);
    }
  });

  it('takes an ordinary table for one, also where its key and its columns look like those of a versioned one', async () => {
    const period = 'TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)';
    await schema.query(
      `CREATE TABLE turnos (id INT, row_start ${period}, row_end ${period}, PRIMARY KEY (id, row_end));
       CREATE TABLE visitas (id INT, desde ${period}, hasta ${period}, PRIMARY KEY (id, hasta))`,
    );
    for (const [table, end] of [
      ['turnos', 'row_end'],
      ['visitas', 'hasta'],
    ] as const) {
      const position = await endOfLog(flavour, schema);
      await schema.query(
        `INSERT INTO ${table} (id) VALUES (1); UPDATE ${table} SET id = 2; DELETE FROM ${table}`,
      );
      const stream = await openReader({
        flavour,
        schema,
        position,
        watch: { [table]: ['id'] },
        hints: { [table]: { ...plain, plainColumns: new Set(['id', end]) } },
      });
      expect((await takeRows(stream, 3)).map(({ op }) => op)).toEqual(['insert', 'update', 'delete']);
      stream.close();
    }
  });

  it('takes an ordinary table for one, also where its key looked like that of a versioned one before or after', async () => {
    const period = 'TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)';
    const position = await endOfLog(flavour, schema);
    await schema.query(
      `CREATE TABLE salas (id INT, desde ${period}, hasta ${period}, PRIMARY KEY (id, hasta)); INSERT INTO salas (id) VALUES (1);
       ALTER TABLE salas DROP PRIMARY KEY, ADD PRIMARY KEY (id); UPDATE salas SET id = 2;
       ALTER TABLE salas DROP PRIMARY KEY, ADD PRIMARY KEY (id, desde); DELETE FROM salas;
       ALTER TABLE salas DROP PRIMARY KEY, ADD PRIMARY KEY (id)`,
    );
    const source = openSource(parseDatabaseUrl(schema.url()));
    const identity = await source.identify();
    const dictionary = await readDictionary(source, identity);
    await source.close();
    const rules = { watch: new Map([['salas', new Set(['id'])]]), named: new Map() };
    const known = { identity, ownSchema: '', dictionary, schema: dictionary.tables, rules };
    const salas = readingOf(known).hintsOf('salas')!;
    const stream = await openReader({
      flavour,
      schema,
      position,
      watch: { salas: ['id'] },
      hints: { salas },
    });
    expect((await takeRows(stream, 3)).map(({ op }) => op)).toEqual(['insert', 'update', 'delete']);
    stream.close();
  });

  it('passes over columns in the format before MariaDB 10.1 and reads them where they are wanted', async () => {
    const server = await startPrivateServer({ flavour });
    const own = await createSchema(
      server,
      `SET GLOBAL mysql56_temporal_format = OFF;
      CREATE TABLE old (id INT PRIMARY KEY, d DATETIME, t TIME, s TIMESTAMP NULL, rest VARCHAR(3))`,
    );
    const position = await endOfLog(flavour, own);
    await own.query(
      "SET time_zone = '+00:00'; INSERT INTO old VALUES (1, '2026-01-02 03:04:05', '-10:11:12', '2026-01-02 03:04:05', 'fin')",
    );
    const fractions = new Map(['d', 't', 's'].map((name) => [name, 0]));
    for (const watch of [
      ['id', 'rest'],
      ['id', 'd', 't', 's', 'rest'],
    ]) {
      const stream = await openReader({
        flavour,
        schema: own,
        position,
        watch: { old: watch },
        hints: { old: { ...plain, fractions } },
      });
      const [row] = await takeRows(stream, 1);
      stream.close();
      const all = { id: 1, d: '2026-01-02 03:04:05', t: '-10:11:12', s: '2026-01-02 03:04:05', rest: 'fin' };
      expect(byName(row!, 'after')).toEqual(
        Object.fromEntries(Object.entries(all).filter(([name]) => watch.includes(name))),
      );
    }
    await own.drop();
    await server.stop();
  });
});
