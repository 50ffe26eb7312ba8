import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startPrivateServer } from '../../src/demo/private-server.ts';
import type { Flavour, ServerVariant } from '../../src/demo/server-binaries.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startDaemon, type Daemon } from '../../src/daemon.ts';
import { createLog } from '../../src/lib/log.ts';
import { checkOwnEvent } from '../support/check-own-event.ts';
import { markCheckpoint } from '../support/mark-checkpoint.ts';
import { runCli, writeConfig } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import {
  createSchema,
  createUser,
  sharedServer,
  type SharedServer,
  type TestSchema,
} from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

interface Server {
  name: string;
  flavour: Flavour;
  /** Where it is not the flavour's first version. */
  variant?: ServerVariant;
  settings: string[];
  /** Whether the server logs what foreign keys change. */
  logs: boolean;
}

const servers: Server[] = [
  { name: 'MySQL', flavour: 'mysql', settings: [], logs: true },
  {
    name: 'MySQL with native keys',
    flavour: 'mysql',
    settings: ['innodb_native_foreign_keys=ON'],
    logs: false,
  },
  { name: 'MariaDB', flavour: 'mariadb', settings: [], logs: false },
  { name: 'MariaDB 11.8', flavour: 'mariadb', variant: 'mariadb-11.8', settings: [], logs: false },
];

/** A visit goes with its file, which goes with its person; a payment stays without its visit; a mark is the end of a test. */
const tables = `
  CREATE TABLE people (id INT PRIMARY KEY, name VARCHAR(20));
  CREATE TABLE files (id INT PRIMARY KEY, person_id INT, CONSTRAINT f1 FOREIGN KEY (person_id) REFERENCES people (id) ON DELETE CASCADE);
  CREATE TABLE visits (id INT PRIMARY KEY, file_id INT, CONSTRAINT v1 FOREIGN KEY (file_id) REFERENCES files (id) ON DELETE CASCADE);
  CREATE TABLE payments (id INT PRIMARY KEY, visit_id INT, CONSTRAINT p1 FOREIGN KEY (visit_id) REFERENCES visits (id) ON DELETE SET NULL);
  CREATE TABLE marks (id INT PRIMARY KEY);
  INSERT INTO people VALUES (1, 'marca-privada'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e'), (6, 'f');
  INSERT INTO files VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5);
  INSERT INTO visits VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5);
  INSERT INTO payments VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 5)`;

const rules = `
events:
  visit.gone: { table: visits, on: delete, data: { id: id } }
  payment.loose: { table: payments, when: { visit_id: { becomes: null } }, data: { id: id } }
  mark.made: { table: marks, on: insert, data: { id: id } }
`;

describe.each(servers)('cascades on $name', ({ flavour, variant = flavour, settings, logs }) => {
  let server: SharedServer;
  let giveBack = (): Promise<void> => Promise.resolve();
  let schema: TestSchema;
  let receiver: TestReceiver;
  let account: Awaited<ReturnType<typeof createUser>>;
  let config: Awaited<ReturnType<typeof writeConfig>>;
  let env: Record<string, string>;
  let store: string;
  let daemon: Daemon | undefined;
  let marks = 0;

  beforeAll(async () => {
    if (settings.length === 0) {
      server = sharedServer(variant);
      return;
    }
    const own = await startPrivateServer({ flavour, settings });
    server = own;
    giveBack = () => own.stop();
  });
  afterAll(() => giveBack());

  beforeEach(async () => {
    schema = await createSchema(server, tables);
    receiver = await startTestReceiver();
    store = `store_${randomBytes(5).toString('hex')}`;
    account = await createUser(server, [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      `SELECT ON \`${schema.name}\`.*`,
      `ALL ON \`${store}\`.*`,
    ]);
    config = await writeConfig(`
source: { url: "\${env:SOURCE_DATABASE_URL}", heartbeat: 1s }
store: { url: "\${env:STORE_DATABASE_URL}" }
http: { listen: "127.0.0.1:0" }
rules: rules.yaml
webhooks:
  - { name: all, url: "${receiver.url}", events: ["*", capture.unlogged_cascade], secret: ${testSecret}, order: none }
${receiver.delivery}`);
    await writeFile(join(config.folder, 'rules.yaml'), rules);
    const storeUrl = new URL(schema.url(account));
    storeUrl.pathname = `/${store}`;
    env = { SOURCE_DATABASE_URL: schema.url(account), STORE_DATABASE_URL: storeUrl.href };
    await start();
  });
  afterEach(async () => {
    await stop();
    await receiver.stop();
    await schema.query(`DROP DATABASE IF EXISTS ${store}`);
    await schema.drop();
    await account.drop();
    await config.remove();
  });

  async function start(): Promise<void> {
    daemon = await startDaemon(loadConfig(config.file, env), createLog('silent'));
    await waitFor(() => daemon!.isReady(), { timeoutMs: 30_000, what: 'the daemon to be ready' });
  }

  async function stop(): Promise<void> {
    await daemon?.stop();
    daemon = undefined;
  }

  /** What comes of all that was committed so far, since the last call: events with what they name. */
  async function delivered(): Promise<string[]> {
    marks += 1;
    await schema.query(`INSERT INTO ${schema.name}.marks VALUES (${marks})`);
    await waitFor(
      () => receiver.received.some(({ event, data }) => event === 'mark.made' && data['id'] === marks),
      {
        timeoutMs: 30_000,
        what: 'the mark',
      },
    );
    // All events of the log up to the mark, each delivered.
    const [row] = await schema.query(
      `SELECT COUNT(*) AS count FROM ${store}.event_log WHERE type <> 'audit.sealed'`,
    );
    await waitFor(() => receiver.received.length >= Number(row!['count']), {
      timeoutMs: 30_000,
      what: 'every event',
    });
    const lines = receiver.received
      .filter(({ event }) => event !== 'mark.made')
      .map(({ event, data }) => `${event} ${String(data['table'] ?? data['id'])}`);
    const fresh = lines.slice(seen);
    seen = lines.length;
    return fresh.toSorted();
  }
  let seen = 0;
  beforeEach(() => {
    seen = 0;
  });

  const silent = (...lines: string[]): string[] => (logs ? [] : lines);
  const loud = (...lines: string[]): string[] => (logs ? lines : []);
  const metric = async (): Promise<string[]> =>
    (await (await fetch(`${daemon!.url}/metrics`)).text()).match(
      /^odontology_webhooks_unlogged_cascades_total.*/gm,
    ) ?? [];

  it('are reported once for each transaction, parent and operation, and counted', async () => {
    await schema.query('BEGIN; DELETE FROM people WHERE id = 1; DELETE FROM people WHERE id = 2; COMMIT');
    await schema.query('DELETE FROM people WHERE id = 6');
    expect(await delivered()).toEqual(
      logs
        ? ['payment.loose 1', 'payment.loose 2', 'visit.gone 1', 'visit.gone 2']
        : ['capture.unlogged_cascade people', 'capture.unlogged_cascade people'],
    );
    expect(await metric()).toEqual(silent('odontology_webhooks_unlogged_cascades_total{table="people"} 2'));
    const { stdout } = await runCli(['status', '--json', '--config', config.file], env);
    const status = JSON.parse(stdout) as { capture: { unlogged_cascades: object[] } };
    const last_at: unknown = expect.stringMatching(/^\d{4}-.*Z$/);
    expect(status.capture.unlogged_cascades).toEqual(logs ? [] : [{ table: 'people', count: 2, last_at }]);
    const text = await runCli(['status', '--config', config.file], env);
    expect(text.stdout.includes('people (2)')).toBe(!logs);
    const told = receiver.received.find(({ event }) => event === 'capture.unlogged_cascade');
    if (told) {
      checkOwnEvent(told);
      const { transaction, position, timestamp, ...rest } = told.data;
      expect(rest).toEqual({ table: 'people', operation: 'delete', children: ['payments', 'visits'] });
      expect(position).toEqual({ file: expect.any(String) as string, offset: expect.any(Number) as number });
      expect([typeof transaction, typeof timestamp]).toEqual(['string', 'string']);
    }
    expect(JSON.stringify(receiver.received)).not.toContain('marca-privada');
  });

  it('are reported once, though the log is read again', async () => {
    const [before] = await schema.query(`SELECT * FROM ${store}.checkpoint`);
    await schema.query('DELETE FROM people WHERE id = 1');
    expect(await delivered()).toEqual(
      logs ? ['payment.loose 1', 'visit.gone 1'] : ['capture.unlogged_cascade people'],
    );
    await stop();
    // As after a crash between the send and the commit: the position is the one from before.
    await schema.query(`UPDATE ${store}.checkpoint SET gtid = ?, file = ?, \`offset\` = ?`, [
      before!['gtid'],
      before!['file'],
      before!['offset'],
    ]);
    await markCheckpoint(env['STORE_DATABASE_URL']!);
    await start();
    expect(await delivered()).toEqual([]);
  });

  it('are reported for a transaction that does not fit into memory', async () => {
    const digits = Array.from({ length: 10 }, (_, digit) => `SELECT ${digit} AS d`).join(' UNION ALL ');
    const numbers = ['a', 'b', 'c', 'd', 'e'].map((name) => `(${digits}) ${name}`).join(' JOIN ');
    await schema.query(
      `BEGIN; DELETE FROM people WHERE id = 1;
      INSERT INTO visits (id) SELECT 100 + a.d + 10 * b.d + 100 * c.d + 1000 * d.d + 10000 * e.d FROM ${numbers}; COMMIT`,
    );
    expect(await delivered()).toEqual(
      logs ? ['payment.loose 1', 'visit.gone 1'] : ['capture.unlogged_cascade people'],
    );
    expect(await metric()).toEqual(silent('odontology_webhooks_unlogged_cascades_total{table="people"} 1'));
  });

  it('are read by the keys of the time: one that is added, one that is dropped', async () => {
    await schema.query('CREATE TABLE rooms (id INT PRIMARY KEY); INSERT INTO rooms VALUES (1), (2), (3)');
    await schema.query('DELETE FROM rooms WHERE id = 1');
    expect(await delivered()).toEqual([]);
    await schema.query(
      'ALTER TABLE visits ADD COLUMN room INT, ADD CONSTRAINT v2 FOREIGN KEY (room) REFERENCES rooms (id) ON DELETE SET NULL; DELETE FROM rooms WHERE id = 2',
    );
    expect(await delivered()).toEqual(silent('capture.unlogged_cascade rooms'));
    await schema.query('ALTER TABLE visits DROP FOREIGN KEY v2; DELETE FROM rooms WHERE id = 3');
    expect(await delivered()).toEqual([]);
    await stop();
    // Deleted while the key was there, which it is no more when the daemon looks.
    await schema.query('DELETE FROM people WHERE id = 6; ALTER TABLE files DROP FOREIGN KEY f1');
    await start();
    expect(await delivered()).toEqual(silent('capture.unlogged_cascade people'));
  });

  it('are logged by the triggers that check prints, until they are dropped', async () => {
    const cli = (...args: string[]) => runCli(['check', ...args, '--config', config.file], env);
    const { code, stdout: script } = await cli('--triggers');
    expect(code).toBe(0);
    expect(await schema.query('SHOW TRIGGERS')).toEqual([]);
    await schema.query(script);
    const triggers = await schema.query('SHOW TRIGGERS');
    expect(triggers).toHaveLength(logs ? 0 : 3);
    if (logs) expect(script).toContain('No trigger is needed');
    const report = JSON.parse((await cli('--json')).stdout) as {
      checks: { id: string; level: string; detail: string }[];
    };
    expect(report.checks.find(({ id }) => id === 'cascades')).toMatchObject({
      level: 'pass',
      detail: logs ? 'The server logs what cascades change.' : 'Triggers log what 3 foreign keys change.',
    });

    // Parents with children, and without.
    await schema.query('DELETE FROM people WHERE id IN (1, 6); REPLACE INTO files VALUES (2, 2)');
    const replaced = silent('payment.loose 2', 'visit.gone 2');
    expect(await delivered()).toEqual([
      'payment.loose 1',
      ...replaced.slice(0, 1),
      'visit.gone 1',
      ...replaced.slice(1),
    ]);
    await stop();
    await schema.query('DELETE FROM people WHERE id = 3; DELETE FROM people WHERE id = 6');
    await start();
    expect(await delivered()).toEqual(['payment.loose 3', 'visit.gone 3']);
    expect(await metric()).toEqual([]);

    const again = (await cli('--triggers')).stdout;
    expect(again).not.toMatch(/^CREATE/m);
    const reverse = again.match(/(?<=^-- )DROP TRIGGER .*;$/gm) ?? [];
    expect(reverse).toEqual(script.match(/(?<=^-- )DROP TRIGGER .*;$/gm) ?? []);
    for (const statement of reverse) await schema.query(statement);
    await schema.query('DELETE FROM people WHERE id = 4');
    expect(await schema.query('SHOW TRIGGERS')).toEqual([]);
    expect(await delivered()).toEqual([
      ...silent('capture.unlogged_cascade people'),
      ...loud('payment.loose 4', 'visit.gone 4'),
    ]);
  });
});
