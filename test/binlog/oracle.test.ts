import ZongJi from '@vlasky/zongji';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { byName, endOfLog, openReader, takeRows } from '../support/read-log.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

interface OracleEvent {
  getTypeName(): string;
  rows?: Record<string, unknown>[];
}

/** The same log, read by another decoder: what both say of the common types must be the same. */
describe.each(servers)('zongji as the oracle, on %s', (variant) => {
  const { flavour } = sharedServer(variant);
  let schema: TestSchema;
  beforeAll(async () => {
    schema = await createSchema(
      sharedServer(variant),
      `CREATE TABLE o (id INT PRIMARY KEY, big BIGINT, amount DECIMAL(20,6), name VARCHAR(300), note TEXT,
        status ENUM('scheduled','con, coma'), born DATE, at DATETIME(3), stamp TIMESTAMP(6) NULL, late TIME, ratio DOUBLE)`,
    );
  });
  afterAll(() => schema.drop());

  it('agrees on 300 random rows, inserted, updated and deleted', async () => {
    const position = await endOfLog(flavour, schema);
    let seed = 42;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return seed % below;
    };
    for (let id = 1; id <= 300; id += 1) {
      const values = [
        id,
        `${random(2)}${random(4e9)}${random(1e6)}`,
        `-${random(1e9)}.${random(1e6)}`,
        'ñ'.repeat(random(200)),
        random(3) ? `nota 😀 ${random(1e6)}` : null,
      ];
      await schema.query(
        `INSERT INTO o VALUES (?, ?, ?, ?, ?, ?, '2026-03-0${1 + random(9)}', '2026-01-02 03:04:05.${100 + random(900)}', '2026-05-06 07:08:09.${100000 + random(900000)}', '-12:34:56', ?)`,
        [...values, random(2) ? 'con, coma' : 'scheduled', random(1e6) / 7],
      );
      if (id % 3 === 0)
        await schema.query('UPDATE o SET note = ?, amount = amount + 1 WHERE id = ?', [`n${id}`, id]);
      if (id % 5 === 0) await schema.query('DELETE FROM o WHERE id = ?', [id]);
    }
    const total = 300 + 100 + 60;
    const columns = ['id', 'big', 'amount', 'name', 'note', 'status', 'born', 'at', 'stamp', 'late', 'ratio'];
    const stream = await openReader({ flavour, schema, position, watch: { o: columns } });
    const ours = await takeRows(stream, total);
    stream.close();
    const theirs = await readWithZongji(schema, { file: position.file, offset: position.offset }, total);
    expect(
      ours.map((event) => ({
        before: event.before && byName(event, 'before'),
        after: event.after && byName(event, 'after'),
      })),
    ).toEqual(theirs);
  });
});

async function readWithZongji(
  schema: TestSchema,
  from: { file: string; offset: number },
  total: number,
): Promise<unknown[]> {
  const url = new URL(schema.url());
  const options = {
    host: url.hostname,
    port: Number(url.port),
    user: url.username,
    dateStrings: true,
    timezone: 'Z',
    charset: 'utf8mb4',
  };
  const zongji = new ZongJi(options);
  const rows: unknown[] = [];
  const errors: unknown[] = [];
  zongji.on('error', (error: unknown) => errors.push(error));
  zongji.on('binlog', (...args: unknown[]) => {
    const event = args[0] as OracleEvent;
    const type = event.getTypeName();
    for (const row of event.rows ?? []) {
      if (type === 'WriteRows') rows.push({ before: null, after: row });
      else if (type === 'DeleteRows') rows.push({ before: row, after: null });
      else if (type === 'UpdateRows') rows.push({ before: row['before'], after: row['after'] });
    }
  });
  zongji.start({
    serverId: 77_000_000 + Number(url.port),
    filename: from.file,
    position: from.offset,
    includeSchema: { [schema.name]: ['o'] },
    includeEvents: ['tablemap', 'writerows', 'updaterows', 'deleterows'],
  });
  await waitFor(() => rows.length >= total || errors.length > 0, { what: 'the oracle to read as much' });
  zongji.stop();
  expect(errors).toEqual([]);
  return rows;
}
