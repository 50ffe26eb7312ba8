import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import { readSchemaDifferences } from '../../src/audit/schema-differences.ts';
import { openStore } from '../../src/db/connection/client.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import type { SchemaDifference } from '../../src/db/schema/schema-difference.ts';
import { migrateStore } from '../../src/db/schema/migrate.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { migrateTo } from '../support/migrate-to.ts';
import { createSchema, flavours, servers, sharedServer, type TestSchema } from '../support/server.ts';

async function differencesOf(url: string): Promise<SchemaDifference[]> {
  const store = openStore(parseDatabaseUrl(url));
  try {
    return await readSchemaDifferences(store);
  } finally {
    await store.close();
  }
}

/** Puts the tables and views of a schema into another one as a dump does: by the statements that the server prints. */
async function restore(from: TestSchema, into: TestSchema): Promise<void> {
  await into.query('SET foreign_key_checks = 0, sql_mode = "NO_AUTO_VALUE_ON_ZERO"');
  const objects = await from.query('SHOW FULL TABLES');
  const named = objects.map((row) => Object.values(row).map(String));
  for (const type of ['BASE TABLE', 'VIEW'])
    for (const [name] of named.filter((each) => each[1] === type)) {
      const [made] = await from.query(`SHOW CREATE TABLE \`${name}\``);
      const statement = String(made!['Create Table'] ?? made!['Create View']);
      await into.query(statement.replaceAll(`\`${from.name}\`.`, ''));
    }
}

/** Of a schema that was made with other defaults than ours. */
const defaults = ['utf8mb4 COLLATE utf8mb4_general_ci', 'latin1 COLLATE latin1_spanish_ci', 'utf8mb3'];

describe.each(servers)('a store of another origin, on %s', (variant) => {
  const schemas: TestSchema[] = [];
  const create = async (charset: string): Promise<TestSchema> => {
    const schema = await createSchema(sharedServer(variant));
    schemas.push(schema);
    await schema.query(`ALTER DATABASE \`${schema.name}\` CHARACTER SET ${charset}`);
    return schema;
  };
  afterAll(() => Promise.all(schemas.map((schema) => schema.drop())));

  it.each(defaults)(
    'has no difference in a schema of %s, after all migrations since f84be48',
    async (charset) => {
      const schema = await create(charset);
      await migrateTo(schema, 9);
      await migrateStore(parseDatabaseUrl(schema.url()));
      expect(await differencesOf(schema.url())).toEqual([]);
    },
  );

  it.each(defaults)(
    'has no difference when a dump of it was restored into a schema of %s',
    async (charset) => {
      const [from, into] = [await create(defaults[0]!), await create(charset)];
      await migrateStore(parseDatabaseUrl(from.url()));
      await restore(from, into);
      expect(await differencesOf(into.url())).toEqual([]);
    },
  );

  it('has no difference because of the checks of an application in the same schema', async () => {
    const schema = await create(defaults[0]!);
    await migrateStore(parseDatabaseUrl(schema.url()));
    await schema.query(
      'CREATE TABLE theirs (events INT CHECK (events > 0), headers JSON, filter INT, CONSTRAINT filter CHECK (filter > 0))',
    );
    expect(await differencesOf(schema.url())).toEqual([]);
  });

  it('has notes alone for an account that cannot read the queries of views', async () => {
    const schema = await create(defaults[0]!);
    await migrateStore(parseDatabaseUrl(schema.url()));
    const account = { user: `store_${schema.name}`, password: 'x' };
    const rights = 'SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, CREATE VIEW';
    await schema.query(
      `CREATE USER '${account.user}'@'%' IDENTIFIED BY '${account.password}'; GRANT ${rights} ON \`${schema.name}\`.* TO '${account.user}'@'%'`,
    );
    onTestFinished(async () => {
      await schema.query(`DROP USER '${account.user}'@'%'`);
    });
    const differences = await differencesOf(schema.url(account));
    expect(differences.filter(({ level }) => level !== 'warn')).toEqual([]);
    expect(differences.map(({ message }) => message)).toContain(
      'the query of the view events cannot be read',
    );
  });
});

describe.each(flavours)(
  'a store on a server that does not distinguish the case of names, on %s',
  (flavour) => {
    let server: PrivateServer | undefined;
    afterAll(() => server?.stop());

    it('has no difference under a name with capitals', { timeout: 120_000 }, async () => {
      server = await startPrivateServer({ flavour, settings: ['lower_case_table_names=1'] });
      const url = `${server.url}/Store`;
      await migrateStore(parseDatabaseUrl(url));
      expect(await differencesOf(url)).toEqual([]);
    });
  },
);
