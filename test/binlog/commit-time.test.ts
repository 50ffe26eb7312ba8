import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import type { Commit, Position, RowEvent } from '../../src/binlog/types.ts';
import { byName, endOfLog, openReader, takeUntil, type ReadOptions } from '../support/read-log.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';

const tables = `CREATE TABLE citas (id INT PRIMARY KEY AUTO_INCREMENT, estado VARCHAR(40));
  CREATE TABLE leases (name VARCHAR(10) PRIMARY KEY, n INT); INSERT INTO leases VALUES ('canary', 0)`;
const canary = 'UPDATE leases SET n = n + 1';

describe.each(flavours)('the time of a change, on %s', (flavour) => {
  let schema: TestSchema;
  let reader: BinlogStream;
  const open = (options: Partial<ReadOptions> = {}): Promise<BinlogStream> =>
    openReader({ flavour, schema, watch: { citas: ['estado'] }, ownSchema: schema.name, ...options });

  beforeAll(async () => {
    schema = await createSchema(sharedServer(flavour), tables);
    reader = await open();
  });
  afterAll(async () => {
    reader.close();
    await schema.drop();
  });

  async function commitOf(from: BinlogStream, estado: string): Promise<Commit> {
    const parts = await takeUntil(from, ({ rows }) =>
      rows.some((row) => row.after && byName(row, 'after')['estado'] === estado),
    );
    return parts.at(-1)!.commit!;
  }

  /** How far the time of a change is from the moment at which its statement ended, s. */
  async function errorOf(
    estado: string,
    ...statements: string[]
  ): Promise<{ seconds: number; commit: Commit }> {
    const writer = await schema.connect();
    for (const statement of statements) await writer.query(statement);
    await writer.query(`INSERT INTO citas (estado) VALUES ('${estado}')`);
    const endedMs = Date.now();
    const commit = await commitOf(reader, estado);
    return { seconds: Math.abs(commit.committedAtMs - endedMs) / 1_000, commit };
  }

  it.each([
    { name: 'no forged time', statements: [] },
    { name: 'the past', statements: ["SET timestamp = UNIX_TIMESTAMP('2001-02-03 04:05:06')"] },
    { name: 'the first second', statements: ['SET timestamp = 1'] },
    { name: 'the future', statements: ['SET timestamp = 2147480000'] },
    { name: 'a minute ago', statements: ['SET timestamp = UNIX_TIMESTAMP() - 60'] },
    { name: 'in a minute', statements: ['SET timestamp = UNIX_TIMESTAMP() + 60'] },
    {
      name: 'a file begun in the future',
      statements: ['SET timestamp = 2147480000', 'FLUSH BINARY LOGS', 'SET timestamp = DEFAULT'],
    },
    {
      name: 'a definition of the past',
      statements: ['SET timestamp = 1000', 'ALTER TABLE citas COMMENT = "x"'],
    },
  ])('is that of its commit: $name', async ({ name, statements }) => {
    await schema.query(canary);
    const { seconds } = await errorOf(name, ...statements);
    expect(seconds).toBeLessThan(8);
  });

  it('is that of the commit where the statement took long', async () => {
    const [writer, other] = [await schema.connect(), await schema.connect()];
    await Promise.all([
      writer.query("INSERT INTO citas (estado) SELECT CONCAT('slow', SLEEP(5))"),
      other.query(`DO SLEEP(4); ${canary}`),
    ]);
    const endedMs = Date.now();
    const { committedAtMs } = await commitOf(reader, 'slow0');
    expect(Math.abs(committedAtMs - endedMs)).toBeLessThan(2_500);
  });

  if (flavour === 'mysql') {
    it.each(['0', '1', '1000000000000000', '4000000000000000'])(
      'is that of the commit where the session sets the original time %s',
      async (micros) => {
        const { seconds } = await errorOf(
          `original ${micros}`,
          `SET SESSION original_commit_timestamp = ${micros}`,
        );
        expect(seconds).toBeLessThan(2);
      },
    );
  }

  it('is found in a log that is read late, and found again', async () => {
    const from: Position = await endOfLog(flavour, schema);
    const hourAgo = Date.now() - 3_600_000;
    const writer = await schema.connect();
    await writer.query(canary);
    const committedMs = Date.now();
    for (const [estado, time] of [
      ['late past', 1_000],
      ['late future', 2_147_480_000],
      ['late honest', 'DEFAULT'],
    ])
      await writer.query(`SET timestamp = ${time}; INSERT INTO citas (estado) VALUES ('${estado}')`);
    const read = async (): Promise<number[]> => {
      const late = await open({ position: from, time: { committedAtMs: hourAgo, passedMs: hourAgo } });
      const isLast = (row: RowEvent): boolean => byName(row, 'after')['estado'] === 'late honest';
      const parts = await takeUntil(late, ({ rows }) => rows.some(isLast));
      const times = parts.flatMap(({ rows, commit }) =>
        commit && rows.length > 0 ? [commit.committedAtMs] : [],
      );
      late.close();
      return times;
    };
    const [first, second] = [await read(), await read()];
    expect(first).toHaveLength(3);
    for (const ms of first) expect(Math.abs(ms - committedMs)).toBeLessThan(8_000);
    if (flavour === 'mysql') expect(second).toEqual(first);
    expect(second[2]).toBe(first[2]);
  });
});
