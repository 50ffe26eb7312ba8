import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSource } from '../../src/binlog/source/source.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { byName, openReader, takeRows } from '../support/read-log.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';

describe.each(servers)('a %s in another time zone than UTC', (variant) => {
  const { flavour } = sharedServer(variant);
  let server: PrivateServer;
  let schema: TestSchema;
  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant, settings: ['default-time-zone=+05:30'] });
    schema = await createSchema(
      server,
      'CREATE TABLE t (id INT PRIMARY KEY, moment TIMESTAMP(3) NULL, local DATETIME, day DATE, hour TIME)',
    );
  });
  afterAll(async () => {
    await schema.drop();
    await server.stop();
  });

  it('gives the same values in its log and to a question: TIMESTAMP in UTC, the others as they were written', async () => {
    const columns = ['moment', 'local', 'day', 'hour'];
    const stream = await openReader({ flavour, schema, watch: { t: columns } });
    await schema.query(
      "INSERT INTO t VALUES (1, '2026-03-07 04:30:00.250', '2026-03-07 04:30:00', '2026-03-07', '04:30:00')",
    );
    const [row] = await takeRows(stream, 1);
    stream.close();
    const source = openSource(parseDatabaseUrl(schema.url()));
    const [asked] = await source.query('SELECT id, moment, local, day, hour FROM t');
    await source.close();
    const logged = byName(row!, 'after');
    expect(logged).toEqual({
      id: 1,
      moment: '2026-03-06 23:00:00.250',
      local: '2026-03-07 04:30:00',
      day: '2026-03-07',
      hour: '04:30:00',
    });
    expect(asked).toEqual(logged);
  });
});
