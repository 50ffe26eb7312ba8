import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HaltError } from '../../src/binlog/halt.ts';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import type { TransactionPart } from '../../src/binlog/types.ts';
import { byName, endOfLog, openReader, takeRows, takeUntil } from '../support/read-log.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';

/** What the stream gives out before it halts, and the halt. */
async function untilHalt(stream: BinlogStream): Promise<{ parts: TransactionPart[]; error: HaltError }> {
  const parts: TransactionPart[] = [];
  try {
    for (;;) parts.push(...(await stream.take()));
  } catch (error) {
    if (error instanceof HaltError) return { parts, error };
    throw error;
  }
}

describe.each(flavours)('a change that cannot be read from the log of %s', (flavour) => {
  let schema: TestSchema;
  beforeEach(async () => {
    schema = await createSchema(
      sharedServer(flavour),
      'CREATE TABLE t (id INT PRIMARY KEY, status VARCHAR(20), doc JSON, secret VARCHAR(40)); CREATE TABLE other (id INT PRIMARY KEY)',
    );
  });
  afterEach(() => schema.drop());

  const open = (extra: object = {}): Promise<BinlogStream> =>
    openReader({ flavour, schema, watch: { t: ['id', 'status', 'doc'] }, ...extra });

  /** Runs the statements between two readable changes, and expects the halt to stand before the unreadable one. */
  async function expectHalt(reason: string, statements: string[], remedy: RegExp): Promise<HaltError> {
    const stream = await open();
    await schema.query("INSERT INTO t VALUES (1, 'before', '{}', 'marca-privada')");
    for (const statement of statements) await schema.query(statement);
    const { parts, error } = await untilHalt(stream);
    expect(error.halt.reason).toBe(reason);
    expect(error.remedy).toMatch(remedy);
    expect(parts.flatMap((part) => part.rows).map((row) => byName(row, 'after')['status'])).toEqual([
      'before',
    ]);
    expect(error.halt.position).toEqual(parts.at(-1)!.commit!.position);
    expect(JSON.stringify([error.halt, error.message])).not.toContain('marca-privada');
    return error;
  }

  it('halts at TRUNCATE of a watched table', async () => {
    await expectHalt('truncate', ['TRUNCATE TABLE t'], /resume --accept-gap/);
  });

  it('reads on over TRUNCATE of another table', async () => {
    const stream = await open();
    await schema.query("TRUNCATE other; INSERT INTO t VALUES (1, 'a', NULL, NULL)");
    expect(await takeRows(stream, 1)).toHaveLength(1);
    stream.close();
  });

  it('halts at a change logged as a statement', async () => {
    await expectHalt(
      'statement-format',
      [
        "SET SESSION binlog_format = 'STATEMENT'",
        "UPDATE t SET status = 'marca-privada' WHERE id = 1",
        "SET SESSION binlog_format = 'ROW'",
      ],
      /binlog_format = 'ROW'/,
    );
  });

  it('halts when the log does not name the columns', async () => {
    await schema.query("SET GLOBAL binlog_row_metadata = 'MINIMAL'");
    try {
      const stream = await open();
      await schema.query(
        "ALTER TABLE t COMMENT = 'fresh table map'; INSERT INTO t VALUES (1, 'a', NULL, NULL)",
      );
      const { error } = await untilHalt(stream);
      expect(error.halt.reason).toBe('metadata-missing');
      expect(error.remedy).toContain('binlog_row_metadata');
    } finally {
      await schema.query("SET GLOBAL binlog_row_metadata = 'FULL'");
    }
  });

  it('halts when a watched column goes away', async () => {
    const gone = await expectHalt(
      'column-changed',
      ['ALTER TABLE t DROP COLUMN status', 'INSERT INTO t (id) VALUES (2)'],
      /resume/,
    );
    expect(gone.halt.table).toBe(`${schema.name}.t`);
  });

  it('halts when a watched column changes its kind', async () => {
    const statements = ['ALTER TABLE t MODIFY secret INT', "INSERT INTO t VALUES (2, 'later', NULL, 3)"];
    const stream = await openReader({ flavour, schema, watch: { t: ['id', 'secret'] } });
    await schema.query("INSERT INTO t VALUES (1, 'before', '{}', '7')");
    for (const statement of statements) await schema.query(statement);
    const { error } = await untilHalt(stream);
    expect(error.halt.reason).toBe('column-changed');
    expect(error.message).toContain('from text to integer');
  });

  it('passes over a transaction whose loss was accepted, and reads what follows', async () => {
    const position = await endOfLog(flavour, schema);
    const first = await open({ position });
    await schema.query("TRUNCATE TABLE t; INSERT INTO t VALUES (5, 'after', NULL, NULL)");
    const { error } = await untilHalt(first);
    const again = await open({ position });
    expect((await untilHalt(again)).error.halt.transactionId).toBe(error.halt.transactionId);
    const waived = await open({ position, waived: [error.halt.transactionId!] });
    const [row] = await takeRows(waived, 1);
    expect(byName(row!, 'after')['status']).toBe('after');
    waived.close();
  });

  it('keeps a column that is not in the row image apart from NULL', async () => {
    await schema.query("INSERT INTO t VALUES (1, 'a', '{}', 'x')");
    const stream = await open();
    await schema.query(
      "SET SESSION binlog_row_image = 'MINIMAL'; UPDATE t SET status = 'b' WHERE id = 1; SET SESSION binlog_row_image = 'FULL'",
    );
    const [row] = await takeRows(stream, 1);
    stream.close();
    expect(byName(row!, 'after')).toEqual({ id: undefined, status: 'b', doc: undefined });
    expect(byName(row!, 'before')).toEqual({ id: 1, status: undefined, doc: undefined });
  });

  it('never lets a column out that nobody asked for', async () => {
    const stream = await open();
    await schema.query("INSERT INTO t VALUES (1, 'a', NULL, 'marca-privada')");
    const [row] = await takeRows(stream, 1);
    stream.close();
    expect(JSON.stringify(row)).not.toContain('marca-privada');
  });

  it('reads each row with the columns in force when it was written', async () => {
    const position = await endOfLog(flavour, schema);
    await schema.query(`INSERT INTO t VALUES (1, 'one', '{"a":1}', 's');
      ALTER TABLE t ADD COLUMN extra INT FIRST;
      INSERT INTO t VALUES (99, 2, 'two', '{"a":2}', 's');
      ALTER TABLE t MODIFY COLUMN status VARCHAR(40) AFTER secret;
      INSERT INTO t (id, status, doc) VALUES (3, 'three', '{"a":3}');
      ALTER TABLE t DROP COLUMN extra, MODIFY COLUMN secret TEXT;
      INSERT INTO t (id, status, doc) VALUES (4, 'four', '{"a":4}');
      CREATE TABLE _t_gho LIKE t;
      ALTER TABLE _t_gho ADD COLUMN added INT NOT NULL DEFAULT 7 FIRST;
      INSERT INTO _t_gho (id, status, doc) SELECT id, status, doc FROM t;
      RENAME TABLE t TO _t_del, _t_gho TO t;
      INSERT INTO t (id, status, doc) VALUES (5, 'five', '{"a":5}')`);
    const stream = await open({ position });
    const rows = (await takeRows(stream, 5)).map((row) => byName(row, 'after'));
    stream.close();
    expect(rows.map(({ id, status }) => `${String(id)} ${String(status)}`)).toEqual([
      '1 one',
      '2 two',
      '3 three',
      '4 four',
      '5 five',
    ]);
    expect(rows.map(({ doc }) => JSON.parse(doc as string) as unknown)).toEqual(
      [1, 2, 3, 4, 5].map((a) => ({ a })),
    );
  });

  it('reads ENUM labels as they were when the row was written', async () => {
    await schema.query("CREATE TABLE e (id INT PRIMARY KEY, v ENUM('scheduled','a, b','confirmed'))");
    const position = await endOfLog(flavour, schema);
    await schema.query(
      `INSERT INTO e VALUES (1, 'confirmed'); ALTER TABLE e MODIFY v ENUM('scheduled','nuevo','a, b','confirmed'); INSERT INTO e VALUES (2, 'confirmed'), (3, 'nuevo')`,
    );
    const stream = await openReader({ flavour, schema, position, watch: { e: ['v'] } });
    const rows = (await takeRows(stream, 3)).map((row) => byName(row, 'after')['v']);
    stream.close();
    expect(rows).toEqual(['confirmed', 'confirmed', 'nuevo']);
  });

  it('tells which watched tables a definition names', async () => {
    const stream = await open();
    await schema.query('CREATE TABLE unrelated (id INT PRIMARY KEY); ALTER TABLE t ADD COLUMN x INT');
    const parts = await takeUntil(stream, (part) => part.ddl.includes('t'));
    stream.close();
    expect(parts.flatMap((part) => part.ddl)).toEqual(['t']);
  });

  it('stops at rows that an XA transaction only prepared', async () => {
    const stream = await open();
    await schema.query(
      "XA START 'x1'; INSERT INTO t VALUES (1, 'maybe', NULL, NULL); XA END 'x1'; XA PREPARE 'x1'",
    );
    try {
      expect((await untilHalt(stream)).error.halt.reason).toBe('xa-transaction');
    } finally {
      await schema.query("XA ROLLBACK 'x1'");
    }
  });

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
});

describe('what only MySQL logs', () => {
  let schema: TestSchema;
  beforeEach(async () => {
    schema = await createSchema(
      sharedServer('mysql'),
      'CREATE TABLE t (id INT PRIMARY KEY AUTO_INCREMENT, doc JSON, text LONGTEXT)',
    );
  });
  afterEach(() => schema.drop());

  it('halts at a partial JSON update of a watched table', async () => {
    await schema.query('INSERT INTO t (doc) VALUES (\'{"a": "0123456789", "b": 1}\')');
    const stream = await openReader({ flavour: 'mysql', schema, watch: { t: ['id', 'doc'] } });
    await schema.query(
      "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'; UPDATE t SET doc = JSON_SET(doc, '$.b', 2)",
    );
    const { error } = await untilHalt(stream);
    expect(error.halt.reason).toBe('partial-json');
    expect(error.remedy).toContain('binlog_row_value_options');
  });

  it.each([
    ['small', 100, 10],
    ['larger than one call unpacks', 60_000, 400],
  ])('reads a compressed transaction: %s', async (_name, count, length) => {
    const stream = await openReader({
      flavour: 'mysql',
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

  it('reads rows of 17 and 65 MB', async () => {
    const stream = await openReader({ flavour: 'mysql', schema, watch: { t: ['id', 'text'] } });
    await schema.query('SET GLOBAL max_allowed_packet = 256 * 1024 * 1024');
    const writer = await schema.connect();
    for (const megabytes of [17, 65])
      await writer.query(`INSERT INTO t (text) VALUES (REPEAT('ñ', ${megabytes / 2} * 1024 * 1024))`);
    const rows = (await takeRows(stream, 2)).map((row) =>
      Buffer.byteLength(byName(row, 'after')['text'] as string),
    );
    stream.close();
    expect(rows).toEqual([17 * 1024 * 1024, 65 * 1024 * 1024]);
  });

  it('reads the rows of CREATE TABLE … SELECT as one transaction', async () => {
    await schema.query("INSERT INTO t (text) VALUES ('a'), ('b')");
    const stream = await openReader({ flavour: 'mysql', schema, watch: { copy: ['id'] } });
    await schema.query('CREATE TABLE copy (PRIMARY KEY (id)) SELECT id FROM t');
    const parts = await takeUntil(stream, (part) => part.rows.length > 0);
    stream.close();
    expect(parts.at(-1)!.rows).toHaveLength(2);
  });

  it('follows tagged GTIDs', async () => {
    const stream = await openReader({ flavour: 'mysql', schema, watch: { t: ['id'] } });
    await schema.query(
      "SET GTID_NEXT = 'AUTOMATIC:clinica'; INSERT INTO t (text) VALUES ('a'); SET GTID_NEXT = 'AUTOMATIC'",
    );
    const parts = await takeUntil(stream, (part) => part.rows.length > 0);
    stream.close();
    expect(parts.at(-1)!.id).toMatch(/^[0-9a-f-]{36}:clinica:1$/);
    expect(parts.at(-1)!.commit!.position.gtid).toMatch(/:clinica:1/);
    const [row] = await schema.query('SELECT GTID_SUBSET(?, @@gtid_executed) AS inside', [
      parts.at(-1)!.commit!.position.gtid,
    ]);
    expect(row!['inside']).toBe(1);
  });
});

describe('what only MariaDB logs', () => {
  let schema: TestSchema;
  beforeEach(async () => {
    schema = await createSchema(sharedServer('mariadb'));
  });
  afterEach(() => schema.drop());

  it('sees the current rows of a system-versioned table alone', async () => {
    await schema.query('CREATE TABLE v (id INT PRIMARY KEY, name VARCHAR(20)) WITH SYSTEM VERSIONING');
    const hints = { v: { types: new Map(), rowEnd: 'row_end' } };
    const stream = await openReader({ flavour: 'mariadb', schema, watch: { v: ['id', 'name'] }, hints });
    await schema.query(
      "INSERT INTO v VALUES (1, 'a'); UPDATE v SET name = 'b'; DELETE FROM v; INSERT INTO v VALUES (2, 'c')",
    );
    const rows = await takeRows(stream, 4);
    stream.close();
    expect(rows.map((row) => row.op)).toEqual(['insert', 'update', 'delete', 'insert']);
  });

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
});
