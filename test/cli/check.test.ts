import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PreflightReport } from '../../src/binlog/preflight/preflight.ts';
import { loadClinic } from '../../src/cli/demo/clinic.ts';
import { migrateStore } from '../../src/db/migrate.ts';
import { parseDatabaseUrl } from '../../src/lib/database-url.ts';
import { runCli, startDaemonProcess, writeConfig, type CliResult } from '../support/daemon.ts';
import {
  createSchema,
  createUser,
  flavours,
  sharedServer,
  type TestSchema,
  type TestUser,
} from '../support/server.ts';

type User = TestUser & { drop(): Promise<void> };

describe.each(flavours)('check, on %s', (flavour) => {
  const server = sharedServer(flavour);
  let clinic: TestSchema;
  let store: string;
  let user: User;

  const storeUrl = (account: TestUser): string => {
    const url = new URL(clinic.url(account));
    url.pathname = `/${store}`;
    return url.href;
  };

  async function check(account: TestUser, ...args: string[]): Promise<CliResult> {
    const config = await writeConfig('source: { url: "${env:SOURCE}" }\nstore: { url: "${env:STORE}" }\n');
    const env = { SOURCE: clinic.url(account), STORE: storeUrl(account) };
    const result = await runCli(['check', '--config', config.file, ...args], env);
    await config.remove();
    return result;
  }

  beforeAll(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    store = `store_${randomBytes(5).toString('hex')}`;
    user = await createUser(server, [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      `SELECT ON \`${clinic.name}\`.*`,
      `ALL ON \`${store}\`.*`,
    ]);
  });

  afterAll(async () => {
    await user.drop();
    await clinic.query(`DROP DATABASE IF EXISTS \`${store}\``);
    await clinic.drop();
  });

  it('exits 0 when capture may begin, before a first run and without one', async () => {
    const { code, stdout, stderr } = await check(user);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toContain('ready to be read (0 fail,');
    expect(stdout).toMatch(/^pass +Our own schema +It can be written\./m);
    expect(await clinic.query('SHOW DATABASES LIKE ?', [store])).toEqual([]);
  });

  it('prints JSON that has every line', async () => {
    const { code, stdout } = await check(user, '--json');
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as PreflightReport;
    expect(report.ok).toBe(true);
    expect(report.checks.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['connection', 'row-metadata', 'store']),
    );
    expect(
      report.checks.every(({ level, remedy }) => level === 'pass' || level === 'skip' || remedy !== null),
    ).toBe(true);
  });

  it('exits 1 with the statements that mend it, for the store as for the source', async () => {
    const weak = await createUser(server, [`SELECT ON \`${clinic.name}\`.*`]);
    const { code, stdout } = await check(weak);
    expect(code).toBe(1);
    const grants = stdout.split('\n').filter((line) => line.startsWith('GRANT '));
    // Three that are needed, and those with which more statements can be proved harmless.
    expect(grants).toHaveLength(flavour === 'mysql' ? 4 : 5);
    for (const grant of grants) await clinic.query(grant);
    expect((await check(weak)).code).toBe(0);
    await migrateStore(parseDatabaseUrl(storeUrl(user)));
    await clinic.query(`REVOKE INSERT, DELETE ON \`${store}\`.* FROM '${weak.user}'@'%'`);
    const migrated = await check(weak);
    expect(migrated.code).toBe(1);
    expect(migrated.stdout).toContain(`GRANT ALL ON \`${store}\`.* TO '${weak.user}'@'%';`);
    await weak.drop();
  });

  it('warns of tables that the rules name and that are not seen', async () => {
    const ofOneTable = await createUser(server, [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      `SELECT ON \`${clinic.name}\`.patients`,
      `ALL ON \`${store}\`.*`,
    ]);
    const tablesOf = async (account: TestUser) =>
      (JSON.parse((await check(account, '--json')).stdout) as PreflightReport).checks.find(
        ({ id }) => id === 'tables',
      )!;
    const { level, detail, remedy } = await tablesOf(ofOneTable);
    expect(level).toBe('warn');
    expect(detail).toMatch(/no table .*appointments.*payments/);
    expect(detail).not.toContain('patients');
    expect(remedy).toContain(`GRANT SELECT ON \`${clinic.name}\`.* TO '${ofOneTable.user}'@'%';`);
    expect(await tablesOf(user)).toMatchObject({ level: 'pass' });
    await ofOneTable.drop();
  });

  it('says that the server cannot be reached, and exits 1', async () => {
    const { code, stdout, stderr } = await check({ user: user.user, password: 'wrong' });
    expect(code).toBe(1);
    expect(stdout).toContain('not ready to be read');
    expect(stdout).toContain('Correct user and password in source.url');
    expect(stdout + stderr).not.toMatch(/^\s+at /m);
  });

  it('does not take the running daemon for a rival', async () => {
    const daemon = await startDaemonProcess({ sourceUrl: clinic.url(user), storeUrl: storeUrl(user) });
    await daemon.untilReady();
    const report = JSON.parse((await check(user, '--json')).stdout) as PreflightReport;
    expect(await daemon.stop()).toBe(0);
    expect(report.checks.find(({ id }) => id === 'server-id')).toMatchObject({ level: 'pass' });
    expect(report.checks.find(({ id }) => id === 'lineage')).toMatchObject({ level: 'pass' });
  });
});
