import { createConnection, type Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { byName, endOfLog, openReader, takeRows } from '../support/read-log.ts';
import { createSchema, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';
import { modes } from './modes.ts';

/** A replica with log_replica_updates has in its log what it applied, under the GTIDs of the servers where it was committed. */
describe.each(modes)('the log of a replica of two servers, on $name', { timeout: 120_000 }, (mode) => {
  let servers: PrivateServer[];
  let roots: Connection[];
  let schema: TestSchema;

  beforeAll(async () => {
    const own = (n: number): string[] =>
      mode.flavour === 'mariadb' ? ['log-slave-updates=ON', `gtid-domain-id=${n}`] : [];
    servers = await Promise.all(
      [1, 2, 3].map((n) =>
        startPrivateServer({ flavour: mode.variant, settings: [...mode.settings, ...own(n)] }),
      ),
    );
    roots = await Promise.all(
      servers.map(({ url }) => createConnection({ uri: url, multipleStatements: true })),
    );
    schema = await createSchema(servers[2]!, 'CREATE TABLE t (id INT PRIMARY KEY, text VARCHAR(20))');
    // Each of the three has the tables from the start: replication begins behind that.
    for (const root of roots.slice(0, 2)) {
      await root.query(
        `CREATE DATABASE ${schema.name}; CREATE TABLE ${schema.name}.t (id INT PRIMARY KEY, text VARCHAR(20))`,
      );
    }
    for (const index of [0, 1]) await follow(index);
  });
  afterAll(async () => {
    for (const root of roots) root.destroy();
    await Promise.all(servers.map((server) => server.stop()));
  });

  /** The third server replicates one of the others from the present end of its log. */
  async function follow(index: number): Promise<void> {
    const { host, port } = servers[index]!;
    const root = roots[index]!;
    const replica = roots[2]!;
    const status = mode.flavour === 'mysql' ? 'SHOW BINARY LOG STATUS' : 'SHOW MASTER STATUS';
    const [rows] = await root.query<never>(status);
    const [{ File: file, Position: offset }] = rows as [{ File: string; Position: number }];
    await replica.query(
      mode.flavour === 'mysql'
        ? `CHANGE REPLICATION SOURCE TO SOURCE_HOST='${host}', SOURCE_PORT=${port}, SOURCE_USER='root', SOURCE_LOG_FILE='${file}',
             SOURCE_LOG_POS=${offset} FOR CHANNEL 'c${index}'; START REPLICA FOR CHANNEL 'c${index}'`
        : `CHANGE MASTER 'c${index}' TO MASTER_HOST='${host}', MASTER_PORT=${port}, MASTER_USER='root', MASTER_LOG_FILE='${file}',
             MASTER_LOG_POS=${offset}; START SLAVE 'c${index}'`,
    );
  }

  const insert = (index: number, id: number): Promise<unknown> =>
    roots[index]!.query(`INSERT INTO ${schema.name}.t VALUES (${id}, 'of server ${index}')`);
  const arrived = (ids: number): Promise<unknown> =>
    waitFor(async () => (await schema.query('SELECT id FROM t')).length === ids, {
      timeoutMs: 30_000,
      what: 'the replicated rows',
    });

  it('gives the changes of both and its own, and reads on from a position between them', async () => {
    const { flavour } = mode;
    const from = await endOfLog(flavour, schema);
    for (const id of [10, 20]) {
      await insert(0, id);
      await insert(1, id + 1);
      await insert(2, id + 2);
    }
    await arrived(6);
    const stream = await openReader({ flavour, schema, watch: { t: ['id', 'text'] }, position: from });
    const rows = (await takeRows(stream, 6)).map((row) => byName(row, 'after'));
    stream.close();
    const expected = [10, 11, 12, 20, 21, 22].map((id) => ({ id, text: `of server ${id % 10}` }));
    expect(rows.toSorted((a, b) => Number(a['id']) - Number(b['id']))).toEqual(expected);

    const between = await endOfLog(flavour, schema);
    for (const index of [0, 1, 2]) await insert(index, 30 + index);
    await arrived(9);
    const again = await openReader({ flavour, schema, watch: { t: ['id', 'text'] }, position: between });
    const later = (await takeRows(again, 3)).map((row) => byName(row, 'after')['id']);
    again.close();
    expect(later.toSorted()).toEqual([30, 31, 32]);
  });
});
