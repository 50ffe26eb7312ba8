import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Flavour } from '../../src/cli/demo/server-binaries.ts';
import { startPrivateServer, type PrivateServer } from '../../src/cli/demo/private-server.ts';
import { main } from '../../src/cli/main.ts';
import type { HaltReason } from '../../src/binlog/halt.ts';
import { openSource } from '../../src/binlog/source.ts';
import { loadConfig } from '../../src/config/load.ts';
import { startDaemon, type Daemon } from '../../src/daemon.ts';
import { acceptGap, findGap, type Gap } from '../../src/daemon/accept-gap.ts';
import type { InstallationStatus } from '../../src/daemon/status.ts';
import { openStore } from '../../src/db/client.ts';
import { clearBox } from '../../src/db/encryption.ts';
import { parseDatabaseUrl } from '../../src/lib/database-url.ts';
import { createLog } from '../../src/lib/log.ts';
import { runCli, writeConfig } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const itemsTable =
  'CREATE TABLE items (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100), qty INT NOT NULL DEFAULT 0, label VARCHAR(40), note VARCHAR(40), doc JSON)';

const rules = `
missing: warn
events:
  item.created: { table: items, on: insert, data: { name: name, label: label, note: note } }
  item.moved: { table: items, on: update, when: { qty: { changes: true } }, data: { name: name, qty: qty, doc: doc } }
`;

/** What the log of `flavour` can hold that cannot be read, and what then stands in the audit log. */
interface Case {
  name: string;
  reason: HaltReason;
  only?: Flavour;
  /** Whether the daemon is stopped before. */
  down?: true;
  statements: string[];
  play?(clinic: TestSchema): Promise<void>;
  /** Names of items that are delivered besides those before and after. */
  alsoDelivered?: string[];
  /** Whether a change is given up. */
  loses: boolean;
}

/** JSON comes as text from MariaDB. */
function detailsOf(record: Record<string, unknown> | undefined): unknown {
  const details = record!['details'];
  return typeof details === 'string' ? JSON.parse(details) : details;
}

const cases: Case[] = [
  {
    name: 'a partial JSON update',
    reason: 'partial-json',
    only: 'mysql',
    statements: [
      "SET SESSION binlog_row_value_options = 'PARTIAL_JSON'",
      `INSERT INTO items (name, doc) VALUES ('json', '{"a": "0123456789", "b": 1}')`,
      "UPDATE items SET doc = JSON_SET(doc, '$.b', 2) WHERE name = 'json'",
      "SET SESSION binlog_row_value_options = ''",
    ],
    alsoDelivered: ['json'],
    loses: true,
  },
  {
    name: 'a change logged as a statement',
    reason: 'statement-format',
    statements: [
      "SET SESSION binlog_format = 'STATEMENT'",
      "INSERT INTO items (name) VALUES ('statement')",
      "SET SESSION binlog_format = 'ROW'",
    ],
    loses: true,
  },
  { name: 'TRUNCATE', reason: 'truncate', statements: ['TRUNCATE TABLE items'], loses: true },
  {
    name: 'absent columns of a row that is gone',
    reason: 'absent-columns',
    down: true,
    statements: [
      "INSERT INTO items (name) VALUES ('gone')",
      "SET SESSION binlog_row_image = 'MINIMAL'",
      "UPDATE items SET qty = qty + 1 WHERE name = 'gone'",
      "SET SESSION binlog_row_image = 'FULL'",
      "DELETE FROM items WHERE name = 'gone'",
    ],
    alsoDelivered: ['gone'],
    loses: true,
  },
  {
    name: 'a log without column names',
    reason: 'metadata-missing',
    statements: [
      "SET GLOBAL binlog_row_metadata = 'MINIMAL'",
      "ALTER TABLE items COMMENT = 'read anew'",
      "INSERT INTO items (name) VALUES ('nameless')",
      "SET GLOBAL binlog_row_metadata = 'FULL'",
      "ALTER TABLE items COMMENT = ''",
    ],
    loses: true,
  },
  {
    name: 'a column in the format of a server of long ago',
    reason: 'unsupported-type',
    only: 'mariadb',
    statements: [
      'SET GLOBAL mysql56_temporal_format = OFF; ALTER TABLE items ADD COLUMN seen_at DATETIME; SET GLOBAL mysql56_temporal_format = ON',
      "INSERT INTO items (name, seen_at) VALUES ('old format', '2026-03-07 15:30:00')",
      'ALTER TABLE items FORCE',
    ],
    loses: true,
  },
  {
    name: 'an incident',
    reason: 'incident',
    statements: [],
    async play(clinic) {
      // What does not fit into the cache of a statement that cannot be undone is lost to the log, which says so.
      await clinic.query(
        'CREATE TABLE loose (text LONGTEXT) ENGINE = MyISAM; SET GLOBAL max_binlog_stmt_cache_size = 4096, GLOBAL binlog_stmt_cache_size = 4096',
      );
      const writer = await clinic.connect();
      const refused = writer.query("INSERT INTO loose VALUES (REPEAT('x', 100000)), (REPEAT('x', 100000))");
      await expect(refused).rejects.toThrow('max_binlog_stmt_cache_size');
    },
    loses: true,
  },
  {
    name: 'a column that was dropped',
    reason: 'column-changed',
    statements: ['ALTER TABLE items DROP COLUMN label'],
    loses: false,
  },
  {
    name: 'a column that was retyped',
    reason: 'column-changed',
    statements: ["ALTER TABLE items MODIFY qty VARCHAR(20) NOT NULL DEFAULT '0'"],
    loses: false,
  },
  {
    name: 'a column that was dropped while the daemon was down',
    reason: 'column-changed',
    down: true,
    statements: [
      "INSERT INTO items (name, note) VALUES ('with a note', 'kept')",
      'ALTER TABLE items DROP COLUMN note',
    ],
    alsoDelivered: ['with a note'],
    loses: false,
  },
];

describe.each(flavours)('a halt, on %s', (flavour) => {
  let server: PrivateServer;
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: Daemon | undefined;
  let config: Awaited<ReturnType<typeof writeConfig>>;
  const storeName = `store_${randomBytes(5).toString('hex')}`;
  const storeUrl = (): string => `${server.url}/${storeName}`;
  const env = (sourceUrl = clinic.url()): Record<string, string> => ({
    SOURCE_DATABASE_URL: sourceUrl,
    STORE_DATABASE_URL: storeUrl(),
  });

  beforeAll(async () => {
    server = await startPrivateServer({ flavour });
    clinic = await createSchema(server, itemsTable);
    receiver = await startTestReceiver();
    config = await writeConfig(`
source: { url: "\${env:SOURCE_DATABASE_URL}", heartbeat: 1s }
store: { url: "\${env:STORE_DATABASE_URL}" }
http: { listen: "127.0.0.1:0" }
rules: rules.yaml
webhooks: [{ name: all, url: "${receiver.url}", events: ["*", capture.gap], secret: ${testSecret} }]
${receiver.delivery}`);
    await writeFile(join(config.folder, 'rules.yaml'), rules);
  });

  afterAll(async () => {
    await daemon?.stop();
    await receiver.stop();
    await clinic.drop();
    await server.stop();
    await config.remove();
  });

  async function start(sourceUrl?: string): Promise<void> {
    daemon = await startDaemon(loadConfig(config.file, env(sourceUrl)), createLog('silent'));
  }

  async function stop(): Promise<void> {
    await daemon?.stop();
    daemon = undefined;
  }

  const untilReady = (): Promise<boolean> =>
    waitFor(() => daemon!.isReady(), { timeoutMs: 30_000, what: 'capture to go on' });

  async function get(path: string): Promise<{ status: number; body: string }> {
    const response = await fetch(daemon!.url + path);
    return { status: response.status, body: await response.text() };
  }

  const create = (name: string): Promise<unknown> =>
    clinic.query('INSERT INTO items (name) VALUES (?)', [name]);

  const delivered = (event = 'item.created'): unknown[] =>
    receiver.received
      .filter((each) => each.event === event)
      .map(({ data }) => data['name'] ?? data['reason']);

  async function untilDelivered(...names: string[]): Promise<void> {
    await waitFor(() => names.every((name) => delivered().includes(name)), {
      timeoutMs: 30_000,
      what: names.join(', '),
    });
  }

  async function untilHalted(reason: HaltReason): Promise<void> {
    await waitFor(
      async () => {
        const { status, body } = await get('/readyz');
        return status === 503 && body.includes(`halted (${reason})`);
      },
      { timeoutMs: 30_000, what: `the halt: ${reason}` },
    );
    expect((await get('/metrics')).body).toMatch(/^odontology_webhooks_halted 1$/m);
  }

  async function accept(reason: string, sourceUrl = clinic.url()): Promise<Gap> {
    const source = openSource(parseDatabaseUrl(sourceUrl));
    const store = openStore(parseDatabaseUrl(storeUrl()));
    try {
      const gap = await findGap(source, store);
      await acceptGap({ store, box: clearBox }, gap, { actor: { name: 'Ana', role: 'operator' }, reason });
      return gap;
    } finally {
      await source.close();
      await store.close();
    }
  }

  it('reads late what the log left out of a row, and marks the event', async () => {
    await start();
    await untilReady();
    const writer = await clinic.connect();
    await writer.query(
      "SET SESSION binlog_row_image = 'MINIMAL'; INSERT INTO items (name) VALUES ('read late')",
    );
    await untilDelivered('read late');
    const [event] = await clinic.query(
      `SELECT read_late FROM ${storeName}.events WHERE type = 'item.created'`,
    );
    expect(JSON.stringify(event!['read_late'])).toContain('note');
    expect((await get('/metrics')).body).toMatch(/^odontology_webhooks_read_late_total\{table="items"\} 1$/m);
  });

  it('asks the preflight again when a reader is opened anew: what fails is told, and ends nothing', async () => {
    if (!daemon) await start();
    await untilReady();
    const cut = async (): Promise<void> => {
      const [reader] = await clinic.query(
        "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'",
      );
      await clinic.query(`KILL ${String(reader!['id'] ?? reader!['ID'])}`);
    };
    await clinic.query('SET GLOBAL sync_binlog = 0');
    await clinic.query("SET GLOBAL binlog_row_metadata = 'MINIMAL'");
    await cut();
    await waitFor(async () => (await get('/readyz')).body.includes('the check row-metadata fails'), {
      timeoutMs: 30_000,
      what: 'the check',
    });
    expect((await get('/metrics')).body).toMatch(/^odontology_webhooks_preflight_checks\{level="fail"\} 1$/m);
    await clinic.query("SET GLOBAL binlog_row_metadata = 'FULL'");
    await cut();
    await untilReady();
  });

  const applicable = cases.filter(({ only }) => only === undefined || only === flavour);
  it.each(applicable)(
    'at $name survives a restart, and ends on record with nothing else lost',
    async (each) => {
      const { reason, down, statements, alsoDelivered = [], loses } = each;
      if (!daemon) await start();
      await untilReady();
      await create(`before ${each.name}`);
      await untilDelivered(`before ${each.name}`);
      if (down) await stop();
      for (const statement of statements) await clinic.query(statement);
      await each.play?.(clinic);
      await create(`after ${each.name}`);
      if (down) await start();
      await untilHalted(reason);
      await untilDelivered(...alsoDelivered);
      await stop();
      await start();
      await untilHalted(reason);
      expect(delivered()).not.toContain(`after ${each.name}`);

      const gap = await accept(`because of ${each.name}`);
      expect(gap.kind).toBe(loses ? 'transaction' : 'definition');
      await untilReady();
      await untilDelivered(`after ${each.name}`);
      const [record] = await clinic.query(
        `SELECT role, action, details FROM ${storeName}.audit_log ORDER BY id DESC LIMIT 1`,
      );
      expect(record).toMatchObject({ role: 'operator', action: 'capture.accept-gap' });
      expect(detailsOf(record)).toMatchObject({ reason, accepted_because: `because of ${each.name}` });
      if (loses)
        await waitFor(() => delivered('capture.gap').at(-1) === reason, {
          timeoutMs: 30_000,
          what: 'capture.gap',
        });
    },
  );

  const cli = (...args: string[]): ReturnType<typeof runCli> =>
    runCli([...args, '--config', config.file], env());

  it(
    'at a purged log tells what is lost before it asks, and goes on with the oldest that is left',
    { timeout: 120_000 },
    async () => {
      if (!daemon) await start();
      await untilReady();
      await create('before the purge');
      await untilDelivered('before the purge');
      await stop();
      await create('lost in the purge');
      await clinic.query('FLUSH BINARY LOGS');
      await create('after the purge');
      await purgeLogs(clinic.query);
      await start();
      await untilHalted('purged');

      const unasked = await cli('resume', '--accept-gap', '--reason', 'a purge');
      expect(unasked.code).toBe(2);
      expect(unasked.stderr).toMatch(/What is given up +every change in .+\n.*Committed +(at|after) /);
      expect((await get('/readyz')).status).toBe(503);
      const accepted = await cli('resume', '--accept-gap', '--reason', 'a purge', '--yes', '--json');
      expect(accepted.stderr).toBe('');
      expect(JSON.parse(accepted.stdout)).toMatchObject({ reason: 'purged', given_up: 'interval' });
      await untilReady();
      await untilDelivered('after the purge');
      expect(delivered()).not.toContain('lost in the purge');
      await expect(accept('again')).rejects.toMatchObject({ code: 'ERR_NOT_HALTED' });
      expect(await main(['resume'])).toBe(2);
      expect(await main(['resume', '--accept-gap'])).toBe(2);
    },
  );

  it('goes on without a running daemon at the beginning of a log that was reset, under event ids of their own', async () => {
    if (!daemon) await start();
    await untilReady();
    await stop();
    await clinic.query(flavour === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER');
    await create('after the reset');
    const gap = await accept('the log was reset');
    expect(gap).toMatchObject({ kind: 'interval', to: { position: { file: 'binlog.000001', offset: 4 } } });
    await start();
    await untilDelivered('after the reset');
    await untilReady();
    const [ids] = await clinic.query(
      `SELECT COUNT(*) - COUNT(DISTINCT id) AS doubled FROM ${storeName}.event_log`,
    );
    expect(ids!['doubled']).toBe(0);
  });

  it('at a foreign server comes up and says so, goes on by itself once the right one is back, or at the other with consent', async () => {
    const other = await createSchema(sharedServer(flavour), itemsTable);
    await stop();
    await start(other.url());
    await untilHalted('foreign-server');
    await create('while we were away');
    await stop();
    await start();
    await untilReady();
    await untilDelivered('while we were away');
    const status = JSON.parse((await cli('status', '--json')).stdout) as InstallationStatus;
    expect(status).toMatchObject({ daemon: { running: 1, capturing: true }, capture: { halt: null } });

    await stop();
    await start(other.url());
    await untilHalted('foreign-server');
    const gap = await accept('the clinic moved', other.url());
    expect(gap).toMatchObject({ kind: 'interval', halt: { reason: 'foreign-server' } });
    await untilReady();
    await other.query("INSERT INTO items (name) VALUES ('at the other server')");
    await untilDelivered('at the other server');
    await stop();
    await other.drop();
  });
});
