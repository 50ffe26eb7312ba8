import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { HaltError } from '../../src/binlog/halt.ts';
import { FLAG_IGNORABLE } from '../../src/binlog/protocol/log-event.ts';
import { rowOp } from '../../src/binlog/decode/read-rows.ts';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import type { TransactionPart } from '../../src/binlog/types.ts';
import { startAlteringProxy } from '../support/altering-proxy.ts';
import { byName, endOfLog, openReader, takeRows } from '../support/read-log.ts';
import { createSchema, type SharedServer, type TestSchema } from '../support/server.ts';
import { borrowServer, modes } from './modes.ts';

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

describe.each(modes)('a change that cannot be read from the log of $name', (mode) => {
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

  it.each([
    ['TRUNCATE', ['TRUNCATE TABLE t']],
    ['DROP TABLE', ['DROP TABLE IF EXISTS other, t']],
    [
      'ALTER TABLE … PARTITION',
      ['ALTER TABLE t PARTITION BY HASH (id) PARTITIONS 2', 'ALTER TABLE t TRUNCATE PARTITION p1'],
    ],
    [
      'ALTER TABLE … PARTITION',
      [
        'CREATE TABLE pieces LIKE t',
        'ALTER TABLE pieces PARTITION BY HASH (id) PARTITIONS 2',
        'ALTER TABLE pieces EXCHANGE PARTITION p1 WITH TABLE t',
      ],
    ],
    ['DROP DATABASE', ['DROP DATABASE %']],
    ...(flavour === 'mariadb'
      ? ([['CREATE OR REPLACE TABLE', ['CREATE OR REPLACE TABLE t (id INT PRIMARY KEY)']]] as const)
      : []),
  ] as const)('halts where rows of a watched table go without being logged: %s', async (name, statements) => {
    const error = await expectHalt(
      'truncate',
      statements.map((statement) => statement.replace('%', schema.name)),
      /resume --accept-gap/,
    );
    expect(error.message).toContain(`${name} `);
  });

  it('reads on over such statements when they concern other tables, of another schema or of a session alone', async () => {
    const elsewhere = await createSchema(server, 'CREATE TABLE t (id INT PRIMARY KEY)');
    const stream = await open();
    await schema.query(`TRUNCATE other; TRUNCATE TABLE ${elsewhere.name}.t; DROP TABLE other, ${elsewhere.name}.t;
      CREATE TEMPORARY TABLE t (id INT); DROP TEMPORARY TABLE t; ALTER TABLE t COMMENT = 'DROP TABLE t';
      INSERT INTO t VALUES (1, 'a', NULL, NULL)`);
    expect(await takeRows(stream, 1)).toHaveLength(1);
    stream.close();
    await elsewhere.drop();
  });

  describe('an event of an unknown type', () => {
    const UNKNOWN = 99;
    const events = { flags: 0 };
    let url: string;
    let stop: () => Promise<void>;
    beforeAll(async () => {
      const proxy = await startAlteringProxy(server, (event) => {
        if (!rowOp(event[4]!) || !event.includes('desconocido')) return;
        event[4] = UNKNOWN;
        event[17]! |= events.flags;
      });
      url = proxy.through(server.url);
      ({ stop } = proxy);
    });
    afterAll(() => stop());
    const openThrough = (extra: object = {}): Promise<BinlogStream> =>
      open({ url: `${url}${url.endsWith('/') ? '' : '/'}${schema.name}`, ...extra });
    const statements = `INSERT INTO t VALUES (1, 'before', NULL, NULL);
      INSERT INTO other VALUES (1, 'desconocido'); INSERT INTO t VALUES (2, 'after', NULL, NULL)`;
    beforeEach(() => schema.query('ALTER TABLE other ADD COLUMN text VARCHAR(20)'));

    it('halts, until the loss of its transaction is accepted', async () => {
      events.flags = 0;
      const position = await endOfLog(flavour, schema);
      const stream = await openThrough({ position });
      await schema.query(statements);
      const { parts, error } = await untilHalt(stream);
      expect(error.halt.reason).toBe('unknown-event');
      expect(error.message).toContain(`type ${UNKNOWN}`);
      expect(parts.flatMap(({ rows }) => rows).map((row) => byName(row, 'after')['id'])).toEqual([1]);
      expect(error.halt.position).toEqual(parts.at(-1)!.commit!.position);
      const waived = await openThrough({ position, waived: [error.halt.transactionId!] });
      const rows = await takeRows(waived, 2);
      expect(rows.map((row) => byName(row, 'after')['id'])).toEqual([1, 2]);
      waived.close();
    });

    it('passes over one that its writer marked as unimportant', async () => {
      events.flags = FLAG_IGNORABLE;
      const stream = await openThrough();
      await schema.query(statements);
      const rows = await takeRows(stream, 2);
      expect(rows.map((row) => byName(row, 'after')['id'])).toEqual([1, 2]);
      stream.close();
    });
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
    expect(error.message).toContain('from varchar(40) to int ');
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

  it('never returns a column that was not asked for', async () => {
    const stream = await open();
    await schema.query("INSERT INTO t VALUES (1, 'a', NULL, 'marca-privada')");
    const [row] = await takeRows(stream, 1);
    stream.close();
    expect(JSON.stringify(row)).not.toContain('marca-privada');
  });

  if (flavour === 'mysql') {
    it('halts at a partial JSON update of a watched table', async () => {
      await schema.query('INSERT INTO t (id, doc) VALUES (1, \'{"a": "0123456789", "b": 1}\')');
      const stream = await open();
      await schema.query(
        "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'; UPDATE t SET doc = JSON_SET(doc, '$.b', 2)",
      );
      const { error } = await untilHalt(stream);
      expect(error.halt.reason).toBe('partial-json');
      expect(error.remedy).toContain('binlog_row_value_options');
    });
  }
});
