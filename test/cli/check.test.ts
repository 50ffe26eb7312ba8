import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PreflightReport } from '../../src/binlog/preflight/preflight.ts';
import { loadClinic } from '../../src/demo/clinic.ts';
import { migrateStore } from '../../src/db/schema/migrate.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
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

  it('exits 1 with the statements that fix it, for the store as for the source', async () => {
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

  it('refuses what run refuses, in the same words', async () => {
    const hooks = [
      '- { name: a, url: "https://93.184.215.14/a", events: [payment.recieved], secret: "${env:SECRET}" }',
      '- { name: b, url: "https://10.0.0.5:81/b", events: [payment.received], secret: "${env:SECRET}" }',
      '- { name: c, url: "https://93.184.215.14/c", events: [payment.received], secret: "${env:SECRET}", filter: { amuont: 1 }, fields: [totl] }',
      '- { name: d, url: "https://93.184.215.14/d", events: [payment.received], secret: "${env:SECRET}", headers: { Host: x } }',
    ];
    const config = await writeConfig(
      `source: { url: "\${env:SOURCE}" }\nstore: { url: "\${env:STORE}" }\nhttp: { listen: "127.0.0.1:0" }\nwebhooks:\n${hooks.join('\n')}\n`,
    );
    const env = { SOURCE: clinic.url(user), STORE: storeUrl(user), SECRET: `whsec_${'5'.repeat(64)}` };
    const checked = await runCli(['check', '--json', '--config', config.file], env);
    const ran = await runCli(['run', '--config', config.file], env);
    expect(checked.stderr).toBe('');
    const { ok, checks } = JSON.parse(checked.stdout) as PreflightReport;
    const { level, detail } = checks.find(({ id }) => id === 'webhooks')!;
    expect([ok, level, checked.code, ran.code]).toEqual([false, 'fail', 2, 2]);
    expect(detail.match(/yaml:\d+/g)).toEqual(['yaml:5', 'yaml:6', 'yaml:7', 'yaml:7', 'yaml:8']);
    expect(new Set(detail.match(/webhooks\[\d\]/g)).size).toBe(4);
    expect(ran.stderr).toContain(`ERR_CONFIG: ${detail}\n`);
    await config.remove();
  });

  it('warns of fields that would always be null, and of rows of webhooks that do not fit', async () => {
    const rules = `missing: warn
events: { payment.received: { table: payments, on: insert, data: { payment_id: id, amount: total, before: old.notes } } }
`;
    const config = await writeConfig(
      'source: { url: "${env:SOURCE}" }\nstore: { url: "${env:STORE}" }\nrules: rules.yaml\n',
    );
    await writeFile(join(config.folder, 'rules.yaml'), rules);
    const env = { SOURCE: clinic.url(user), STORE: storeUrl(user) };
    await runCli(['migrate', '--config', config.file], env);
    await clinic.query(
      `INSERT INTO \`${store}\`.webhooks (name, url, events, secret) VALUES ('Caja', 'https://10.0.0.5/', '["payment.recieved"]', ?)`,
      [`whsec_${'5'.repeat(64)}`],
    );
    const { code, stdout } = await runCli(['check', '--json', '--config', config.file], env);
    await clinic.query(`DELETE FROM \`${store}\`.webhooks`);
    const { checks } = JSON.parse(stdout) as PreflightReport;
    const detailOf = (wanted: string) =>
      checks.find(({ id, level }) => id === wanted && level === 'warn')?.detail;
    expect(code).toBe(0);
    expect(detailOf('payload-fields')).toMatch(
      /data\.amount: table "payments" has no column "total".*\n.*data\.before: it is always null: a new row has no old value/,
    );
    expect(detailOf('store-webhooks')).toMatch(
      /^Caja: .*10\.0\.0\.5.*\nCaja: there is no event "payment\.recieved", did you mean/,
    );
    await config.remove();
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
    expect(report.checks.find(({ id }) => id === 'sealed-log')).toMatchObject({ level: 'warn' });
  });
});
