import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { endOfTimeIn } from '../../src/binlog/decode/system-versioning.ts';
import type { TableHints } from '../../src/binlog/decode/table-map.ts';
import type { LogEvent } from '../../src/binlog/protocol/log-event.ts';
import { compareWithZongji } from '../../src/binlog/second-reader/compare-with-zongji.ts';
import { byName, endOfLog, openReader, takeUntil } from '../support/read-log.ts';
import { createSchema, type TestSchema } from '../support/server.ts';
import { modes } from './modes.ts';
import { recordLog } from './second-reader/compare-log.ts';

/*
 * Servers of their own: the scanner of the log that proves what a partition holds needs no statement of another schema in between.
 */

const periods = {
  implicit: 'WITH SYSTEM VERSIONING',
  named:
    'desde TIMESTAMP(6) GENERATED ALWAYS AS ROW START, hasta TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (desde, hasta)',
};

describe.each(modes.filter(({ flavour }) => flavour === 'mariadb'))(
  'a system-versioned table of $name',
  (mode) => {
    let server: PrivateServer;
    let schema: TestSchema;
    beforeAll(async () => {
      server = await startPrivateServer({ flavour: mode.variant, settings: mode.settings });
    });
    afterAll(() => server.stop());
    beforeEach(async () => {
      schema = await createSchema(server);
    });
    afterEach(() => schema.drop());

    const versioned: TableHints = { types: new Map(), fractions: new Map(), plainColumns: null };

    /** The changes of current rows that are read of the statements, up to a marker row. */
    async function changesOf(statements: string): Promise<string[]> {
      const position = await endOfLog('mariadb', schema);
      await schema.query(
        `${statements}; SET @@timestamp = DEFAULT; INSERT INTO v (id, estado) VALUES (99, 'marca')`,
      );
      const stream = await openReader({
        flavour: 'mariadb',
        schema,
        position,
        watch: { v: ['id', 'estado'] },
        hints: { v: versioned },
      });
      try {
        const parts = await takeUntil(stream, ({ rows }) => rows.some(({ after }) => after?.includes(99)));
        return parts
          .flatMap(({ rows }) => rows)
          .map((row) => {
            const image = byName(row, row.op === 'delete' ? 'before' : 'after');
            return `${row.op} ${String(image['id'])} ${String(image['estado'])}`;
          })
          .slice(0, -1);
      } finally {
        stream.close();
      }
    }

    const changes = `INSERT INTO v (id, estado) VALUES (1, 'a'), (2, 'b'); UPDATE v SET estado = 'x' WHERE id = 1; DELETE FROM v WHERE id = 2`;
    const expected = ['insert 1 a', 'insert 2 b', 'update 1 x', 'delete 2 b'];
    const tables = [
      ['implicit names', `CREATE TABLE v (id INT PRIMARY KEY, estado VARCHAR(20)) ${periods.implicit}`],
      [
        'names of its own',
        `CREATE TABLE v (id INT PRIMARY KEY, estado VARCHAR(20), ${periods.named}) WITH SYSTEM VERSIONING`,
      ],
      [
        'partitions by INTERVAL that the server adds',
        `CREATE TABLE v (id INT PRIMARY KEY, estado VARCHAR(20)) ${periods.implicit} PARTITION BY SYSTEM_TIME INTERVAL 1 YEAR AUTO`,
      ],
      [
        'partitions by LIMIT that the server adds',
        `CREATE TABLE v (id INT PRIMARY KEY, estado VARCHAR(20)) ${periods.implicit} PARTITION BY SYSTEM_TIME LIMIT 1 AUTO`,
      ],
    ] as const;

    it.each(tables)('gives the changes of its current rows: %s', async (_, create) => {
      await schema.query(create);
      expect(await changesOf(changes)).toEqual(expected);
    });

    it.each(tables)('gives them whatever time the session has: %s', async (_, create) => {
      await schema.query(`SET @@timestamp = UNIX_TIMESTAMP() - 70000000; ${create}`);
      const hourLater = 'SET @@timestamp = UNIX_TIMESTAMP() + 32000000';
      expect(
        await changesOf(
          `INSERT INTO v (id, estado) VALUES (1, 'a'), (2, 'b'); ${hourLater}; UPDATE v SET estado = 'x' WHERE id = 1;
         ${hourLater}; DELETE FROM v WHERE id = 2; SET @@timestamp = 1000000; UPDATE v SET estado = 'y' WHERE id = 1;
         SET @@timestamp = 2147483000; INSERT INTO v (id, estado) VALUES (3, 'c'); DELETE FROM v WHERE id = 3`,
        ),
      ).toEqual([...expected, 'update 1 y', 'insert 3 c', 'delete 3 c']);
    });

    it.each(tables)('gives nothing of DELETE HISTORY: %s', async (_, create) => {
      await schema.query(`${create}; ${changes}`);
      expect(
        await changesOf("DELETE HISTORY FROM v; DELETE HISTORY FROM v BEFORE SYSTEM_TIME '2030-01-01'"),
      ).toEqual([]);
    });

    it('returns no rows that are put into its history, and all that are put among the current ones', async () => {
      await schema.query(`${tables[0][1]}; INSERT INTO v (id, estado) VALUES (0, 'm')`);
      const insert = 'INSERT INTO v (id, estado, row_start, row_end)';
      expect(
        await changesOf(
          `SET @@system_versioning_insert_history = 1; ${insert} VALUES (5, 'h', '2020-01-01', '2020-01-02');
         ${insert} SELECT 6, 'h', '2020-01-01', row_end FROM v WHERE id = 0; DELETE FROM v WHERE id = 6;
         SET @@system_versioning_insert_history = 0; ${changes}`,
        ),
      ).toEqual(['insert 6 h', 'delete 6 h', ...expected]);
    });

    it('gives the changes on both sides of a partition of the history that is dropped', async () => {
      await schema.query(
        `CREATE TABLE v (id INT PRIMARY KEY, estado VARCHAR(20)) ${periods.implicit} PARTITION BY SYSTEM_TIME INTERVAL 1 DAY
       (PARTITION p0 HISTORY, PARTITION p1 HISTORY, PARTITION pn CURRENT)`,
      );
      expect(
        await changesOf(
          `${changes}; ALTER TABLE v DROP PARTITION p0; UPDATE v SET estado = 'z' WHERE id = 1`,
        ),
      ).toEqual([...expected, 'update 1 z']);
    });

    /** Rows that end close to an end of time, as `id, row_end`; the server says which of them are current. */
    const ends = [
      "1, '2038-01-19 00:00:00'",
      "2, '2038-01-19 03:14:07.999998'",
      "3, '2038-01-19 03:14:07.999999'",
    ];
    const lateEnds = ["4, '2106-02-07 00:00:00'", "5, '2106-02-07 06:28:15.999998'"];

    it('takes a row for a current one where the server does, and so does the second reader', async () => {
      await schema.query(tables[0][1]);
      const [time] = await schema.query('SELECT FROM_UNIXTIME(4294967295) IS NOT NULL AS isLate');
      const all = time!['isLate'] === 1 ? [...ends, ...lateEnds] : ends;
      const position = await endOfLog('mariadb', schema);
      const changes = await changesOf(
        `SET time_zone = '+00:00', @@system_versioning_insert_history = 1; ${all
          .map(
            (values) =>
              `INSERT INTO v (estado, row_start, id, row_end) VALUES ('h', '2020-01-01', ${values})`,
          )
          .join('; ')}; SET @@system_versioning_insert_history = 0`,
      );
      const current = await schema.query('SELECT id FROM v WHERE id < 99 ORDER BY id');
      expect(changes).toEqual(current.map(({ id }) => `insert ${String(id)} h`));
      const job = await recordLog({ flavour: 'mariadb', schema, position, rows: current.length + 1 });
      const { differences, leftOut, tables: compared } = await compareWithZongji(job);
      expect(differences).toEqual([]);
      // Of row_end itself, which zongji reads as signed.
      expect(leftOut.filter(({ reason }) => reason !== 'timestamp-after-2038')).toEqual([]);
      expect(compared[`${schema.name}.v`]?.rows).toBe(current.length + 1);
    });

    it.each(['DELETE FROM v WHERE id = 1', "UPDATE v SET estado = 'b' WHERE id = 1"])(
      'gives a change in the last moment of 2038 that the server makes: %s',
      async (change) => {
        await schema.query(`${tables[0][1]}; INSERT INTO v (id, estado) VALUES (1, 'a')`);
        const position = await endOfLog('mariadb', schema);
        const changes = await changesOf(`SET @@timestamp = 2147483647.999999; ${change}`);
        const [row] = await schema.query('SELECT estado FROM v WHERE id = 1');
        const expected = row === undefined ? ['delete 1 a'] : row['estado'] === 'b' ? ['update 1 b'] : [];
        expect(changes).toEqual(expected);
        const job = await recordLog({ flavour: 'mariadb', schema, position, rows: changes.length + 1 });
        expect((await compareWithZongji(job)).differences).toEqual([]);
      },
    );
  },
);

describe('the end of time in a file of the log', () => {
  const description = (version: string): LogEvent => {
    const buffer = Buffer.alloc(52);
    buffer.write(version, 2, 'latin1');
    const header = { timestamp: 0, type: 15, serverId: 1, size: 52, logPos: 0, flags: 0 };
    return { ...header, buffer, bodyStart: 0, bodyEnd: 52 };
  };

  it.each([
    ['10.11.18-MariaDB-log', '2038'],
    ['11.4.5-MariaDB', '2038'],
    ['11.5.2-MariaDB', '2106'],
    ['11.8.8-MariaDB-ubu2404-log', '2106'],
    ['12.3.1-MariaDB', '2106'],
  ])('is that of the version that wrote it: %s', (version, year) => {
    expect(endOfTimeIn(description(version)).slice(0, 4)).toBe(year);
    expect(endOfTimeIn(description(version), true).slice(0, 4)).toBe('2038');
  });

  it('is not guessed where no version is', () => {
    expect(() => endOfTimeIn(description(''))).toThrow(RangeError);
  });
});
