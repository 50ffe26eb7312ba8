import { createConnection } from 'mysql2/promise';
import { describe, expect, it, onTestFinished } from 'vitest';
import { recogniseProvider, toManagedRemedy, type Provider } from '../../src/binlog/preflight/managed.ts';
import type { Facts } from '../../src/binlog/preflight/check.ts';
import { retention } from '../../src/binlog/preflight/retention.ts';
import { runPreflight } from '../../src/binlog/preflight/preflight.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { setVariable } from '../../src/db/connection/set-variable.ts';
import { startPrivateServer } from '../../src/demo/private-server.ts';

interface Seen {
  version?: string;
  host?: string;
  variables?: Record<string, string>;
}

/** As the providers' servers show themselves. */
const servers: [string, Seen, Provider | null][] = [
  [
    "RDS for MySQL behind a name of one's own",
    {
      version: '8.0.40',
      host: 'db.clinic.example',
      variables: { basedir: '/rdsdbbin/mysql-8.0.40.R2/', datadir: '/rdsdbdata/db/' },
    },
    'rds',
  ],
  [
    'RDS for MariaDB',
    { version: '10.11.8-MariaDB-log', variables: { basedir: '/rdsdbbin/mariadb-10.11.8.R1/' } },
    'rds',
  ],
  [
    'Aurora, which lies under the same folder',
    {
      version: '8.0.39',
      variables: { aurora_version: '3.08.0', basedir: '/rdsdbbin/oscar-8.0.mysql_aurora.3.08.0.0/' },
    },
    'aurora',
  ],
  ['Cloud SQL by its version', { version: '8.0.37-google' }, 'cloud-sql'],
  [
    'Cloud SQL by its comment',
    { version: '5.7.44', variables: { version_comment: '(Google)' } },
    'cloud-sql',
  ],
  [
    'Cloud SQL by a flag',
    { version: '8.4.0', variables: { cloudsql_iam_authentication: 'OFF' } },
    'cloud-sql',
  ],
  ['Azure by its version', { version: '8.0.42-azure' }, 'azure'],
  ['Azure by a variable', { version: '8.0.32', variables: { aad_auth_only: 'OFF' } }, 'azure'],
  ['Azure by its domain', { version: '8.0.32', host: 'Clinic.MySQL.Database.Azure.com' }, 'azure'],
  [
    'DigitalOcean',
    { version: '8.0.35', host: 'db-mysql-nyc3-1-do-user-1-0.b.db.ondigitalocean.com' },
    'digitalocean',
  ],
  ['PlanetScale', { version: '8.0.34-Vitess' }, 'planetscale'],
  [
    "a server of one's own",
    { version: '9.7.4', variables: { basedir: '/usr/', version_comment: 'MySQL Community Server - GPL' } },
    null,
  ],
  ['a name that only ends alike', { version: '9.7.4', host: 'notrds.amazonaws.com.example' }, null],
  [
    'MariaDB of Debian',
    { version: '10.11.18-MariaDB-0+deb12u1', variables: { version_comment: 'Debian 12' } },
    null,
  ],
];

describe('a managed database', () => {
  it.each(servers)(
    'is recognised: %s',
    (_name, { version = '', host = 'db.example', variables = {} }, provider) => {
      expect(recogniseProvider({ version, host, variables: new Map(Object.entries(variables)) })).toBe(
        provider,
      );
    },
  );

  const rowFormat = setVariable('binlog_format', "'ROW'", 'mysql');
  const week = setVariable('binlog_expire_logs_seconds', '604800', 'mysql');
  it.each([
    ['rds', rowFormat, /modify-db-parameter-group .*ParameterName=binlog_format,ParameterValue=ROW/],
    [
      'aurora',
      rowFormat,
      /modify-db-cluster-parameter-group .*ParameterName=binlog_format,ParameterValue=ROW/,
    ],
    ['azure', rowFormat, /^az mysql flexible-server parameter set .* --name binlog_format --value ROW$/],
    ['cloud-sql', rowFormat, /--database-flags=binlog_format=ROW$/],
    ['digitalocean', rowFormat, /--config-json '\{"binlog_format":"ROW"\}'$/],
    ['planetscale', rowFormat, /no access to its binary log/],
    ['rds', week, /^CALL mysql\.rds_set_configuration\('binlog retention hours', 168\);$/],
    ['aurora', week, /^CALL mysql\.rds_set_configuration\('binlog retention hours', 168\);$/],
    ['azure', week, /--name binlog_expire_logs_seconds --value 604800$/],
    ['cloud-sql', week, /--retained-transaction-log-days=7$/],
    ['digitalocean', week, /binlog_retention_period/],
    ['rds', setVariable('sync_binlog', '1', 'mariadb'), /ParameterName=sync_binlog,ParameterValue=1/],
    [
      'rds',
      'SET PERSIST gtid_mode = OFF_PERMISSIVE;\n-- later:\nSET PERSIST gtid_mode = ON;',
      /ParameterName=gtid-mode,ParameterValue=ON,/,
    ],
    [
      'azure',
      'Add the line log_slave_updates = ON under [mysqld] in my.cnf and restart the server.',
      /--name log_slave_updates --value ON/,
    ],
    [
      'rds',
      'Under [mysqld] in my.cnf, then restart the server:\nlog_bin = binlog\nserver_id = 1',
      /--backup-retention-period 7/,
    ],
    ['cloud-sql', 'Under [mysqld] in my.cnf, then restart the server:\nlog_bin = binlog', /--enable-bin-log/],
  ] as [Provider, string, RegExp][])('of %s has a way of its own for %s', (provider, remedy, way) => {
    const managed = toManagedRemedy(remedy, provider);
    expect(managed).toMatch(way);
    expect(managed).not.toMatch(/SET (PERSIST|GLOBAL)|my\.cnf|SUPER/);
  });

  it('keeps what a provider does not refuse', () => {
    const grant = 'GRANT REPLICATION SLAVE ON *.* TO `hooks`@`%`;';
    expect(toManagedRemedy(grant, 'rds')).toBe(grant);
  });
});

describe('check of a server that refuses what it would print', () => {
  it('recognises it by its version and prints no statement that it refuses', async () => {
    const server = await startPrivateServer({
      // Of the two, MariaDB lets its version be set.
      flavour: 'mariadb',
      settings: [
        '--version=10.11.18-MariaDB-google-log',
        '--binlog-row-metadata=MINIMAL',
        '--sync-binlog=0',
        '--binlog-expire-logs-seconds=3600',
      ],
    });
    onTestFinished(() => server.stop());
    const root = await createConnection({ uri: server.url, multipleStatements: true });
    onTestFinished(() => root.end());
    await root.query(
      "CREATE DATABASE clinic; CREATE TABLE clinic.patients (id INT PRIMARY KEY, name VARCHAR(40)); CREATE USER hooks IDENTIFIED BY 'x'; GRANT SELECT ON clinic.* TO hooks; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO hooks",
    );
    const url = server.url.replace(/\/\/[^@]*@/, '//hooks:x@');
    const source = openSource(parseDatabaseUrl(`${url.replace(/\/$/, '')}/clinic`));
    onTestFinished(() => source.close());
    await expect(source.query('SET GLOBAL sync_binlog = 1')).rejects.toMatchObject({
      code: expect.stringMatching(/ACCESS_DENIED/),
    });
    const report = await runPreflight({ source, watch: new Map([['patients', new Set(['name'])]]) });
    const remedies = report.checks.flatMap(({ id, remedy }) =>
      remedy === null ? [] : [[id, remedy] as const],
    );
    expect(report.checks.find(({ id }) => id === 'managed-database')).toMatchObject({
      level: 'pass',
      detail: expect.stringContaining('Google Cloud SQL'),
    });
    expect(Object.fromEntries(remedies)).toMatchObject({
      'row-metadata': expect.stringContaining('--database-flags=binlog_row_metadata=FULL'),
      'sync-binlog': expect.stringContaining('--database-flags=sync_binlog=1'),
      retention: expect.stringContaining('--retained-transaction-log-days=7'),
    });
    expect(remedies.map(([, remedy]) => remedy).join('\n')).not.toMatch(/SET (PERSIST|GLOBAL)|my\.cnf|SUPER/);

    // As Amazon's servers have it; whatever the variables say, this is in force.
    await root.query(
      "CREATE TABLE mysql.rds_configuration (name VARCHAR(100), value VARCHAR(100), description VARCHAR(300)); INSERT INTO mysql.rds_configuration VALUES ('binlog retention hours', NULL, ''); GRANT SELECT ON mysql.rds_configuration TO hooks",
    );
    const kept = async (): Promise<unknown> =>
      (await runPreflight({ source, watch: new Map() })).checks.find(({ id }) => id === 'retention');
    const call = "CALL mysql.rds_set_configuration('binlog retention hours', 168);";
    expect(await kept()).toMatchObject({
      level: 'warn',
      detail: expect.stringContaining('`binlog retention hours` is NULL'),
      remedy: call,
    });
    await root.query("UPDATE mysql.rds_configuration SET value = '24'");
    expect(await kept()).toMatchObject({
      level: 'warn',
      detail: expect.stringContaining('The log is kept for 1d (`binlog retention hours`)'),
      remedy: call,
    });
    await root.query("UPDATE mysql.rds_configuration SET value = '168'");
    expect(await kept()).toMatchObject({
      level: 'pass',
      detail: 'The log is kept for 7d (`binlog retention hours`).',
      remedy: null,
    });
  });

  it.each([
    ['aurora_version', '3.08.0'],
    ['basedir', '/rdsdbbin/mysql-8.0.40.R2/'],
  ])('names the right that is missing to read how RDS keeps the log (%s)', async (name, value) => {
    const facts = (variables: [string, string][]) =>
      ({
        rdsRetention: 'denied',
        variables: new Map([['binlog_expire_logs_seconds', '2592000'], ...variables]),
        identity: { flavour: 'mysql', account: '`hooks`@`%`', version: { text: '8.0.40' } },
        source: { url: { host: 'db.example' } },
      }) as unknown as Facts;
    expect(await retention.run(facts([[name, value]]))).toMatchObject({
      level: 'warn',
      remedy: expect.stringContaining('GRANT SELECT ON mysql.rds_configuration TO `hooks`@`%`;'),
    });
    expect(await retention.run(facts([]))).toMatchObject({ level: 'pass' });
  });
});
