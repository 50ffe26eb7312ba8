import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createConnection } from 'mysql2';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HaltError } from '../../src/binlog/halt.ts';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import type { Position } from '../../src/binlog/types.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { byName, endOfLog, openReader, takeRows, type ReadOptions } from '../support/read-log.ts';
import { sendRaw } from '../support/send-raw.ts';
import { createSchema, createUser, type TestSchema } from '../support/server.ts';
import { modes } from './modes.ts';

/*
 * Servers of their own: a statement of one schema stops a reader of another where its schema is dropped before it is read, and the
 * shared servers have both.
 */

const table = '(id INT PRIMARY KEY, estado VARCHAR(20))';

describe.each(modes)('a statement in the log of $name', (mode) => {
  const { flavour } = mode;
  const isMariadb = flavour === 'mariadb';
  let server: PrivateServer;
  let schema: TestSchema;
  let elsewhere: TestSchema;
  beforeAll(async () => {
    server = await startPrivateServer({
      flavour: mode.variant,
      settings: [...mode.settings, 'log-bin-trust-function-creators=ON'],
    });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    schema = await createSchema(server, `CREATE TABLE citas${table}; CREATE TABLE otra${table}`);
    elsewhere = await createSchema(
      server,
      `CREATE TABLE citas${table}; CREATE TABLE bitacora (id INT PRIMARY KEY)`,
    );
  });
  afterEach(async () => {
    await schema.drop();
    await elsewhere.drop();
  });

  let lastMarker = 1_000;
  const watched = { citas: ['id', 'estado'] };
  const open = (extra: Partial<ReadOptions> = {}): Promise<BinlogStream> =>
    openReader({ flavour, schema, watch: watched, ...extra });
  const filled = (statement: string): string =>
    statement.replaceAll('%w', schema.name).replaceAll('%e', elsewhere.name);

  async function run(statements: readonly string[], on: TestSchema = schema): Promise<void> {
    for (const statement of statements) await on.query(filled(statement));
  }

  /** Reads up to the marker row that is inserted behind what the log holds; throws the halt that comes before it. */
  async function readToMarker(stream: BinlogStream): Promise<unknown[]> {
    const marker = (lastMarker += 1);
    await schema.query(`INSERT INTO citas VALUES (${marker}, 'marca')`);
    const ids: unknown[] = [];
    try {
      for (;;) {
        for (const row of await takeRows(stream, 1)) {
          const id = byName(row, row.after === null ? 'before' : 'after')['id'];
          if (id === marker) return ids;
          ids.push(id);
        }
      }
    } finally {
      stream.close();
    }
  }

  async function haltOf(position: Position, extra: Partial<ReadOptions> = {}): Promise<HaltError | null> {
    try {
      await readToMarker(await open({ position, ...extra }));
      return null;
    } catch (error) {
      if (error instanceof HaltError) return error;
      throw error;
    }
  }

  /** A table of the watched name may not be there any more: the marker goes into a new one. */
  async function haltAfter(statements: readonly string[], on?: TestSchema): Promise<HaltError | null> {
    await run(["INSERT INTO citas VALUES (1, 'a'), (2, 'b')"]);
    const position = await endOfLog(flavour, schema);
    await run(statements, on);
    await schema.query(
      filled(`CREATE DATABASE IF NOT EXISTS %w; CREATE TABLE IF NOT EXISTS %w.citas${table}`),
    );
    await schema.query(filled('USE %w'));
    return haltOf(position);
  }

  const partitions =
    'PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (2), PARTITION p1 VALUES LESS THAN MAXVALUE)';
  const unlogged: [name: string, statements: string[]][] = [
    ['TRUNCATE', ['TRUNCATE citas']],
    ['TRUNCATE', ['/* 42 */ -- a line\n # another\n TRUNCATE/**/TABLE/*!*/`citas`']],
    ['TRUNCATE', ['/*!50000 TRUNCATE */ /*!TABLE citas*/']],
    ['TRUNCATE', ["PREPARE s FROM 'TRUNCATE TABLE citas'", 'EXECUTE s']],
    ['TRUNCATE', ['USE %e', 'TRUNCATE TABLE %w /* in between */ . `citas`']],
    ['DROP TABLE', ['DROP TABLE otra, citas']],
    ['DROP DATABASE', ['DROP SCHEMA %w']],
    ['RENAME TABLE', ['RENAME TABLE citas TO viejas']],
    ['RENAME TABLE', ['RENAME TABLE citas TO viejas, otra TO citas']],
    ['RENAME TABLE', ['RENAME TABLE %w.citas TO %e.archivo, otra TO citas']],
    ['ALTER TABLE … RENAME', ['ALTER TABLE citas RENAME viejas']],
    ['ALTER TABLE … PARTITION', [`ALTER TABLE citas ${partitions}`, 'ALTER TABLE citas DROP PARTITION p0']],
    [
      'ALTER TABLE … PARTITION',
      [`ALTER TABLE citas ${partitions}`, 'ALTER TABLE citas TRUNCATE PARTITION ALL'],
    ],
    [
      'ALTER TABLE … PARTITION',
      [
        'ALTER TABLE otra PARTITION BY RANGE (id) (PARTITION p VALUES LESS THAN MAXVALUE)',
        'ALTER TABLE otra EXCHANGE PARTITION p WITH TABLE %w.citas',
      ],
    ],
    ['ALTER TABLE … PARTITION', ['ALTER TABLE citas DISCARD TABLESPACE', 'DROP TABLE citas']],
    ['ALTER TABLE … ENGINE', ["ALTER TABLE citas COMMENT='x', ENGINE MEMORY"]],
    ...(isMariadb
      ? ([
          ['TRUNCATE', ['SET STATEMENT max_statement_time=30 FOR TRUNCATE TABLE citas']],
          [
            'TRUNCATE',
            [
              'SET STATEMENT max_statement_time=30, lock_wait_timeout=(1+2) FOR SET STATEMENT sql_mode=ANSI_QUOTES FOR TRUNCATE TABLE citas',
            ],
          ],
          ['TRUNCATE', ['/*M!100000 TRUNCATE TABLE citas */']],
          ['TRUNCATE', ["EXECUTE IMMEDIATE 'TRUNCATE TABLE citas'"]],
          ['TRUNCATE', ['BEGIN NOT ATOMIC TRUNCATE TABLE citas; END']],
          [
            'TRUNCATE',
            [
              "SET SESSION sql_mode='ORACLE'",
              'BEGIN TRUNCATE TABLE "citas" DROP STORAGE; END',
              'SET SESSION sql_mode=DEFAULT',
            ],
          ],
          [
            'ALTER IGNORE TABLE',
            ["INSERT INTO citas VALUES (3, 'a')", 'ALTER IGNORE TABLE citas ADD UNIQUE (estado)'],
          ],
          ['CREATE OR REPLACE TABLE', [`CREATE OR REPLACE TABLE citas${table}`]],
          ['CREATE OR REPLACE TABLE', ['CREATE OR REPLACE TABLE citas LIKE otra']],
          ['CREATE OR REPLACE DATABASE', ['CREATE OR REPLACE DATABASE %w']],
          ['CREATE OR REPLACE SEQUENCE', ['CREATE OR REPLACE SEQUENCE citas', 'DROP SEQUENCE citas']],
          [
            'ALTER TABLE … PARTITION',
            [`ALTER TABLE citas ${partitions}`, 'ALTER TABLE citas CONVERT PARTITION p0 TO TABLE fuera'],
          ],
          [
            'ALTER TABLE … PARTITION',
            [
              'ALTER TABLE otra PARTITION BY RANGE (id) (PARTITION p0 VALUES LESS THAN (1))',
              'ALTER TABLE otra CONVERT TABLE citas TO PARTITION p1 VALUES LESS THAN (100)',
            ],
          ],
        ] satisfies [string, string[]][])
      : ([
          ['ALTER TABLE … ENGINE', ['ALTER TABLE citas ENGINE=BLACKHOLE']],
          [
            'TRUNCATE',
            ["SET SESSION sql_mode='ANSI_QUOTES'", 'TRUNCATE TABLE "citas"', 'SET SESSION sql_mode=DEFAULT'],
          ],
        ] satisfies [string, string[]][])),
  ];

  it.each(unlogged)(
    'stops the reader where it takes rows without logging them: %s %j',
    async (name, statements) => {
      const halt = await haltAfter(statements);
      await schema.query('SET SESSION sql_mode=DEFAULT');
      expect(halt?.halt.reason).toBe('truncate');
      expect(halt?.message).toContain(name);
      const lines = halt!.remedy.split('\n');
      expect(lines.at(-1)).toBe(
        `odontology-webhooks resume --accept-gap --reason "${/after binlog\S+ (.*) took/.exec(halt!.message)![1]}"`,
      );
      // Without its schema the source cannot be read: it comes back first.
      if (name === 'DROP DATABASE') expect(lines[1]).toBe(`CREATE DATABASE \`${schema.name}\`;`);
      else expect(lines).toHaveLength(1);
    },
  );

  const harmless: string[][] = [
    [
      '/*Migration 0042*/ ALTER TABLE citas ADD COLUMN nota VARCHAR(10)',
      'ALTER TABLE citas DROP COLUMN nota',
    ],
    ["/* TRUNCATE citas; */ ALTER TABLE citas COMMENT = 'DROP TABLE citas'"],
    [
      'ALTER TABLE citas ADD COLUMN `engine` INT, ADD COLUMN `drop partition` INT',
      'ALTER TABLE citas DROP COLUMN `engine`, DROP COLUMN `drop partition`',
    ],
    ['CREATE TEMPORARY TABLE citas (id INT)', 'DROP TEMPORARY TABLE citas'],
    ['TRUNCATE %e.citas', 'RENAME TABLE %e.citas TO %e.b, %e.b TO %e.citas', 'DROP TABLE %e.citas'],
    [
      'ALTER TABLE citas PARTITION BY HASH (id) PARTITIONS 4',
      'ALTER TABLE citas COALESCE PARTITION 2',
      'ALTER TABLE citas ADD PARTITION PARTITIONS 1',
      'ALTER TABLE citas REBUILD PARTITION ALL',
      'ALTER TABLE citas REMOVE PARTITIONING',
    ],
    [
      `ALTER TABLE citas ${partitions}`,
      'ALTER TABLE citas REORGANIZE PARTITION p0, p1 INTO (PARTITION p VALUES LESS THAN MAXVALUE)',
      'ALTER TABLE citas REMOVE PARTITIONING',
    ],
    [
      'CREATE TABLE _citas_gho LIKE citas',
      'INSERT INTO _citas_gho SELECT * FROM citas',
      'RENAME TABLE citas TO _citas_del, _citas_gho TO citas',
      'DROP TABLE _citas_del',
    ],
    [
      'CREATE TABLE _citas_new LIKE citas',
      'INSERT INTO _citas_new SELECT * FROM citas',
      'RENAME TABLE %w.citas TO %w._citas_old, %w._citas_new TO %w.citas',
      'DROP TABLE _citas_old',
    ],
    [
      'ALTER TABLE citas CONVERT TO CHARACTER SET latin1',
      'ALTER TABLE citas ENGINE=InnoDB',
      'OPTIMIZE TABLE citas',
      'ANALYZE TABLE citas',
      'REPAIR TABLE citas',
      'FLUSH TABLES',
    ],
    ["CREATE USER 'tRUNCATE'@'%'", "GRANT SELECT ON %w.citas TO 'tRUNCATE'@'%'", "DROP USER 'tRUNCATE'@'%'"],
    ['CREATE VIEW v AS SELECT * FROM citas', 'CREATE OR REPLACE VIEW v AS SELECT 1 AS x', 'DROP VIEW v'],
    ['CREATE EVENT e ON SCHEDULE EVERY 1 DAY DISABLE DO TRUNCATE citas', 'DROP EVENT e'],
    ['CREATE PROCEDURE p() TRUNCATE citas', 'DROP PROCEDURE p'],
    ...(isMariadb
      ? [
          ["SET STATEMENT max_statement_time=30 FOR ALTER TABLE citas COMMENT = 'x'"],
          ['CREATE SEQUENCE s', 'DROP SEQUENCE s'],
          ['ALTER TABLE citas ADD SYSTEM VERSIONING', 'ALTER TABLE citas DROP SYSTEM VERSIONING'],
        ]
      : []),
  ];

  it('reads on over statements that only look so, or leave every row where it is', async () => {
    expect(await haltAfter(harmless.flat())).toBeNull();
  });

  describe('in STATEMENT format', () => {
    const inStatementFormat = (...statements: string[]): string[] => [
      "SET SESSION binlog_format = 'STATEMENT'",
      ...statements,
      "SET SESSION binlog_format = 'ROW'",
    ];
    beforeEach(async () => {
      await run([
        'USE %e',
        'CREATE VIEW v AS SELECT * FROM %w.citas',
        'CREATE VIEW v2 AS SELECT * FROM v',
        "CREATE TRIGGER tg AFTER INSERT ON bitacora FOR EACH ROW UPDATE %w.citas SET estado = 't' WHERE id = 1",
        'CREATE TABLE origen (id INT PRIMARY KEY)',
        'CREATE TRIGGER tg2 BEFORE DELETE ON origen FOR EACH ROW INSERT INTO bitacora VALUES (OLD.id)',
        "CREATE FUNCTION f() RETURNS INT BEGIN UPDATE %w.citas SET estado = 'f' WHERE id = 1; RETURN 1; END",
        'CREATE FUNCTION g() RETURNS INT RETURN f()',
        'CREATE FUNCTION uno() RETURNS INT RETURN 1',
        'CREATE VIEW vf AS SELECT g() AS x',
        'CREATE TABLE padre (id INT PRIMARY KEY)',
        'CREATE TABLE libre (id INT PRIMARY KEY, n INT)',
        'CREATE TABLE vieja (id INT PRIMARY KEY)',
        "CREATE PROCEDURE p() BEGIN UPDATE %w.citas SET estado = 'p' WHERE id = 1; END",
        'CREATE PROCEDURE libre() UPDATE libre SET n = 5',
        'CREATE TABLE %w.hija (id INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES %e.padre (id) ON DELETE CASCADE)',
        'INSERT INTO origen VALUES (1)',
        'INSERT INTO padre VALUES (1), (2)',
        'INSERT INTO libre VALUES (1, 1), (2, 2)',
        'INSERT INTO %w.hija VALUES (1, 1)',
        'USE %w',
      ]);
    });

    /** Statements of the other schema's session that change a watched table. */
    const reaching: string[][] = [
      ["UPDATE %w.citas SET estado = 'x'"],
      ["UPDATE citas c JOIN %w.citas d ON c.id = d.id SET d.estado = 'x'", 'DO 1'],
      ["UPDATE v SET estado = 'x'"],
      ["UPDATE `v2` SET estado = 'x'"],
      ['INSERT INTO bitacora VALUES (7)'],
      ['DELETE FROM origen'],
      ['DELETE FROM padre WHERE id = 1'],
      ['SELECT f()'],
      ['DO g()'],
      ['SET @x = g()'],
      ['SELECT * FROM vf'],
      ['INSERT INTO libre SELECT 5, x FROM vf'],
      ['CALL p()'],
      ["PREPARE s FROM 'UPDATE v SET estado = ?'", "SET @v = 'a\"`'", 'EXECUTE s USING @v'],
      ["/*!UPDATE*/ %w/**/./* x */citas -- y\n SET estado = 'x'"],
      ...(isMariadb
        ? [
            ["SET STATEMENT max_statement_time=30 FOR UPDATE %w.citas SET estado = 'x'"],
            ["ANALYZE UPDATE %w.citas SET estado = 'x'"],
            ["BEGIN NOT ATOMIC UPDATE v SET estado = 'x'; END"],
          ]
        : [["WITH w AS (SELECT 1 AS id) UPDATE %w.citas c JOIN w USING (id) SET c.estado = 'x'"]]),
    ];

    it.each(reaching.map((statements) => [statements]))('stops the reader at %j', async (statements) => {
      await schema.query("INSERT INTO citas VALUES (1, 'a')");
      await elsewhere.query("INSERT INTO citas VALUES (1, 'a')");
      const position = await endOfLog(flavour, schema);
      await run(inStatementFormat(...statements), elsewhere);
      const extra = { watch: { ...watched, hija: ['id'] } };
      const halt = await haltOf(position, extra);
      expect(halt?.halt.reason).toBe('statement-format');
      expect(halt?.remedy.split('\n')).toEqual([
        'Sessions that set binlog_format themselves must set it to ROW.',
        'odontology-webhooks resume --accept-gap --reason "statement format"',
      ]);
    });

    /** MySQL has no packages. */
    const ofPackages = isMariadb
      ? [
          'SELECT pk.cambia() FROM dual',
          'SELECT %e.pk.cambia() FROM dual',
          'DO indirecta()',
          'CALL pk.proc()',
        ]
      : [];
    it.each(ofPackages)('stops the reader at a routine of a package: %s', async (statement) => {
      const change = "UPDATE %w.citas SET estado = 'pk' WHERE id = 1";
      await run([
        'USE %e',
        "SET SESSION sql_mode = 'ORACLE'",
        'CREATE PACKAGE pk AS FUNCTION cambia RETURN INT; PROCEDURE proc; END',
        `CREATE PACKAGE BODY pk AS FUNCTION cambia RETURN INT AS BEGIN ${change}; RETURN 1; END; PROCEDURE proc AS BEGIN ${change}; END; END`,
        'CREATE FUNCTION indirecta RETURN INT AS BEGIN RETURN pk.cambia(); END',
        'SET SESSION sql_mode = DEFAULT',
        'USE %w',
      ]);
      await schema.query("INSERT INTO citas VALUES (1, 'a')");
      const position = await endOfLog(flavour, schema);
      const oracle = ["SET SESSION sql_mode = 'ORACLE'", statement, 'SET SESSION sql_mode = DEFAULT'];
      await run(inStatementFormat(...oracle), elsewhere);
      expect((await haltOf(position))?.halt.reason).toBe('statement-format');
    });

    it('stops the reader at a temporary table that has the name of a watched one: the log does not tell them apart', async () => {
      const position = await endOfLog(flavour, schema);
      await run(
        inStatementFormat(
          'CREATE TEMPORARY TABLE citas (id INT PRIMARY KEY, estado VARCHAR(20))',
          "INSERT INTO citas VALUES (77, 'x')",
          'DROP TEMPORARY TABLE citas',
        ),
      );
      const halt = await haltOf(position);
      expect(halt?.halt.reason).toBe('statement-format');
      expect(await haltOf(position, { waived: [halt!.halt.transactionId!] })).toBeNull();
    });

    it('reads on over temporary tables of sessions that log rows', async () => {
      const position = await endOfLog(flavour, schema);
      await run([
        'CREATE TEMPORARY TABLE citas (id INT PRIMARY KEY, estado VARCHAR(20))',
        "INSERT INTO citas VALUES (77, 'x')",
        'ALTER TABLE citas DROP COLUMN estado',
        'TRUNCATE TABLE citas',
        'DROP TEMPORARY TABLE citas',
      ]);
      expect(await haltOf(position)).toBeNull();
    });

    /** Statements that do not. */
    const unrelated: string[] = [
      'INSERT INTO libre VALUES (3, 3)',
      'UPDATE libre SET n = uno()',
      'DELETE FROM libre WHERE id = 3',
      "INSERT INTO citas VALUES (5, 'citas')",
      'REPLACE INTO libre SELECT id + 100, 1 FROM %w.citas',
      'CALL libre()',
      'DELETE FROM padre WHERE id = 2',
      'CREATE TABLE copia SELECT * FROM %w.citas',
      "UPDATE %w.otra SET estado = 'x'",
      'DROP TABLE vieja',
      'UPDATE libre SET n = 9',
    ];

    it('reads on over statements of which it is proved that they reach no watched table', async () => {
      const position = await endOfLog(flavour, schema);
      await run(inStatementFormat(...unrelated), elsewhere);
      expect(await haltOf(position)).toBeNull();
    });

    it('proves nothing by a dictionary from which a trigger has gone since', async () => {
      await schema.query("INSERT INTO citas VALUES (1, 'a')");
      const position = await endOfLog(flavour, schema);
      await run(inStatementFormat('INSERT INTO bitacora VALUES (7)'), elsewhere);
      await run(['DROP TRIGGER %e.tg']);
      expect((await haltOf(position))?.halt.reason).toBe('statement-format');
    });

    it('proves nothing by a dictionary from before a trigger came', async () => {
      const stream = await open();
      await run(inStatementFormat('UPDATE libre SET n = 2'), elsewhere);
      await schema.query("INSERT INTO citas VALUES (1, 'a')");
      expect(await takeRows(stream, 1)).toHaveLength(1);
      await run(['CREATE TRIGGER %e.tg3 AFTER UPDATE ON %e.libre FOR EACH ROW DELETE FROM %w.citas']);
      await run(inStatementFormat('UPDATE libre SET n = 3'), elsewhere);
      await expect(readToMarker(stream)).rejects.toMatchObject({ halt: { reason: 'statement-format' } });
    });

    it('proves no more than its user sees, until the privileges are granted', async () => {
      const user = await createUser(server, [
        'SELECT ON *.*',
        'REPLICATION SLAVE ON *.*',
        isMariadb ? 'BINLOG MONITOR ON *.*' : 'REPLICATION CLIENT ON *.*',
      ]);
      const position = await endOfLog(flavour, schema);
      const extra = { url: schema.url(user) };
      await run(inStatementFormat("UPDATE otra SET estado = 'x'"));
      expect((await haltOf(position, extra))?.halt.reason).toBe('statement-format');
      await schema.query(`GRANT TRIGGER, SHOW VIEW ON *.* TO '${user.user}'@'%'`);
      expect(await haltOf(position, extra)).toBeNull();
      await user.drop();
    });

    it.each([['LOAD DATA'], ['LOAD XML']])(
      'reads past the blocks of a file, and stops at its statement: %s',
      async (load) => {
        const folder = await mkdtemp(join(tmpdir(), 'odontology-webhooks-test-'));
        const file = join(folder, 'rows.txt');
        const rows = Array.from({ length: 40_000 }, (_, i) => [i + 100_000, `marca-privada`] as const);
        await writeFile(
          file,
          load === 'LOAD XML'
            ? rows.map(([id, text]) => `<row><id>${id}</id><estado>${text}</estado></row>`).join('\n')
            : rows.map((row) => row.join('\t')).join('\n'),
        );
        const format = load === 'LOAD XML' ? " ROWS IDENTIFIED BY '<row>'" : '';
        const position = await endOfLog(flavour, schema);
        await run(inStatementFormat(`${load} INFILE '${file}' INTO TABLE otra${format}`));
        expect(await haltOf(position)).toBeNull();
        await run(inStatementFormat(`${load} INFILE '${file}' INTO TABLE %w.citas${format}`), elsewhere);
        expect((await haltOf(position))?.halt.reason).toBe('statement-format');
        await rm(folder, { recursive: true });
      },
    );
  });

  it('reads names in the character set of the client, in each that a client may have', async () => {
    const sample = '表功誠ñяกαשԱéß';
    const sets = await schema.query(
      'SELECT character_set_name AS name FROM information_schema.character_sets',
    );
    const raw = createConnection({ uri: schema.url(), charset: 'utf8mb4' });
    // A refused statement fails by itself.
    raw.on('error', () => undefined);
    const position = await endOfLog(flavour, schema);
    const tables: string[] = [];
    for (const name of sets.map((row) => String(row['name']))) {
      if (/^(ucs2|utf16|utf16le|utf32|filename|swe7)$/.test(name)) continue;
      const [row] = await schema.query(
        `SELECT REPLACE(CONVERT(CONVERT(? USING ${name}) USING utf8mb4), '?', '') AS kept`,
        // Other code points of it are the decoder's own tests.
        [name === 'big5' ? '表功誠' : sample],
      );
      const table = `t_${name}_${String(row!['kept'])}`;
      const [encoded] = await schema.query(`SELECT CAST(CONVERT(? USING ${name}) AS BINARY) AS bytes`, [
        table,
      ]);
      await schema.query(`CREATE TABLE \`${table}\` (id INT PRIMARY KEY)`);
      await sendRaw(raw, flavour, Buffer.from(`SET character_set_client = ${name}`));
      const bytes = encoded!['bytes'] as Buffer;
      await sendRaw(raw, flavour, Buffer.concat([Buffer.from('TRUNCATE TABLE `'), bytes, Buffer.from('`')]));
      await sendRaw(raw, flavour, Buffer.from('SET character_set_client = utf8mb4'));
      tables.push(table);
    }
    raw.destroy();
    expect(tables.length).toBeGreaterThan(30);
    const watch = { ...watched, ...Object.fromEntries(tables.map((table) => [table, ['id']])) };
    const waived: string[] = [];
    const found: (string | null)[] = [];
    for (
      let halt = await haltOf(position, { watch });
      halt;
      halt = await haltOf(position, { watch, waived })
    ) {
      found.push(halt.halt.table);
      waived.push(halt.halt.transactionId!);
    }
    expect(found).toHaveLength(tables.length);
    // A name with a character that we cannot decode stops the reader all the same.
    const unread = tables.filter((each) => !found.includes(`${schema.name}.${each}`));
    expect(found.filter((each) => each === `${schema.name}.?`)).toHaveLength(unread.length);
    expect(unread.length).toBeLessThan(6);
  });

  if (isMariadb) {
    describe('that is rolled back', () => {
      const temporary = 'CREATE TEMPORARY TABLE tmp_x (a INT); DROP TEMPORARY TABLE tmp_x';
      const readIds = async (statements: string): Promise<unknown[]> => {
        const stream = await open({ watch: { citas: ['id'], lenta: ['id'] } });
        await schema.query(statements);
        return readToMarker(stream);
      };

      it('gives no row of a transaction that made a temporary table', async () => {
        expect(
          await readIds(
            `BEGIN; INSERT INTO citas VALUES (1, 'a'); ${temporary}; ROLLBACK; INSERT INTO citas VALUES (5, 'e')`,
          ),
        ).toEqual([5]);
      });

      it('gives the rows outside a savepoint that was rolled back to', async () => {
        expect(
          await readIds(
            `BEGIN; INSERT INTO citas VALUES (1, 'a'); SAVEPOINT \`S 1\`; INSERT INTO citas VALUES (2, 'b'); SAVEPOINT b;
             INSERT INTO citas VALUES (3, 'c'); ${temporary}; ROLLBACK TO SAVEPOINT \`s 1\`; INSERT INTO citas VALUES (4, 'd'); COMMIT`,
          ),
        ).toEqual([1, 4]);
      });

      it('keeps the rows of a table that cannot undo them', async () => {
        await schema.query('CREATE TABLE lenta (id INT PRIMARY KEY) ENGINE=MyISAM');
        expect(
          await readIds(
            `BEGIN; INSERT INTO citas VALUES (1, 'a'); INSERT INTO lenta VALUES (2); ${temporary}; INSERT INTO lenta VALUES (3); ROLLBACK`,
          ),
        ).toEqual([2, 3]);
      });

      it('stops the reader where a table of the rows is one by now that cannot undo them', async () => {
        const position = await endOfLog(flavour, schema);
        await schema.query(
          `BEGIN; INSERT INTO citas VALUES (1, 'a'); ${temporary}; ROLLBACK; ALTER TABLE citas ENGINE=MyISAM`,
        );
        expect((await haltOf(position))?.halt.reason).toBe('undecodable');
      });

      it('says of a large one that what came of it did not happen', async () => {
        const stream = await open();
        await schema.query(
          `BEGIN; INSERT INTO citas SELECT seq + 10000, 'marca' FROM seq_1_to_60000; ${temporary}; ROLLBACK`,
        );
        const parts = [];
        while (!parts.at(-1)?.commit) parts.push(...(await stream.take()));
        stream.close();
        expect(parts.length).toBeGreaterThan(1);
        expect(parts.at(-1)).toMatchObject({ isUndone: true, rows: [] });
      });
    });

    describe('that drops partitions of a history', () => {
      beforeEach(() =>
        run([
          `CREATE OR REPLACE TABLE citas${table} WITH SYSTEM VERSIONING PARTITION BY SYSTEM_TIME LIMIT 1000
           (PARTITION p0 HISTORY, PARTITION p1 HISTORY, PARTITION p2 HISTORY, PARTITION pn CURRENT)`,
        ]),
      );
      it.each([
        [
          null,
          ['ALTER TABLE citas DROP PARTITION p0', 'ALTER TABLE citas ADD PARTITION (PARTITION p3 HISTORY)'],
        ],
        [null, ['ALTER TABLE citas TRUNCATE PARTITION p1']],
        ['truncate', ['ALTER TABLE citas TRUNCATE PARTITION pn']],
        ['truncate', ['ALTER TABLE citas TRUNCATE PARTITION ALL']],
        ['truncate', ['ALTER TABLE citas DROP PARTITION p0', 'ALTER TABLE citas REMOVE PARTITIONING']],
      ] as const)('%s: %j', async (reason, statements) => {
        const position = await endOfLog(flavour, schema);
        await run(statements);
        const hints = { citas: { types: new Map(), fractions: new Map(), plainColumns: null } };
        expect((await haltOf(position, { hints }))?.halt.reason ?? null).toBe(reason);
      });
    });
  }
});
