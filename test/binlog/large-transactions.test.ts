import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { byName, openReader, takeRows, takeUntil } from '../support/read-log.ts';
import { createSchema, type TestSchema } from '../support/server.ts';
import { modes } from './modes.ts';

describe.each(modes)('what is large in the log of $name', (mode) => {
  const { flavour } = mode;
  let server: PrivateServer;
  let schema: TestSchema;
  beforeAll(async () => {
    server = await startPrivateServer({ flavour: mode.variant, settings: mode.settings });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    schema = await createSchema(
      server,
      'CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, doc JSON, text LONGTEXT)',
    );
  });
  afterEach(() => schema.drop());

  it('gives out a large transaction in parts that share its id, the last with the commit', async () => {
    await schema.query('CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, filler VARCHAR(1000))');
    const stream = await openReader({ flavour, schema, watch: { big: ['id'] } });
    await schema.query(
      `INSERT INTO big (filler) VALUES ${Array.from({ length: 20_000 }, () => "(REPEAT('x', 1000))").join(',')}`,
    );
    const parts = await takeUntil(
      stream,
      (part) => part.commit !== null && part.firstOrdinal + part.rows.length === 20_000,
    );
    stream.close();
    const whole = parts.filter((part) => part.rows.length > 0 || part.firstOrdinal > 0);
    expect(whole.length).toBeGreaterThan(3);
    expect(new Set(whole.map((part) => part.id)).size).toBe(1);
    expect(whole.slice(0, -1).every((part) => part.commit === null)).toBe(true);
    expect(whole.flatMap((part) => part.rows.map((row) => byName(row, 'after')['id']))).toEqual(
      Array.from({ length: 20_000 }, (_, i) => i + 1),
    );
  });
  it('reads rows of 17 and 65 MB', async () => {
    await schema.query('SET GLOBAL max_allowed_packet = 256 * 1024 * 1024');
    const stream = await openReader({ flavour, schema, watch: { t: ['id', 'text'] } });
    const writer = await schema.connect();
    for (const megabytes of [17, 65])
      await writer.query(`INSERT INTO t (text) VALUES (REPEAT('ñ', ${megabytes / 2} * 1024 * 1024))`);
    const rows = (await takeRows(stream, 2)).map((row) =>
      Buffer.byteLength(byName(row, 'after')['text'] as string),
    );
    stream.close();
    expect(rows).toEqual([17 * 1024 * 1024, 65 * 1024 * 1024]);
  });

  if (flavour === 'mysql') {
    it.each([
      ['small', 100, 10],
      ['larger than one call unpacks', 60_000, 400],
    ])('reads a compressed transaction: %s', async (_name, count, length) => {
      const stream = await openReader({
        flavour,
        schema,
        watch: { t: ['id', 'text'] },
        bufferBytes: 6 * 1024 * 1024,
      });
      await schema.query(`SET SESSION binlog_transaction_compression = ON; SET SESSION cte_max_recursion_depth = 100000;
      INSERT INTO t (text) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) SELECT CONCAT(i, REPEAT('z', ${length})) FROM n;
      INSERT INTO t (text) VALUES ('after')`);
      const rows = (await takeRows(stream, count + 1)).map((row) => byName(row, 'after')['text'] as string);
      stream.close();
      expect(rows.at(-1)).toBe('after');
      expect(rows.slice(0, count).map((text) => Number.parseInt(text, 10))).toEqual(
        Array.from({ length: count }, (_, i) => i + 1),
      );
    });
  } else {
    it('reads events that log_bin_compress packed', async () => {
      await schema.query('CREATE TABLE p (id INT PRIMARY KEY, text TEXT)');
      const stream = await openReader({ flavour: 'mariadb', schema, watch: { p: ['id', 'text'] } });
      await schema.query('SET GLOBAL log_bin_compress = ON, log_bin_compress_min_len = 10');
      try {
        const writer = await schema.connect();
        await writer.query(
          "INSERT INTO p VALUES (1, REPEAT('abc', 500)); UPDATE p SET text = REPEAT('xyz', 500); DELETE FROM p",
        );
      } finally {
        await schema.query('SET GLOBAL log_bin_compress = OFF');
      }
      const rows = await takeRows(stream, 3);
      stream.close();
      expect(rows.map((row) => row.op)).toEqual(['insert', 'update', 'delete']);
      expect(byName(rows[1]!, 'after')['text']).toBe('xyz'.repeat(500));
    });
  }
});
