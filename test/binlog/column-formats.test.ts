import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readDictionary } from '../../src/binlog/source/dictionary.ts';
import { HaltError } from '../../src/binlog/halt.ts';
import { runPreflight, type CheckResult } from '../../src/binlog/preflight/preflight.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { byName, endOfLog, openReader, takeRows } from '../support/read-log.ts';
import { createSchema, type TestSchema } from '../support/server.ts';

const flavour = 'mariadb';

describe.each(['mariadb', 'mariadb-11.8'] as const)(
  'what the log of %s does not show of a table',
  (variant) => {
    let server: PrivateServer;
    let schema: TestSchema;
    beforeAll(async () => {
      server = await startPrivateServer({ flavour: variant });
      schema = await createSchema(server);
    });
    afterAll(() => server.stop());

    async function check(id: string, watch: Record<string, string[]>): Promise<CheckResult> {
      const source = openSource(parseDatabaseUrl(schema.url()));
      const watched = new Map(Object.entries(watch).map(([table, columns]) => [table, new Set(columns)]));
      const report = await runPreflight({ source, watch: watched });
      await source.close();
      return report.checks.find((each) => each.id === id)!;
    }

    async function readPeriod(table: string): Promise<string | null> {
      const source = openSource(parseDatabaseUrl(schema.url()));
      const { tables } = await readDictionary(source, await source.identify());
      await source.close();
      return tables.get(table)!.rowEnd;
    }

    it('fails for history by transaction number: pasted, the remedy saves it and makes the rows appear', async () => {
      await schema.query(`CREATE TABLE citas (id INT PRIMARY KEY, estado VARCHAR(20), \`s\`\`s\` BIGINT UNSIGNED GENERATED ALWAYS AS ROW START,
      e BIGINT UNSIGNED GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (\`s\`\`s\`, e)) WITH SYSTEM VERSIONING`);
      const watch = { citas: ['id', 'estado'] };
      const failed = await check('history', watch);
      expect(failed).toMatchObject({ level: 'fail' });
      expect(failed.detail).toMatch(/^citas keeps its history by transaction number/);

      const stream = await openReader({ flavour, schema, watch });
      await schema.query("INSERT INTO citas (id, estado) VALUES (1, 'a'), (2, 'b')");
      const error: unknown = await takeRows(stream, 1).catch((caught: unknown) => caught);
      if (!(error instanceof HaltError)) throw error;
      expect(error.halt.reason).toBe('statement-format');
      expect(error.remedy).not.toMatch(/SET (GLOBAL|PERSIST)/);
      expect(error.message).toContain('"odontology-webhooks check" says what to set');

      await schema.query("UPDATE citas SET estado = 'c' WHERE id = 1; DELETE FROM citas WHERE id = 2");
      await schema.query(failed.remedy!);
      expect(await check('history', watch)).toMatchObject({ level: 'pass' });
      expect(await schema.query('SELECT id, estado FROM citas_history ORDER BY id, e')).toEqual([
        { id: 1, estado: 'a' },
        { id: 1, estado: 'c' },
        { id: 2, estado: 'b' },
      ]);
      const position = await endOfLog(flavour, schema);
      await schema.query("INSERT INTO citas (id, estado) VALUES (3, 'd')");
      const reader = await openReader({ flavour, schema, watch, position });
      const [row] = await takeRows(reader, 1);
      reader.close();
      expect(byName(row!, 'after')).toMatchObject({ id: 3, estado: 'd' });
    });

    it('passes for history by time, under any name of the period', async () => {
      await schema.query(`CREATE TABLE notas (id INT PRIMARY KEY, desde TIMESTAMP(6) GENERATED ALWAYS AS ROW START,
      hasta TIMESTAMP(6) GENERATED ALWAYS AS ROW END, PERIOD FOR SYSTEM_TIME (desde, hasta)) WITH SYSTEM VERSIONING;
      CREATE TABLE avisos (id INT PRIMARY KEY) WITH SYSTEM VERSIONING`);
      expect(await check('history', { notas: ['id'], avisos: ['id'] })).toMatchObject({ level: 'pass' });
      expect(await readPeriod('notas')).toBe('hasta');
      expect(await readPeriod('avisos')).toBe('row_end');
    });

    it('fails for fractions of a second in the format before MariaDB 10.1, named in a rule or not', async () => {
      await schema.query(`SET GLOBAL mysql56_temporal_format = OFF; CREATE TABLE old (id INT PRIMARY KEY, d DATETIME(3), plain DATETIME);
      CREATE TABLE whole (id INT PRIMARY KEY, plain DATETIME)`);
      expect(await check('column-formats', { whole: ['id'] })).toMatchObject({ level: 'pass' });
      const failed = await check('column-formats', { old: ['id'] });
      expect(failed).toMatchObject({ level: 'fail' });
      expect(failed.detail).toMatch(/^old\.d: /);
      await schema.query(failed.remedy!);
      expect(await check('column-formats', { old: ['id'] })).toMatchObject({ level: 'pass' });
      await expectReadable('old', "INSERT INTO old VALUES (1, '2026-01-02 03:04:05.678', NULL)", {
        id: 1,
        d: '2026-01-02 03:04:05.678',
      });
    });

    it('fails for DECIMAL of before MySQL 5.0.3, which ALTER TABLE … FORCE leaves as it is', async () => {
      await createOldDecimal();
      const failed = await check('column-formats', { precios: ['id'] });
      expect(failed).toMatchObject({ level: 'fail' });
      expect(failed.detail).toMatch(/^precios\.d: /);
      const stream = await openReader({ flavour, schema, watch: { precios: ['id'] } });
      await schema.query("INSERT INTO precios VALUES (1, 12.50, 'fin')");
      const error: unknown = await takeRows(stream, 1).catch((caught: unknown) => caught);
      if (!(error instanceof HaltError)) throw error;
      expect(error.halt).toMatchObject({ reason: 'unsupported-type', table: `${schema.name}.precios` });
      expect(error.remedy).toMatch(/prints the statement that converts it:\nodontology-webhooks check\n/);
      await schema.query('ALTER TABLE precios FORCE');
      expect(await check('column-formats', { precios: ['id'] })).toMatchObject({ level: 'fail' });
      await schema.query(failed.remedy!);
      expect(await check('column-formats', { precios: ['id'] })).toMatchObject({ level: 'pass' });
      await expectReadable('precios', "INSERT INTO precios VALUES (2, -7.25, 'fin')", { id: 2, d: '-7.25' });
    });

    async function expectReadable(table: string, insert: string, row: object): Promise<void> {
      const stream = await openReader({ flavour, schema, watch: { [table]: ['id', 'd'] } });
      await schema.query(insert);
      const [found] = await takeRows(stream, 1);
      stream.close();
      expect(byName(found!, 'after')).toEqual(row);
    }

    /** No server makes one any more: a CHAR(12), which has the same bytes in a row, becomes a DECIMAL(10,2) in the table's own file. */
    async function createOldDecimal(): Promise<void> {
      await schema.query(
        'CREATE TABLE precios (id INT NOT NULL PRIMARY KEY, d CHAR(12) NOT NULL, rest CHAR(5) NOT NULL) ENGINE = MyISAM CHARACTER SET latin1; FLUSH TABLES',
      );
      const file = join(server.dataDir, schema.name, 'precios.frm');
      const frm = await readFile(file);
      // Length, position in the row, flags, (three bytes), type, character set: MariaDB sql/unireg.cc, pack_fields.
      const char = Buffer.from('0c000600000040000000fe08', 'hex');
      const at = frm.indexOf(char);
      expect(at).toBeGreaterThan(0);
      Buffer.from('0c000600000342000000', 'hex').copy(frm, at);
      frm[at + 10] = 0;
      await writeFile(file, frm);
      await schema.query('FLUSH TABLES; ALTER TABLE precios ENGINE = InnoDB');
    }
  },
);
