import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CheckResult, PreflightReport } from '../../src/binlog/preflight/preflight.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { runCli, startDaemonProcess, writeConfig, type CliResult } from '../support/daemon.ts';
import { createSchema, createUser, servers, type TestSchema, type TestUser } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** Engines of which the log keeps what was rolled back, or that keep no rows. */
const engines = {
  mysql: ['MyISAM', 'MEMORY', 'BLACKHOLE', 'ARCHIVE', 'CSV'],
  mariadb: ['MyISAM', 'Aria', 'MEMORY', 'CSV', 'MyISAM PARTITION BY HASH (id) PARTITIONS 2'],
} as const;

/** What may fail after a first run, by the id of the check; `undo` where the remedy is not one that SQL can follow. */
const blockers = (flavour: 'mysql' | 'mariadb', schema: string, user: string): Record<string, string[]> => ({
  'row-metadata': ['SET GLOBAL binlog_row_metadata = MINIMAL'],
  ...(flavour === 'mysql'
    ? { 'row-value-options': ["SET GLOBAL binlog_row_value_options = 'PARTIAL_JSON'"] }
    : {}),
  'binlog-format': ["SET GLOBAL binlog_format = 'MIXED'"],
  engines: engines[flavour].map(
    (engine, index) =>
      // These have no such keys.
      `ALTER TABLE e${index} ${['CSV', 'ARCHIVE'].includes(engine) ? 'DROP PRIMARY KEY, ' : ''}ENGINE = ${engine}`,
  ),
  'primary-keys': ['ALTER TABLE keyless DROP PRIMARY KEY'],
  'grant-select': [`REVOKE SELECT ON \`${schema}\`.hidden FROM '${user}'@'%'`],
  'grant-replication-client': [
    `REVOKE ${flavour === 'mysql' ? 'REPLICATION CLIENT' : 'BINLOG MONITOR'} ON *.* FROM '${user}'@'%'`,
  ],
});

describe.each(servers)('what keeps the daemon from being ready, on %s', { timeout: 120_000 }, (variant) => {
  const flavour = variant === 'mysql' ? 'mysql' : 'mariadb';
  let server: PrivateServer;
  let schema: TestSchema;
  let user: TestUser;
  const tables = [...engines[flavour].map((_, index) => `e${index}`), 'keyless', 'hidden'];

  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant });
    schema = await createSchema(
      server,
      tables.map((table) => `CREATE TABLE ${table} (id INT NOT NULL PRIMARY KEY, n INT NOT NULL)`).join('; '),
    );
    user = await createUser(server, [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      ...tables.map((table) => `SELECT ON \`${schema.name}\`.${table}`),
      `ALL ON \`${schema.name}_store\`.*`,
    ]);
  });
  afterAll(async () => {
    await schema.drop();
    await server.stop();
  });

  it('is named by /readyz, status and resume in the words of check, and ends by the remedies', async () => {
    const storeUrl = new URL(schema.url(user));
    storeUrl.pathname = `/${schema.name}_store`;
    const urls = { sourceUrl: schema.url(user), storeUrl: storeUrl.href };
    const rules = `rules: ${(await writeRules()).file}`;
    const start = () => startDaemonProcess({ ...urls, yaml: rules });
    const first = await start();
    await first.untilReady();
    await first.stop();

    const blocked = blockers(flavour, schema.name, user.user);
    for (const statement of Object.values(blocked).flat()) await schema.query(statement);
    const daemon = await start();
    const failing = await failingChecks(daemon.configFile, urls);
    expect(failing.map(({ id }) => id)).toEqual(expect.arrayContaining(Object.keys(blocked)));
    const readyz = await waitFor(
      async () => {
        const { status, body } = await daemon.get('/readyz');
        return status === 503 && body.includes('row-metadata')
          ? (JSON.parse(body) as { reasons: string[] })
          : undefined;
      },
      { timeoutMs: 30_000, what: 'readiness to be checked' },
    );
    const status = await cli(['status'], daemon.configFile, urls);
    const resume = await cli(['resume', '--accept-gap', '--reason', 'x', '--yes'], daemon.configFile, urls);
    expect([status.code, resume.code]).toEqual([0, 1]);
    const { failing_checks: shown } = JSON.parse((await daemon.get('/api/status')).body) as {
      failing_checks: CheckResult[];
    };
    expect(shown).toEqual(failing);
    for (const id of Object.keys(blocked)) {
      const { title, detail, remedy } = failing.find((each) => each.id === id)!;
      const reason = readyz.reasons.find((each) => each.startsWith(`the check ${id} fails`));
      expect(reason).toContain(`${title}: ${detail.replace(/\.$/, '')}`);
      for (const text of [`${title}: ${detail}`, remedy!]) {
        expect(status.stdout).toContain(text);
        expect(resume.stderr).toContain(text);
      }
      expect(reason).toContain(remedy);
    }
    await daemon.stop();

    for (const { remedy } of failing.filter(({ id }) => id in blocked))
      for (const line of remedy!.split('\n')) await schema.query(line.replace(/ -- .*$/, ''));
    const repaired = await start();
    await repaired.untilReady();
    expect(await repaired.stop()).toBe(0);
  });

  it('ends run where the log format refuses every row of the store, with the remedy', async () => {
    const storeUrl = new URL(schema.url(user));
    storeUrl.pathname = `/${schema.name}_store`;
    const urls = { sourceUrl: schema.url(user), storeUrl: storeUrl.href };
    await schema.query("SET GLOBAL binlog_format = 'STATEMENT'");
    const { file, remove } = await writeConfig(
      'http: { listen: "127.0.0.1:0" }\nstore: { url: "${env:STORE_DATABASE_URL}" }',
    );
    const { code, stderr } = await cli(['run'], file, urls);
    expect(code).toBe(1);
    expect(stderr).toContain('binlog_format');
    const statement = /SET (GLOBAL|PERSIST) binlog_format = '?ROW'?/.exec(stderr)![0];
    await schema.query(statement);
    const failing = await failingChecks(file, urls);
    await remove();
    expect(failing.map(({ id }) => id)).not.toContain('binlog-format');
  });

  const writeRules = () =>
    writeConfig(
      `missing: warn\nevents:\n${tables.map((table) => `  ${table}.made: { table: ${table}, on: insert, data: { n: n } }`).join('\n')}\n`,
    );

  async function cli(
    args: string[],
    file: string,
    urls: { sourceUrl: string; storeUrl: string },
  ): Promise<CliResult> {
    return runCli([...args, '--config', file], {
      SOURCE_DATABASE_URL: urls.sourceUrl,
      STORE_DATABASE_URL: urls.storeUrl,
      COLUMNS: '4000',
    });
  }

  async function failingChecks(
    file: string,
    urls: { sourceUrl: string; storeUrl: string },
  ): Promise<readonly CheckResult[]> {
    const { stdout } = await cli(['check', '--json'], file, urls);
    return (JSON.parse(stdout) as PreflightReport).checks.filter(({ level }) => level === 'fail');
  }
});
