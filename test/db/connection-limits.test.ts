import { createConnection, type Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openSource } from '../../src/binlog/source/source.ts';
import { migrateStore } from '../../src/db/schema/migrate.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import type { AppError } from '../../src/lib/errors.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import {
  createSchema,
  createUser,
  servers,
  sharedServer,
  type TestSchema,
  type TestUser,
} from '../support/server.ts';

describe.each(servers)('connections are limited on %s', (variant) => {
  /** A user of which one connection is open and may be the only one. */
  async function openLimited(): Promise<{ schema: TestSchema; url: string; user: string; held: Connection }> {
    const server = sharedServer(variant);
    const schema = await createSchema(server);
    const account = await createUser(server, [`ALL ON ${schema.name}.*`]);
    onTestFinished(async () => {
      await account.drop();
      await schema.drop();
    });
    const url = schema.url(account);
    await schema.query(`ALTER USER '${account.user}'@'%' WITH MAX_USER_CONNECTIONS 1`);
    const held = await createConnection(url);
    onTestFinished(() => held.destroy());
    return { schema, url, user: account.user, held };
  }

  it("for the account: the remedy names the account's limit, and works", async () => {
    const { schema, url, user } = await openLimited();
    const source = openSource(parseDatabaseUrl(url));
    onTestFinished(() => source.close());
    const remedy = `ALTER USER '${user}'@'%' WITH MAX_USER_CONNECTIONS 30;`;
    const refused = { message: expect.stringContaining('MAX_USER_CONNECTIONS') as string, retryable: true };
    await expect(source.query('SELECT 1')).rejects.toMatchObject({
      ...refused,
      code: 'ERR_SOURCE_UNREACHABLE',
      remedy: expect.stringContaining(remedy) as string,
    });
    await expect(migrateStore(parseDatabaseUrl(url))).rejects.toMatchObject({
      ...refused,
      code: 'ERR_STORE_UNREACHABLE',
      remedy: expect.stringContaining(remedy) as string,
    });
    await schema.query(remedy);
    expect(await source.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});

describe.each(servers)('the server of its own limits connections: %s', (variant) => {
  let server: PrivateServer;
  let schema: TestSchema;
  beforeAll(async () => {
    // MariaDB changes max_user_connections while it runs only if it was not 0 at its start.
    server = await startPrivateServer({
      flavour: variant,
      settings: ['max-connections=12', 'max-user-connections=50'],
    });
    schema = await createSchema(server);
  });
  afterAll(async () => {
    await schema.drop();
    await server.stop();
  });

  /** Opens connections of a user until the server refuses one, then follows the remedy by its first line, as an administrator. */
  async function expectRemedyToWork(account: TestUser, lines: readonly string[]): Promise<void> {
    const url = schema.url(account);
    const held: Connection[] = [];
    onTestFinished(() => held.forEach((each) => each.destroy()));
    for (let refused = false; !refused && held.length < 20;) {
      await createConnection(url).then(
        (each) => held.push(each),
        () => (refused = true),
      );
    }
    const source = openSource(parseDatabaseUrl(url));
    onTestFinished(() => source.close());
    const error = await source.query('SELECT 1').catch((each: unknown) => each);
    expect(error).toMatchObject({ code: 'ERR_SOURCE_UNREACHABLE', retryable: true });
    const remedy = (error as AppError).remedy?.split('\n') ?? [];
    expect(remedy).toEqual(lines);
    await schema.query(remedy[0]!.replace(/ -- .*$/, ''));
    expect(await source.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  }

  it('of each user (error 1203)', async () => {
    const account = await createUser(server, [`SELECT ON ${schema.name}.*`]);
    await schema.query('SET GLOBAL max_user_connections = 2');
    await expectRemedyToWork(account, [
      `ALTER USER '${account.user}'@'%' WITH MAX_USER_CONNECTIONS 30;`,
      'Or raise the limit of all users. A MariaDB server that was started with 0 reads it from my.cnf, at its next start:',
      'SET GLOBAL max_user_connections = 30;',
      '-- and under [mysqld] in my.cnf: max_user_connections = 30',
    ]);
    await schema.query('SET GLOBAL max_user_connections = 50');
  });

  it('of all users (error 1040)', async () => {
    const account = await createUser(server, [`SELECT ON ${schema.name}.*`]);
    await expectRemedyToWork(account, [
      'SET GLOBAL max_connections = 300;',
      '-- and under [mysqld] in my.cnf: max_connections = 300',
      'Or end connections that are not used. This lists them:',
      'SHOW PROCESSLIST;',
    ]);
  });
});
