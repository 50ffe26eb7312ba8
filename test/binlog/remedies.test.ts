import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runPreflight, type CheckResult } from '../../src/binlog/preflight/preflight.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { createSchema, createUser, servers, type TestSchema, type TestUser } from '../support/server.ts';

/** What makes a check complain that prints a statement, by its id. What fails under a daemon is in readiness-blockers.test.ts. */
const triggers = {
  both: {
    'binlog-format': "SET GLOBAL binlog_format = 'STATEMENT'",
    'row-image': "SET GLOBAL binlog_row_image = 'MINIMAL'",
    'row-metadata': "SET GLOBAL binlog_row_metadata = 'MINIMAL'",
    'sync-binlog': 'SET GLOBAL sync_binlog = 0',
    retention: 'SET GLOBAL binlog_expire_logs_seconds = 3600',
  },
  mysql: {
    'row-value-options': "SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'",
    gtid: 'SET GLOBAL gtid_mode = ON_PERMISSIVE; SET GLOBAL gtid_mode = OFF_PERMISSIVE; SET GLOBAL gtid_mode = OFF',
  },
  mariadb: {},
};

describe.each(servers)('the statements that check prints on %s', (variant) => {
  const flavour = variant === 'mysql' ? 'mysql' : 'mariadb';
  const cases = Object.entries<string>({ ...triggers.both, ...triggers[flavour] });
  let server: PrivateServer;
  let schema: TestSchema;
  let user: TestUser;

  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant });
    schema = await createSchema(server, 'CREATE TABLE citas (id INT PRIMARY KEY, n INT)');
    // The grants of links are asked for by a warning.
    user = await createUser(server, [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      `SELECT ON \`${schema.name}\`.*`,
    ]);
  });
  afterAll(async () => {
    await schema.drop();
    await server.stop();
  });

  async function checkOf(id: string): Promise<CheckResult> {
    const source = openSource(parseDatabaseUrl(schema.url(user)));
    try {
      const { checks } = await runPreflight({ source, watch: new Map([['citas', new Set(['n'])]]) });
      return checks.find((check) => check.id === id)!;
    } finally {
      await source.close();
    }
  }

  async function follow({ remedy }: CheckResult): Promise<void> {
    const lines = remedy!.split('\n').filter((line) => !line.startsWith('-- '));
    for (const line of lines) await schema.query(line.replace(/ -- .*$/, ''));
  }

  it.each(cases)('end the complaint of %s, run literally', async (id, statements) => {
    expect(await checkOf(id)).toMatchObject({ level: 'pass' });
    for (const statement of statements.split('; ')) await schema.query(statement);
    const complaint = await checkOf(id);
    expect(['warn', 'fail']).toContain(complaint.level);
    await follow(complaint);
    expect(await checkOf(id)).toMatchObject({ level: 'pass' });
  });

  it('end the complaint of grant-links, run literally', async () => {
    const complaint = await checkOf('grant-links');
    expect(complaint.level).toBe('warn');
    await follow(complaint);
    expect(await checkOf('grant-links')).toMatchObject({ level: 'pass' });
  });

  it('raise max_user_connections while the server runs, except on MariaDB that was started with 0', async () => {
    const change = schema.query('SET GLOBAL max_user_connections = 30');
    if (flavour === 'mysql') await change;
    else await expect(change).rejects.toMatchObject({ errno: 1290 });
  });
});
