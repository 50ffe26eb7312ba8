import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Halt } from '../../src/binlog/halt.ts';
import { LogAgain } from '../../src/binlog/position/log-again.ts';
import type { BinlogStream } from '../../src/binlog/stream.ts';
import type { Position } from '../../src/binlog/types.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { byName, endOfLog, openReader, type ReadOptions } from '../support/read-log.ts';
import { createSchema, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';
import { modes } from './modes.ts';

/*
 * A server closes the connection as soon as it has sent the log to its end. A reader that has paused by then, because it waits for an
 * answer or because its buffer is full, has not yet looked at all that arrived.
 */

describe.each(modes)('a reader that ends with the log of $name', (mode) => {
  const { flavour } = mode;
  let server: PrivateServer;
  let schema: TestSchema;
  let views: TestSchema;
  let position: Position;
  let unreadable: Halt[];
  beforeAll(async () => {
    server = await startPrivateServer({ flavour: mode.variant, settings: mode.settings });
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    schema = await createSchema(
      server,
      'CREATE TABLE citas (id INT PRIMARY KEY, estado VARCHAR(200)); CREATE TABLE otra (id INT)',
    );
    views = await createSchema(server, `CREATE VIEW v AS SELECT * FROM ${schema.name}.citas`);
    await schema.query("INSERT INTO citas VALUES (1, 'first')");
    position = await endOfLog(flavour, schema);
    unreadable = [];
  });
  afterEach(async () => {
    await views.drop();
    await schema.drop();
  });

  const asStatement = (statement: string): string =>
    `SET SESSION binlog_format = 'STATEMENT'; ${statement}; SET SESSION binlog_format = 'ROW'`;
  const insert = (id: number): string => `INSERT INTO citas VALUES (${id}, 'row')`;
  const unprovable = (): string => asStatement(`UPDATE ${views.name}.v SET estado = 'unseen' WHERE id = 1`);
  const harmless = (): string => asStatement('INSERT INTO otra VALUES (1)');

  const open = (extra: Partial<ReadOptions> = {}): Promise<BinlogStream> =>
    openReader({
      flavour,
      schema,
      watch: { citas: ['id'] },
      position,
      endsWithLog: true,
      onUnreadable: (halt) => unreadable.push(halt),
      ...extra,
    });

  async function idsOf(stream: BinlogStream): Promise<unknown[]> {
    const ids: unknown[] = [];
    try {
      for (;;) {
        const parts = await stream.take();
        if (parts.length === 0) return ids;
        for (const { rows } of parts) ids.push(...rows.map((row) => byName(row, 'after')['id']));
      }
    } finally {
      stream.close();
    }
  }

  it.each([
    { name: 'an unprovable statement last', log: () => [insert(2), unprovable()], ids: [2], halts: 1 },
    {
      name: 'unprovable statements in the middle',
      log: () => [insert(2), unprovable(), insert(3), unprovable(), insert(4)],
      ids: [2, 3, 4],
      halts: 2,
    },
    { name: 'a harmless statement last', log: () => [insert(2), harmless()], ids: [2], halts: 0 },
    {
      name: 'a harmless statement in the middle',
      log: () => [insert(2), harmless(), insert(3)],
      ids: [2, 3],
      halts: 0,
    },
    {
      name: 'harmless and unprovable statements in turn',
      log: () => [harmless(), insert(2), unprovable(), harmless(), insert(3), unprovable()],
      ids: [2, 3],
      halts: 2,
    },
  ])('reads to the end behind $name', async ({ log, ids, halts }) => {
    await schema.query(log().join('; '));
    expect(await idsOf(await open())).toEqual(ids);
    expect(unreadable.map(({ reason }) => reason)).toEqual(Array(halts).fill('statement-format'));
  });

  it('halts at an unprovable statement where it passes over nothing', async () => {
    await schema.query([insert(2), unprovable(), insert(3)].join('; '));
    await expect(
      idsOf(await openReader({ flavour, schema, watch: { citas: ['id'] }, position, endsWithLog: true })),
    ).rejects.toMatchObject({ halt: { reason: 'statement-format' } });
  });

  it('reads to the end what did not fit into its buffer', async () => {
    const wanted = Array.from({ length: 40 }, (_, i) => i + 2);
    await schema.query(wanted.map(insert).join('; '));
    const stream = await open({ bufferBytes: 1 });
    const connections = async (): Promise<unknown> =>
      (
        await schema.query(
          "SELECT COUNT(*) AS n FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'",
        )
      )[0]!['n'];
    await stream.untilMore();
    await waitFor(async () => Number(await connections()) === 0, { what: 'the server to have sent all' });
    expect(await idsOf(stream)).toEqual(wanted);
  });

  it('reads the log again to its end while what is given out waits', async () => {
    await schema.query([insert(2), insert(3)].join('; '));
    const again = new LogAgain(parseDatabaseUrl(schema.url()));
    const types: number[] = [];
    const wasRead = await again.read(position, async ({ type }) => {
      types.push(type);
      // As the outbox would: a round trip, during which the rest arrives.
      await schema.query('SELECT 1');
      return false;
    });
    again.close();
    expect(wasRead).toBe(true);
    // Two transactions end with their XID events.
    expect(types.filter((type) => type === 16)).toHaveLength(2);
  });
});
