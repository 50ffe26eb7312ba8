import { createConnection, type Connection } from 'mysql2/promise';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openSource } from '../../src/binlog/source.ts';
import { migrateStore } from '../../src/db/migrate.ts';
import { parseDatabaseUrl } from '../../src/lib/database-url.ts';
import { createSchema, createUser, servers, sharedServer, type TestSchema } from '../support/server.ts';

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
