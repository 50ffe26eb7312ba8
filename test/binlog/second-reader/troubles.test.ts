import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  compareWithZongji,
  type ComparisonJob,
} from '../../../src/binlog/second-reader/compare-with-zongji.ts';
import { runSecondReader } from '../../../src/binlog/second-reader/second-reader.ts';
import type { RowEvent } from '../../../src/binlog/types.ts';
import { endOfLog } from '../../support/read-log.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../../support/server.ts';
import { recordLog } from './compare-log.ts';

describe.each(flavours)('the second reader, on transactions of %s', (flavour) => {
  let schema: TestSchema;
  beforeAll(async () => {
    schema = await createSchema(
      sharedServer(flavour),
      'CREATE TABLE a (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20)); CREATE TABLE b (id INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(20))',
    );
  });
  afterAll(() => schema.drop());

  /** Our reading of what the statements changed. */
  async function record(sql: string, rows: number): Promise<ComparisonJob> {
    const position = await endOfLog(flavour, schema);
    await schema.query(sql);
    return recordLog({ flavour, schema, position, rows });
  }

  const reasons = [
    {
      reason: 'compressed-transaction',
      on: 'mysql',
      rows: 2,
      sql: "SET SESSION binlog_transaction_compression = ON; INSERT INTO a (v) VALUES ('x'), ('y'); SET SESSION binlog_transaction_compression = OFF",
    },
    {
      reason: 'json-value',
      on: 'mysql',
      rows: 1,
      sql: "CREATE TABLE j (id INT PRIMARY KEY, v JSON); INSERT INTO j VALUES (1, JSON_OBJECT('a', CAST(REPEAT('x', 70000) AS BINARY)))",
    },
    {
      reason: 'unsupported-type',
      on: 'mysql',
      rows: 2,
      sql: "CREATE TABLE w (id INT PRIMARY KEY, v VECTOR(2), rest VARCHAR(9)); INSERT INTO w VALUES (1, NULL, 'fin'); INSERT INTO w VALUES (2, STRING_TO_VECTOR('[1,2]'), 'fin')",
    },
    {
      reason: 'too-large',
      on: flavour,
      rows: 3,
      sql: "CREATE TABLE l (id INT PRIMARY KEY, v LONGTEXT); INSERT INTO l VALUES (1, REPEAT('x', 12000000)), (2, REPEAT('x', 12000000)), (3, REPEAT('x', 12000000))",
    },
  ].filter(({ on }) => on === flavour);
  it.each(reasons)(
    'leaves out what zongji does not read, and says so: $reason',
    async ({ reason, rows, sql }) => {
      const { differences, leftOut, tables, end } = await compareWithZongji(await record(sql, rows));
      expect({ differences, tables, end }).toEqual({ differences: [], tables: {}, end: 'reached' });
      expect(leftOut.map((each) => [each.reason, each.count])).toEqual([[reason, rows]]);
    },
  );

  it('leaves out rows of which the log has no column', async () => {
    const from = await endOfLog(flavour, schema);
    await schema.query(
      'SET SESSION binlog_row_image = MINIMAL; CREATE TABLE d (id INT DEFAULT 7); INSERT INTO d () VALUES (); SET SESSION binlog_row_image = FULL',
    );
    const until = await endOfLog(flavour, schema);
    const job = await record("INSERT INTO a (v) VALUES ('x')", 1);
    const [like] = job.transactions[0]!.rows;
    const row: RowEvent = { ...like!, table: { ...like!.table, name: 'd' }, after: [undefined, undefined] };
    const compared = await compareWithZongji({
      ...job,
      from,
      until,
      names: { [schema.name]: ['d'] },
      transactions: [{ file: until.file, offset: until.offset, rows: [row] }],
    });
    // MariaDB logs all columns of a table without a key.
    const reason = flavour === 'mysql' ? [['row-without-bytes', 1]] : [];
    expect(compared.leftOut.map((each) => [each.reason, each.count])).toEqual(reason);
    expect(compared.differences.length > 0).toBe(flavour === 'mariadb');
  });

  it('leaves out columns that are not in the log, and compares the others', async () => {
    const job = await record(
      "INSERT INTO a (id, v) VALUES (100, 'x'); SET SESSION binlog_row_image = MINIMAL; UPDATE a SET v = 'z' WHERE id = 100; SET SESSION binlog_row_image = FULL",
      2,
    );
    const { differences, leftOut, tables } = await compareWithZongji(job);
    expect(differences).toEqual([]);
    expect(tables).toEqual({ [`${schema.name}.a`]: { rows: 2, cells: 4 } });
    expect(leftOut.map(({ reason, column, count }) => [reason, column, count])).toEqual([
      ['not-logged', 'v', 1],
      ['not-logged', 'id', 1],
    ]);
  });

  it('compares through definitions, and rows of several tables in one transaction', async () => {
    const job = await record(
      `INSERT INTO a (v) VALUES ('1'); ALTER TABLE a ADD COLUMN w INT DEFAULT 3 FIRST; INSERT INTO a (v) VALUES ('2');
       ALTER TABLE a DROP COLUMN w; START TRANSACTION; INSERT INTO a (v) VALUES ('3'); INSERT INTO b (v) VALUES ('4');
       UPDATE a JOIN b SET a.v = 'x', b.v = 'y'; SAVEPOINT s; DELETE FROM b; ROLLBACK TO s; COMMIT;
       RENAME TABLE a TO c; RENAME TABLE c TO a; DROP TABLE b; CREATE TABLE b (v VARCHAR(20), id INT PRIMARY KEY); INSERT INTO b VALUES ('5', 6)`,
      5,
    );
    const { differences, leftOut, end } = await compareWithZongji(job);
    expect({ differences, leftOut, end }).toEqual({ differences: [], leftOut: [], end: 'reached' });
  });

  const alter = (job: ComparisonJob, change: (rows: readonly RowEvent[]) => RowEvent[]): ComparisonJob => ({
    ...job,
    transactions: job.transactions.map((each) => ({ ...each, rows: change(each.rows) })),
  });
  const rowFaults: Record<string, { type: string; change: (rows: readonly RowEvent[]) => RowEvent[] }> = {
    'a row is lost': { type: 'row', change: (rows) => rows.slice(1) },
    'all rows are lost': { type: 'row', change: () => [] },
    'a row is invented': { type: 'row', change: (rows) => [...rows, rows[0]!] },
    'an INSERT is a DELETE': {
      type: 'operation',
      change: ([first, ...rest]) => [{ ...first!, op: 'delete', before: first!.after, after: null }, ...rest],
    },
  };
  it.each(Object.entries(rowFaults))('finds this fault: %s', async (_name, { type, change }) => {
    const job = await record("INSERT INTO a (v) VALUES ('secreto'), ('otro')", 2);
    const compared = await compareWithZongji(alter(job, change));
    expect(compared.differences.map((each) => [each.table, each.column, each.type])).toEqual([
      [`${schema.name}.a`, null, type],
    ]);
    expect(JSON.stringify(compared)).not.toMatch(/secreto|otro/);
  });

  it('finds a transaction that our reader took for one without watched rows', async () => {
    const job = await record(
      "INSERT INTO a (v) VALUES ('1'); INSERT INTO a (v) VALUES ('2'); INSERT INTO a (v) VALUES ('3')",
      3,
    );
    const { differences } = await compareWithZongji({
      ...job,
      transactions: job.transactions.toSpliced(1, 1),
    });
    expect(differences.map(({ type, count }) => [type, count])).toEqual([['row', 1]]);
  });

  it('does not compare what our reader passed over', async () => {
    const job = await record("INSERT INTO a (v) VALUES ('1'); INSERT INTO a (v) VALUES ('2')", 2);
    const [first, second] = job.transactions;
    const compared = await compareWithZongji({
      ...job,
      transactions: [second!],
      passedOver: [first!],
      notKept: 1,
    });
    expect(compared.differences).toEqual([]);
    expect(compared.leftOut.map(({ reason, count }) => [reason, count])).toEqual([['not-kept', 1]]);
    expect(compared.tables[`${schema.name}.a`]!.rows).toBe(1);
  });

  it('gives the same from its thread', async () => {
    const job = await record("INSERT INTO a (v) VALUES ('1'); INSERT INTO a (v) VALUES ('2')", 2);
    expect(await runSecondReader(job, { timeMs: 30_000 })).toEqual(await compareWithZongji(job));
  });

  it('ends without a comparison when zongji may not read', async () => {
    const job = await record("INSERT INTO a (v) VALUES ('1')", 1);
    const refused = await runSecondReader({ ...job, url: { ...job.url, user: 'nadie' } }, { timeMs: 30_000 });
    expect(refused).toMatchObject({ end: 'refused', tables: {}, differences: [] });
    expect(refused.leftOut.map(({ reason, count }) => [reason, count])).toEqual([['unread', 1]]);
  });

  it('ends at its time limit when the server says nothing', async () => {
    const job = await record("INSERT INTO a (v) VALUES ('1')", 1);
    const silent: Server = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as { port: number };
    const late = await runSecondReader({ ...job, url: { ...job.url, port } }, { timeMs: 300 });
    silent.close();
    expect(late).toMatchObject({ end: 'time', tables: {}, differences: [] });
    expect(late.leftOut.map(({ reason, count }) => [reason, count])).toEqual([['unread', 1]]);
  });

  it('ends with its thread when that fails', async () => {
    const job = await record("INSERT INTO a (v) VALUES ('1')", 1);
    const failed = await runSecondReader({ ...job, passedOver: null as never }, { timeMs: 30_000 });
    expect(failed).toMatchObject({ end: 'failed', differences: [] });
  });
});
