import { readFileSync } from 'node:fs';
import { createConnection, type Connection, type RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFailed } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startPrivateServer, type PrivateServer } from '../../src/demo/private-server.ts';
import { runCli, startDaemonProcess, type CliResult, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { promote, replicate } from '../support/replica.ts';
import {
  createSchema,
  createUser,
  flavours,
  sharedServer,
  type TestSchema,
  type TestUser,
} from '../support/server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

/** What a fault is made with. */
interface Scene {
  flavour: 'mysql' | 'mariadb';
  /** The server that has the store: the daemon reaches it through the proxy alone. */
  server: PrivateServer;
  proxy: TcpProxy;
  account: TestUser;
  /** An administrator's session there, in the schema of the store. */
  admin: Connection;
  /** Commits a patient at the source. */
  create(notes?: string): Promise<number>;
}

interface Fault {
  /** The first cell of its row in README's table, whose last one has the recovery time. */
  name: string;
  begin(scene: Scene): Promise<unknown>;
  /** What /readyz says, and the log in a warning or an error; absent where it is over by itself. */
  seen?: { error: RegExp; remedy: RegExp };
  /** How a command ends that writes; absent where it waits. */
  cli?: { code: string; remedy: RegExp };
  end(scene: Scene): Promise<unknown>;
}

const readOnly = { mysql: 'super_read_only', mariadb: 'read_only' };
const held: Connection[] = [];

/** Ends every connection of the daemon: new ones meet what is in force now. */
async function endSessions({ admin, account }: Scene): Promise<void> {
  const [rows] = await admin.query<RowDataPacket[]>('SHOW PROCESSLIST');
  for (const { Id: id } of rows.filter((row) => row['User'] === account.user))
    await admin.query(`KILL ${String(id)}`).catch(() => undefined);
}

const faults: readonly Fault[] = [
  {
    name: 'The server is read only',
    begin: ({ admin, flavour }) => admin.query(`SET GLOBAL ${readOnly[flavour]} = ON`),
    seen: { error: /is read only/, remedy: /SET GLOBAL read_only = OFF/ },
    cli: { code: 'ERR_STORE_ACCESS', remedy: /SET GLOBAL read_only = OFF/ },
    end: ({ admin }) => admin.query('SET GLOBAL read_only = OFF'),
  },
  {
    name: 'A backup or an ALTER TABLE holds a lock',
    begin: ({ admin }) => admin.query('FLUSH TABLES WITH READ LOCK'),
    seen: {
      error: /a lock was not granted in time/,
      remedy: /SHOW FULL PROCESSLIST/,
    },
    end: ({ admin }) => admin.query('UNLOCK TABLES'),
  },
  {
    name: 'A transaction holds rows',
    begin: ({ admin }) =>
      admin.query('BEGIN; SELECT * FROM checkpoint FOR UPDATE; SELECT * FROM leases FOR UPDATE'),
    seen: { error: /a lock was not granted in time/, remedy: /SHOW FULL PROCESSLIST/ },
    cli: { code: 'ERR_STORE_LOCKED', remedy: /SHOW FULL PROCESSLIST/ },
    end: ({ admin }) => admin.query('ROLLBACK'),
  },
  {
    name: 'The account has no connection left',
    async begin(scene) {
      const { admin, account, server } = scene;
      await admin.query(`ALTER USER '${account.user}'@'%' WITH MAX_USER_CONNECTIONS 1`);
      await waitFor(async () => {
        await endSessions(scene);
        held.push(
          await createConnection({ uri: server.url, user: account.user, password: account.password }),
        );
        return true;
      });
    },
    seen: { error: /MAX_USER_CONNECTIONS/, remedy: /ALTER USER '.*' WITH MAX_USER_CONNECTIONS 30;/ },
    cli: { code: 'ERR_STORE_UNREACHABLE', remedy: /ALTER USER '.*' WITH MAX_USER_CONNECTIONS 30;/ },
    async end({ admin, account }) {
      held.splice(0).forEach((each) => each.destroy());
      await admin.query(`ALTER USER '${account.user}'@'%' WITH MAX_USER_CONNECTIONS 30`);
    },
  },
  {
    name: 'The server has no connection left',
    async begin(scene) {
      const { admin, server, account } = scene;
      await admin.query('SET GLOBAL max_connections = 10');
      const { user, password } = await createUser(server);
      await waitFor(async () => {
        await endSessions(scene);
        for (let isFull = false; !isFull;) {
          await createConnection({ uri: server.url, user, password }).then(
            (each) => held.push(each),
            () => (isFull = true),
          );
        }
        const [rows] = await admin.query<RowDataPacket[]>('SHOW PROCESSLIST');
        return !rows.some((row) => row['User'] === account.user);
      });
    },
    seen: { error: /max_connections is reached/, remedy: /SET GLOBAL max_connections = 300;/ },
    cli: { code: 'ERR_STORE_UNREACHABLE', remedy: /SET GLOBAL max_connections = 300;/ },
    async end({ admin }) {
      await admin.query('SET GLOBAL max_connections = 300');
      held.splice(0).forEach((each) => each.destroy());
    },
  },
  {
    name: 'An event is larger than max_allowed_packet',
    async begin(scene) {
      await scene.admin.query('SET GLOBAL max_allowed_packet = 1048576');
      await endSessions(scene);
      await scene.create('x'.repeat(1_500_000));
    },
    seen: { error: /max_allowed_packet/, remedy: /SET GLOBAL max_allowed_packet = \d+;/ },
    end: ({ admin }) => admin.query('SET GLOBAL max_allowed_packet = 67108864'),
  },
  {
    name: 'The server is down',
    begin: ({ server }) => server.kill('SIGKILL'),
    seen: { error: /The connection to .* was lost/, remedy: /Check that the database server runs/ },
    cli: { code: 'ERR_STORE_UNREACHABLE', remedy: /Check that the database server runs/ },
    end: ({ server }) => server.restart(),
  },
];

/** README's promises: seconds by fault. */
const recoverySeconds = new Map(
  [
    ...readFileSync(new URL('../../README.md', import.meta.url), 'utf8').matchAll(
      /^\| ([^|]+?) +\|[^|]*\| within (\d+) s[^|]*\|$/gm,
    ),
  ].map(([, name, seconds]) => [name!, Number(seconds)]),
);
const failover = 'Another server takes over, and old connections stay open';

describe('the recovery times that README states', () => {
  it('are those of the faults that are tested', () => {
    expect([...recoverySeconds.keys()].toSorted()).toEqual(
      [...faults.map(({ name }) => name), failover].toSorted(),
    );
  });
});

describe.each(flavours)('a store on %s', { timeout: 240_000 }, (flavour) => {
  let server: PrivateServer;
  let replica: PrivateServer;
  let onReplica: Connection;
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let scene: Scene;
  let storeUrl: string;
  let patients = 0;

  beforeAll(async () => {
    const settings = flavour === 'mariadb' ? ['log-slave-updates=ON', 'gtid-strict-mode=ON'] : [];
    [server, replica] = await Promise.all([
      startPrivateServer({ flavour, settings }),
      startPrivateServer({ flavour, settings }),
    ]);
    onReplica = await createConnection({ uri: replica.url, multipleStatements: true });
    clinic = await createSchema(sharedServer(flavour));
    await loadClinic(await clinic.connect());
    await clinic.query('ALTER TABLE patients MODIFY email LONGTEXT');
    const account = await createUser(server, ['ALL ON hooks.*']);
    const proxy = await startTcpProxy(server);
    receiver = await startTestReceiver();
    const { host, port } = server;
    storeUrl = proxy.through(`mysql://${account.user}:${account.password}@${host}:${port}/hooks`);
    daemon = await startDaemonProcess({
      ...{ sourceUrl: clinic.url(), storeUrl },
      yaml: `
webhooks: [{ name: all, url: "${receiver.url}", events: [patient.created], secret: ${testSecret} }]
${receiver.delivery}
`,
    });
    await daemon.untilReady();
    const admin = await connectAdmin();
    scene = { flavour, server, proxy, account, admin, create };
  });
  afterAll(async () => {
    await daemon.kill();
    await receiver.stop();
    await scene.proxy.stop();
    held.splice(0).forEach((each) => each.destroy());
    onReplica.destroy();
    scene.admin.destroy();
    await clinic.drop();
    await Promise.all([server.stop(), replica.stop()]);
  });
  beforeEach(() => {
    onTestFailed(() => {
      const last = daemon.log.slice(-30).map((line) => `${JSON.stringify(line)}\n`);
      process.stderr.write(last.join(''));
    });
  });

  async function connectAdmin(): Promise<Connection> {
    const admin = await createConnection({
      uri: `${server.url}/hooks`,
      multipleStatements: true,
    });
    admin.on('error', () => undefined);
    return admin;
  }

  async function create(email = 'ana@example.com'): Promise<number> {
    patients += 1;
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id, email) VALUES (?, 'Ana', 'Peña', 2, ?)",
      [700_000 + patients, email],
    );
    return 700_000 + patients;
  }

  const arrivals = (medrecno: number): number =>
    receiver.received.filter(({ data }) => Number(data['medrecno']) === medrecno).length;

  const cli = async (...args: string[]): Promise<CliResult> =>
    runCli([...args, '--config', daemon.configFile], {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: storeUrl,
    });

  /** Whether a line from this one on names both. */
  const isLogged = (from: number, { error, remedy }: NonNullable<Fault['seen']>): boolean =>
    daemon.log
      .slice(from)
      .some(
        (line) =>
          error.test(`${String(line['error'])} ${String(line['msg'])}`) &&
          remedy.test(String(line['remedy'])),
      );

  /** Until what was committed before and what is committed now has come, within README's time. */
  async function untilRecovered(name: string, before: readonly number[]): Promise<void> {
    const now = await create();
    await waitFor(() => [...before, now].every((each) => arrivals(each) > 0), {
      timeoutMs: recoverySeconds.get(name)! * 1_000,
      what: 'deliveries after the fault',
    });
    await daemon.untilReady();
    expect([...before, now].map(arrivals)).toEqual([...before, now].map(() => 1));
  }

  it.each(faults)('$name: it is said with its remedy, and deliveries continue', async (fault) => {
    const from = daemon.log.length;
    await fault.begin(scene);
    const during = await create();
    if (fault.seen) {
      const { error, remedy } = fault.seen;
      await waitFor(
        async () => {
          const { status, body } = await daemon.get('/readyz');
          const { reasons } = JSON.parse(body) as { reasons: string[] };
          return status === 503 && reasons.some((each) => error.test(each) && remedy.test(each));
        },
        { timeoutMs: 90_000, what: '/readyz to name it' },
      );
      await waitFor(() => isLogged(from, fault.seen!), { timeoutMs: 90_000, what: 'the log to name it' });
    }
    if (fault.cli) {
      const { stderr, code } = await cli(
        ...['webhooks', 'create', '--name', 'other', '--url', receiver.url, '--event', 'patient.updated'],
      );
      expect(stderr).toContain(fault.cli.code);
      expect(stderr).toMatch(fault.cli.remedy);
      expect(code).toBe(1);
    }
    await fault.end(scene);
    await untilRecovered(fault.name, [during]);
    if (fault.name === 'The server is down') scene.admin = await connectAdmin();
  });

  it(`${failover}: deliveries continue`, async () => {
    const before = await create();
    await waitFor(() => arrivals(before) > 0);
    await replicate(onReplica, server, { flavour, gtid: true });
    // Nothing is committed behind what the replica gets: a seal that it lacks would be reported, as it must be.
    scene.proxy.freeze();
    await scene.admin.query('CREATE DATABASE written_last');
    await waitFor(() => onReplica.query('USE written_last'), { what: 'the replica to have everything' });
    await promote(onReplica, { flavour });
    scene.proxy.halfOpen();
    scene.proxy.pointTo(replica);
    scene.proxy.thaw();
    await untilRecovered(failover, []);
  });
});
