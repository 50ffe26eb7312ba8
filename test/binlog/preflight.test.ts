import { createConnection, type Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { currentPosition } from '../../src/binlog/source/log-file.ts';
import {
  runPreflight,
  type CheckResult,
  type PreflightReport,
} from '../../src/binlog/preflight/preflight.ts';
import type { PreflightOptions } from '../../src/binlog/preflight/check.ts';
import { openSource } from '../../src/binlog/source/source.ts';
import type { Watch } from '../../src/binlog/types.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { AppError } from '../../src/lib/errors.ts';
import { byName, openReader, takeRows } from '../support/read-log.ts';
import {
  createSchema,
  createUser,
  servers,
  sharedServer,
  type TestSchema,
  type TestUser,
} from '../support/server.ts';

type Wanted = Record<string, string[]>;

const watchOf = (tables: Wanted): Watch =>
  new Map(Object.entries(tables).map(([table, columns]) => [table, new Set(columns)]));

async function preflight(
  url: string,
  watch: Wanted,
  options: Partial<PreflightOptions> = {},
): Promise<PreflightReport> {
  const source = openSource(parseDatabaseUrl(url));
  try {
    return await runPreflight({ source, watch: watchOf(watch), ...options });
  } finally {
    await source.close();
  }
}

function checkOf(report: PreflightReport, id: string): CheckResult {
  const found = report.checks.find((check) => check.id === id);
  if (!found) throw new Error(`no check ${id} in ${report.checks.map((check) => check.id).join(', ')}`);
  return found;
}

const levelsOf = (report: PreflightReport): Record<string, string> =>
  Object.fromEntries(report.checks.map(({ id, level }) => [id, level]));

const idsAt = (report: PreflightReport, level: string): string[] =>
  report.checks.filter((check) => check.level === level).map(({ id }) => id);

const tables = `CREATE TABLE patients (id INT PRIMARY KEY, name VARCHAR(40));
  CREATE TABLE appointments (id INT PRIMARY KEY, patient_id INT, status ENUM('scheduled','confirmed'), notes TEXT)`;
const watch = { patients: ['name'], appointments: ['patient_id', 'status'] };

describe.each(servers)('the preflight on a well-kept %s', (variant) => {
  const server = sharedServer(variant);
  const { flavour } = server;
  let schema: TestSchema;

  beforeAll(async () => {
    schema = await createSchema(server, tables);
  });

  afterAll(() => schema.drop());

  const replication = 'REPLICATION SLAVE, REPLICATION CLIENT ON *.*';
  const reading = (): string[] => Object.keys(watch).map((table) => `SELECT ON \`${schema.name}\`.${table}`);

  it('passes everything for a user with exactly the least grants, who can then read the log and look rows up', async () => {
    const user = await createUser(server, [replication, ...reading()]);
    const report = await preflight(schema.url(user), watch, { serverId: 3_999_999_999 });
    // What is optional, since every session logs rows.
    expect(idsAt(report, 'warn')).toEqual(['grant-links']);
    expect(idsAt(report, 'pass')).toEqual(
      report.checks.flatMap(({ id }) => (id === 'grant-links' ? [] : [id])),
    );
    expect(report.ok).toBe(true);
    for (const grant of checkOf(report, 'grant-links').remedy!.split('\n')) await schema.query(grant);
    expect(checkOf(await preflight(schema.url(user), watch), 'grant-links').level).toBe('pass');
    const reader = await openReader({ flavour, schema, watch, url: schema.url(user) });
    await schema.query("INSERT INTO patients VALUES (1, 'Ana')");
    const [row] = await takeRows(reader, 1);
    expect(byName(row!, 'after')).toMatchObject({ name: 'Ana' });
    reader.close();
    await user.drop();
  });

  it('passes privileges that come by a role', async () => {
    const user = await createUser(server);
    const role = `r_${user.user.slice(2)}`;
    const grants = [replication, ...reading()];
    for (const statement of [
      `CREATE ROLE ${role}`,
      ...grants.map((grant) => `GRANT ${grant} TO ${role}`),
      `GRANT ${role} TO '${user.user}'@'%'`,
      flavour === 'mysql'
        ? `SET DEFAULT ROLE ${role} TO '${user.user}'@'%'`
        : `SET DEFAULT ROLE ${role} FOR '${user.user}'@'%'`,
    ]) {
      await schema.query(statement);
    }
    const report = await preflight(schema.url(user), watch);
    expect(idsAt(report, 'fail')).toEqual([]);
    await schema.query(`DROP ROLE ${role}`);
    await user.drop();
  });

  it.each([
    {
      lacks: 'REPLICATION SLAVE',
      id: 'grant-replication-slave',
      grants: () => ['REPLICATION CLIENT ON *.*', ...reading()],
    },
    {
      lacks: 'REPLICATION CLIENT',
      id: 'grant-replication-client',
      grants: () => ['REPLICATION SLAVE ON *.*', ...reading()],
    },
    {
      lacks: 'SELECT on a table',
      id: 'grant-select',
      grants: () => [replication, `SELECT ON \`${schema.name}\`.patients`],
    },
    {
      lacks: 'SELECT on a column',
      id: 'grant-select',
      grants: () => [
        replication,
        `SELECT ON \`${schema.name}\`.patients`,
        `SELECT (id, patient_id) ON \`${schema.name}\`.appointments`,
      ],
    },
  ])(
    'prints the GRANT that a user without $lacks needs: pasted, it fixes the check',
    async ({ id, grants }) => {
      const user = await createUser(server, grants());
      const report = await preflight(schema.url(user), watch);
      expect(idsAt(report, 'fail')).toEqual([id]);
      const { remedy } = checkOf(report, id);
      expect(remedy).toContain(`TO '${user.user}'@'%';`);
      await schema.query(remedy!);
      expect(idsAt(await preflight(schema.url(user), watch), 'fail')).toEqual([]);
      await user.drop();
    },
  );

  it('does not guess what a user without privileges may not see: skip or fail, never pass', async () => {
    const user = await createUser(server, [`SELECT (id) ON \`${schema.name}\`.patients`]);
    const report = await preflight(schema.url(user), { appointments: ['status'] });
    expect(levelsOf(report)).toMatchObject({
      'grant-replication-slave': 'fail',
      'grant-replication-client': 'fail',
      'grant-select': 'fail',
      'schema-logged': 'skip',
      'primary-keys': 'skip',
      engines: 'skip',
      labels: 'skip',
      cascades: 'skip',
    });
    await user.drop();
  });

  it('names what the schema lacks, without stopping for it', async () => {
    const report = await preflight(schema.url(), {
      ...watch,
      budgets: ['total'],
      patients: ['name', 'cedula'],
    });
    expect(report.ok).toBe(true);
    const { level, detail } = checkOf(report, 'tables');
    expect(level).toBe('warn');
    expect(detail).toContain('no table budgets');
    expect(detail).toContain('patients.cedula');
  });

  it('asks for SELECT on tables that are only looked up, and for nothing else of them', async () => {
    await schema.query('CREATE TABLE keyless (a INT) ENGINE=MyISAM');
    const user = await createUser(server, [replication, ...reading()]);
    const lookups = watchOf({ keyless: ['a'] });
    const report = await preflight(schema.url(user), watch, { lookups });
    expect(idsAt(report, 'fail')).toEqual(['grant-select']);
    await schema.query(checkOf(report, 'grant-select').remedy!);
    expect((await preflight(schema.url(user), watch, { lookups })).ok).toBe(true);
    await user.drop();
  });

  it('finds tables that cannot be read from the log: pasted, the remedies fix them', async () => {
    const other = await createSchema(
      server,
      "CREATE TABLE nokey (a INT); CREATE TABLE isam (id INT PRIMARY KEY) ENGINE=MyISAM; CREATE TABLE odd (id INT PRIMARY KEY, e ENUM('a,b'), s SET('it''s'))",
    );
    const wanted = { nokey: ['a'], isam: ['id'], odd: ['e'] };
    const report = await preflight(other.url(), wanted);
    // In this order the remedies work: a CSV table takes a key only as InnoDB.
    expect(idsAt(report, 'fail')).toEqual(['engines', 'primary-keys']);
    expect(checkOf(report, 'primary-keys').detail).toMatch(/^nokey has none/);
    expect(checkOf(report, 'engines').detail).toContain('isam (MyISAM)');
    expect(checkOf(report, 'labels')).toMatchObject({ level: 'warn' });
    expect(checkOf(report, 'labels').detail).toContain('odd.e, odd.s');
    for (const id of idsAt(report, 'fail')) await other.query(checkOf(report, id).remedy!);
    expect((await preflight(other.url(), wanted)).ok).toBe(true);
    await other.query('CREATE VIEW seen AS SELECT a FROM nokey');
    expect(checkOf(await preflight(other.url(), { seen: ['a'] }), 'engines')).toMatchObject({
      level: 'fail',
    });
    await other.drop();
  });

  it('names the cascades that this server does not log', async () => {
    const other = await createSchema(
      server,
      `CREATE TABLE parent (id INT PRIMARY KEY);
      CREATE TABLE child (id INT PRIMARY KEY, parent_id INT, FOREIGN KEY (parent_id) REFERENCES parent (id) ON DELETE CASCADE ON UPDATE CASCADE);
      CREATE TABLE pet (id INT PRIMARY KEY, owner INT, FOREIGN KEY (owner) REFERENCES parent (id) ON DELETE SET NULL);
      INSERT INTO parent VALUES (1); INSERT INTO child VALUES (7, 1)`,
    );
    const report = await preflight(other.url(), { child: ['id'], pet: ['id'] });
    const reader = await openReader({ flavour, schema: other, watch: { parent: ['id'], child: ['id'] } });
    await other.query('DELETE FROM parent');
    await other.query('INSERT INTO parent VALUES (2)');
    const logged: string[] = [];
    while (!logged.includes('insert parent')) {
      for (const event of await takeRows(reader, 1)) logged.push(`${event.op} ${event.table.name}`);
    }
    reader.close();
    const { level, detail, remedy } = checkOf(report, 'cascades');
    // What the check says is what the log does.
    expect(level).toBe(logged.includes('delete child') ? 'pass' : 'warn');
    if (level === 'warn') {
      expect(detail).toBe('Not logged: parent → child, pet.');
      expect(remedy).toContain(
        'rows of child are deleted with their parent, child.parent_id changes with the key of parent',
      );
      expect(remedy).toContain('pet.owner becomes NULL when its parent is deleted');
      expect(remedy).toMatch(/^odontology-webhooks check --triggers$/m);
    }
    await other.drop();
  });

  it('reports another reader with our server id', async () => {
    const user: TestUser & { drop(): Promise<void> } = await createUser(server, [replication, ...reading()]);
    const reader = await openReader({ flavour, schema, watch, url: schema.url(user) });
    await schema.query("INSERT INTO patients VALUES (2, 'Bea')");
    await takeRows(reader, 1);
    const [replica] = await schema.query(flavour === 'mysql' ? 'SHOW REPLICAS' : 'SHOW SLAVE HOSTS');
    const serverId = Number(replica!['Server_Id'] ?? replica!['Server_id']);
    const options = { serverId };
    expect(checkOf(await preflight(schema.url(user), watch, options), 'server-id')).toMatchObject({
      level: 'warn',
    });
    expect(
      checkOf(await preflight(schema.url(user), watch, { ...options, readerRuns: true }), 'server-id'),
    ).toMatchObject({
      level: 'pass',
    });
    reader.close();
    const [own] = await schema.query('SELECT @@server_id AS id');
    expect(
      checkOf(await preflight(schema.url(), watch, { serverId: Number(own!['id']) }), 'server-id'),
    ).toMatchObject({ level: 'fail' });
    await user.drop();
  });

  it('proves the checkpoint, and that the store can be written', async () => {
    const source = openSource(parseDatabaseUrl(schema.url()));
    const identity = await source.identify();
    const position = (await currentPosition(source, identity))!;
    await source.close();
    const checkpoint = { position, flavour, serverUuid: identity.serverUuid, committedAtMs: null };
    const healthy = await preflight(schema.url(), watch, {
      checkpoint,
      probeStore: () => Promise.resolve({ packetBytes: 2 ** 26 }),
    });
    expect(levelsOf(healthy)).toMatchObject({ lineage: 'pass', store: 'pass' });
    const broken = await preflight(schema.url(), watch, {
      checkpoint: {
        ...checkpoint,
        position: {
          ...position,
          gtid: flavour === 'mysql' ? `${identity.serverUuid}:1-99999999` : `0-${identity.serverId}-99999999`,
        },
      },
      probeStore: () =>
        Promise.reject(new AppError('ERR_STORE_ACCESS', 'no rights', { remedy: 'GRANT ALL …' })),
    });
    expect(levelsOf(broken)).toMatchObject({ lineage: 'fail', store: 'fail' });
    expect(checkOf(broken, 'lineage').detail).toContain('ahead-of-source');
    expect(checkOf(broken, 'store')).toMatchObject({ detail: 'no rights', remedy: 'GRANT ALL …' });
  });

  it('compares what a row of the source may hold with what the store takes', async () => {
    const large = await createSchema(
      sharedServer(variant),
      'CREATE TABLE notes (id INT PRIMARY KEY, short TEXT, photo LONGBLOB)',
    );
    onTestFinished(() => large.drop());
    const judge = async (column: string, packetBytes: number): Promise<CheckResult> =>
      checkOf(
        await preflight(
          large.url(),
          { notes: [column] },
          {
            probeStore: () => Promise.resolve({ packetBytes }),
          },
        ),
        'store-packet',
      );
    expect(await judge('photo', 2 ** 30)).toMatchObject({ level: 'pass' });
    expect(await judge('short', 2 ** 20)).toMatchObject({ level: 'pass' });
    const warned = await judge('photo', 2 ** 20);
    expect(warned).toMatchObject({ level: 'warn', detail: expect.stringContaining('notes.photo') as string });
    expect(warned.remedy).toMatch(/^SET GLOBAL max_allowed_packet = \d+;/);
    expect(await judge('short', 2 ** 19)).toMatchObject({
      level: 'fail',
      remedy: expect.stringMatching(/^SET GLOBAL max_allowed_packet = 2097152;/) as string,
    });
  });

  it('measures the clock', async () => {
    const clock = { now: () => Date.now() - 90_000 };
    const { level, detail } = checkOf(await preflight(schema.url(), watch, { clock }), 'clock');
    expect(level).toBe('warn');
    expect(detail).toMatch(/(89|90)\.\d s ahead of ours/);
  });

  it('is one failed check when the server cannot be reached', async () => {
    const report = await preflight(schema.url({ user: 'stranger', password: 'x' }), watch);
    expect(report).toMatchObject({ ok: false, checks: [{ id: 'connection', level: 'fail' }] });
    expect(report.checks[0]!.remedy).toContain('source.url');
  });
});

/** The statements among the lines of a remedy. */
const statementsOf = (remedy: string): string[] =>
  remedy.split('\n').filter((line) => /^(SET|GRANT|ALTER) /.test(line));

const neglected = {
  mysql: {
    settings: [
      'binlog-format=MIXED',
      'binlog-row-image=MINIMAL',
      'binlog-row-metadata=MINIMAL',
      'binlog-row-value-options=PARTIAL_JSON',
      'binlog-transaction-compression=ON',
      'gtid-mode=OFF',
      'enforce-gtid-consistency=OFF',
      'sync-binlog=0',
      'binlog-expire-logs-seconds=3600',
      'binlog-ignore-db=clinic',
    ],
    levels: {
      'binlog-format': 'fail',
      'row-image': 'warn',
      'row-metadata': 'fail',
      'row-value-options': 'fail',
      'log-compression': 'pass',
      'schema-logged': 'fail',
      gtid: 'warn',
      'sync-binlog': 'warn',
      retention: 'warn',
    },
    needsRestart: ['schema-logged'],
  },
  mariadb: {
    settings: [
      'binlog-format=MIXED',
      'binlog-row-image=NOBLOB',
      'binlog-row-metadata=NO_LOG',
      'log-bin-compress=ON',
      'sync-binlog=0',
      'expire-logs-days=1',
      'binlog-do-db=another',
    ],
    levels: {
      'binlog-format': 'fail',
      'row-image': 'warn',
      'row-metadata': 'fail',
      'log-compression': 'pass',
      'schema-logged': 'fail',
      gtid: 'pass',
      'sync-binlog': 'warn',
      retention: 'warn',
    },
    needsRestart: ['schema-logged'],
  },
};

describe.each(servers)('the preflight on a neglected %s', (variant) => {
  const { settings, levels, needsRestart } = neglected[sharedServer(variant).flavour];
  let server: PrivateServer;
  let root: Connection;

  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant, settings });
    root = await createConnection({ uri: server.url, multipleStatements: true });
    await root.query(`CREATE DATABASE clinic; USE clinic; ${tables}`);
  });

  afterAll(async () => {
    await root.end();
    await server.stop();
  });

  it('finds every setting, and its statements, pasted, fix what can be fixed while the server runs', async () => {
    const report = await preflight(`${server.url}/clinic`, watch);
    expect(report.ok).toBe(false);
    expect(levelsOf(report)).toMatchObject(levels);
    for (const { remedy, level } of report.checks) {
      if (level === 'pass' || level === 'skip') continue;
      expect(remedy).toBeTruthy();
      for (const statement of statementsOf(remedy!)) await root.query(statement);
    }
    const repaired = await preflight(`${server.url}/clinic`, watch);
    expect([...idsAt(repaired, 'fail'), ...idsAt(repaired, 'warn')]).toEqual(needsRestart);
  });
});

describe.each(servers)('the preflight on a %s without a log', (variant) => {
  let server: PrivateServer;

  beforeAll(async () => {
    server = await startPrivateServer({ flavour: variant, settings: ['skip-log-bin'] });
    const root = await createConnection({ uri: server.url, multipleStatements: true });
    await root.query(`CREATE DATABASE clinic; USE clinic; ${tables}`);
    await root.end();
  });

  afterAll(() => server.stop());

  it('says which lines my.cnf needs', async () => {
    const report = await preflight(`${server.url}/clinic`, watch);
    expect(report.ok).toBe(false);
    expect(checkOf(report, 'log-bin')).toMatchObject({ level: 'fail' });
    expect(checkOf(report, 'log-bin').remedy).toMatch(/^log_bin = /m);
    expect(checkOf(report, 'schema-logged')).toMatchObject({ level: 'skip' });
  });
});

describe('the preflight', () => {
  it('warns of patient data in clear text, and of a certificate that is not verified', async () => {
    // 127.0.0.1 is local; the machine's own name need not be.
    const { url } = sharedServer('mysql');
    const source = openSource(parseDatabaseUrl(`${url}/mysql`));
    const elsewhere = (query: string): Promise<PreflightReport> =>
      runPreflight({
        source: { ...source, url: parseDatabaseUrl(`mysql://root@db.example.com/mysql${query}`) },
        watch: watchOf({}),
      });
    expect(checkOf(await elsewhere(''), 'tls')).toMatchObject({ level: 'warn' });
    expect(checkOf(await elsewhere('?ssl=skip-verify'), 'tls')).toMatchObject({ level: 'warn' });
    expect(checkOf(await elsewhere('?ssl=true'), 'tls')).toMatchObject({ level: 'pass' });
    await source.close();
  });
});
