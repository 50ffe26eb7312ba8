import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { HaltReason } from '../../src/binlog/halt.ts';
import type { Flavour } from '../../src/demo/server-binaries.ts';
import { main } from '../../src/cli/main.ts';
import type { InstallationStatus } from '../../src/daemon/status.ts';
import { modes } from '../binlog/modes.ts';
import { checkOwnEvent } from '../support/check-own-event.ts';
import { purgeLogs } from '../support/purge-logs.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';
import { itemsTable, startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

/** What the log of `flavour` can hold that cannot be read, and what the audit log then has. */
interface Case {
  name: string;
  reason: HaltReason;
  only?: Flavour;
  /** Whether the daemon is stopped before. */
  down?: true;
  statements: string[];
  play?(schema: TestSchema): Promise<void>;
  /** Names of items that are delivered besides those before and after. */
  alsoDelivered?: string[];
  /** Whether a change is given up. */
  loses: boolean;
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
    name: 'fractions in the format before MariaDB 10.1',
    reason: 'unsupported-type',
    only: 'mariadb',
    statements: [
      'SET GLOBAL mysql56_temporal_format = OFF; ALTER TABLE items ADD COLUMN seen_at DATETIME(3); SET GLOBAL mysql56_temporal_format = ON',
      "INSERT INTO items (name, seen_at) VALUES ('old format', '2026-03-07 15:30:00')",
      'ALTER TABLE items FORCE',
    ],
    loses: true,
  },
  {
    name: 'an incident',
    reason: 'incident',
    statements: [],
    async play(schema) {
      // What does not fit into the cache of a statement that cannot be undone is lost to the log, which says so.
      await schema.query(
        'CREATE TABLE loose (text LONGTEXT) ENGINE = MyISAM; SET GLOBAL max_binlog_stmt_cache_size = 4096, GLOBAL binlog_stmt_cache_size = 4096',
      );
      const writer = await schema.connect();
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

describe.each(modes)('a halt, on $name', { timeout: 180_000 }, (mode) => {
  const { flavour } = mode;
  let clinic: HaltingClinic;
  let schema: TestSchema;
  beforeAll(async () => {
    clinic = await startHaltingClinic(mode);
    ({ schema } = clinic);
  });
  afterAll(() => clinic.close());

  it('reads late what the log left out of a row, and marks the event', async () => {
    await clinic.start();
    await clinic.untilReady();
    const writer = await schema.connect();
    await writer.query(
      "SET SESSION binlog_row_image = 'MINIMAL'; INSERT INTO items (name) VALUES ('read late')",
    );
    await clinic.untilDelivered('read late');
    const [event] = await schema.query(
      `SELECT read_late FROM ${clinic.storeName}.events WHERE type = 'item.created'`,
    );
    expect(JSON.stringify(event!['read_late'])).toContain('note');
    expect((await clinic.get('/metrics')).body).toMatch(
      /^odontology_webhooks_read_late_total\{table="items"\} 1$/m,
    );
  });

  it('leaves the checkpoint where reading stopped, so that what was passed is not mapped again', async () => {
    await clinic.start();
    await clinic.untilReady();
    await schema.query('CREATE TABLE beside (id INT); INSERT INTO beside VALUES (1); TRUNCATE TABLE items');
    await clinic.untilHalted('truncate');
    const [row] = await schema.query(
      `SELECT \`offset\` AS checkpoint, JSON_VALUE(halt, '$.position.offset') AS halt FROM ${clinic.storeName}.checkpoint`,
    );
    expect(Number(row!['checkpoint'])).toBe(Number(row!['halt']));
    await clinic.accept('the table was emptied');
    await clinic.untilReady();
    await clinic.stop();
  });

  it('asks the preflight again when a reader is reopened: failures are reported, and end nothing', async () => {
    await clinic.start();
    await clinic.untilReady();
    const cut = async (): Promise<void> => {
      const reader = (await schema.sessions()).find(({ command }) => command.startsWith('Binlog Dump'));
      await schema.query(`KILL ${reader!.id}`);
    };
    await schema.query('SET GLOBAL sync_binlog = 0');
    await schema.query("SET GLOBAL binlog_row_metadata = 'MINIMAL'");
    await cut();
    await waitFor(async () => (await clinic.get('/readyz')).body.includes('the check row-metadata fails'), {
      timeoutMs: 30_000,
      what: 'the check',
    });
    expect((await clinic.get('/metrics')).body).toMatch(
      /^odontology_webhooks_preflight_checks\{level="fail"\} 1$/m,
    );
    await schema.query("SET GLOBAL binlog_row_metadata = 'FULL'");
    await cut();
    await clinic.untilReady();
  });

  const applicable = cases.filter(({ only }) => only === undefined || only === flavour);
  it.each(applicable)(
    'at $name survives a restart, and ends on record with nothing else lost',
    async (each) => {
      const { reason, down, statements, alsoDelivered = [], loses } = each;
      await clinic.start();
      await clinic.untilReady();
      await clinic.create(`before ${each.name}`);
      await clinic.untilDelivered(`before ${each.name}`);
      if (down) await clinic.stop();
      for (const statement of statements) await schema.query(statement);
      await each.play?.(schema);
      await clinic.create(`after ${each.name}`);
      if (down) await clinic.start();
      await clinic.untilHalted(reason);
      await clinic.untilDelivered(...alsoDelivered);
      await clinic.stop();
      await clinic.start();
      await clinic.untilHalted(reason);
      expect(clinic.delivered()).not.toContain(`after ${each.name}`);

      const gap = await clinic.accept(`because of ${each.name}`);
      expect(gap.kind).toBe(loses ? 'transaction' : 'definition');
      await clinic.untilReady();
      await clinic.untilDelivered(`after ${each.name}`);
      expect(await clinic.lastAct()).toMatchObject({
        role: 'operator',
        action: 'capture.accept-gap',
        details: { reason, accepted_because: `because of ${each.name}` },
      });
      if (loses)
        await waitFor(() => clinic.delivered('capture.gap').at(-1) === reason, {
          timeoutMs: 30_000,
          what: 'capture.gap',
        });
      clinic.receiver.received.filter(({ event }) => event === 'capture.gap').forEach(checkOwnEvent);
    },
  );

  it(
    'at a purged log says what is lost before it asks, and continues with the oldest that is left',
    { timeout: 120_000 },
    async () => {
      await clinic.start();
      await clinic.create('before the purge');
      await clinic.untilDelivered('before the purge');
      await clinic.stop();
      await clinic.create('lost in the purge');
      await schema.query('FLUSH BINARY LOGS');
      await clinic.create('after the purge');
      await purgeLogs((sql) => schema.query(sql));
      await clinic.start();
      await clinic.untilHalted('purged');

      const unasked = await clinic.cli('resume', '--accept-gap', '--reason', 'a purge');
      expect(unasked.code).toBe(2);
      expect(unasked.stderr).toMatch(/What is given up +every change in .+\n.*Committed +(at|after) /);
      expect((await clinic.get('/readyz')).status).toBe(503);
      const accepted = await clinic.cli('resume', '--accept-gap', '--reason', 'a purge', '--yes', '--json');
      expect(accepted.stderr).toBe('');
      expect(JSON.parse(accepted.stdout)).toMatchObject({ reason: 'purged', given_up: 'interval' });
      await clinic.untilReady();
      await clinic.untilDelivered('after the purge');
      expect(clinic.delivered()).not.toContain('lost in the purge');
      await expect(clinic.accept('again')).rejects.toMatchObject({ code: 'ERR_NOT_HALTED' });
      expect(await main(['resume'])).toBe(2);
      expect(await main(['resume', '--accept-gap'])).toBe(2);
    },
  );

  it('continues without a running daemon at the beginning of a log that was reset, under event ids of their own', async () => {
    await clinic.start();
    await clinic.untilReady();
    await clinic.stop();
    await schema.query(flavour === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER');
    await clinic.create('after the reset');
    const gap = await clinic.accept('the log was reset');
    expect(gap).toMatchObject({ kind: 'interval', to: { position: { file: 'binlog.000001', offset: 4 } } });
    await clinic.start();
    await clinic.untilDelivered('after the reset');
    await clinic.untilReady();
    const [ids] = await schema.query(
      `SELECT COUNT(*) - COUNT(DISTINCT id) AS doubled FROM ${clinic.storeName}.event_log`,
    );
    expect(ids!['doubled']).toBe(0);
  });

  it(
    'is ready again after a reset that came while the outbox stood still and no canary was back',
    { timeout: 180_000 },
    async () => {
      await clinic.start();
      await clinic.untilReady();
      const holder = await schema.connect();
      await holder.query(`BEGIN; SELECT * FROM ${clinic.storeName}.checkpoint FOR UPDATE`);
      await clinic.create('under way');
      const answers = async (reason: RegExp): Promise<boolean> =>
        reason.test((await clinic.get('/readyz')).body);
      await waitFor(() => answers(/no canary came back/), {
        timeoutMs: 60_000,
        what: 'the canary to be late',
      });
      await schema.query(flavour === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER');
      await clinic.create('after the reset of a log that was read');
      await holder.query('ROLLBACK');
      await waitFor(() => answers(/capture is halted/), { timeoutMs: 60_000, what: 'the halt' });
      await clinic.untilDelivered('under way');
      await clinic.accept('the log was reset');
      // Canary rows in the lost log never come back: later ones do.
      await clinic.untilReady();
      await clinic.untilDelivered('after the reset of a log that was read');
      await clinic.stop();
    },
  );

  const resets: { name: string; flushes: number; to?: number }[] = [
    { name: 'in the file of the same name', flushes: 0 },
    { name: 'back to an earlier file', flushes: 2 },
    // MySQL and MariaDB take `TO 7`, a number far beyond the file that is read.
    { name: 'on to a later file', flushes: 0, to: 7 },
  ];
  it.each(resets)(
    'at a log that is reset under the reader, $name, is not ready',
    async ({ name, flushes, to }) => {
      const reset = flavour === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER';
      await clinic.stop();
      await schema.query(reset);
      clinic.forget();
      for (let flush = 0; flush < flushes; flush += 1) await schema.query('FLUSH BINARY LOGS');
      await clinic.start();
      await clinic.untilReady();
      // Unwatched, and far more than the daemon's own writes: the new log stays shorter than the old one.
      await schema.query('CREATE TABLE IF NOT EXISTS filling (text LONGTEXT)');
      for (let n = 0; n < 8; n += 1) await schema.query("INSERT INTO filling VALUES (REPEAT('x', 1000000))");
      await clinic.create(`before a reset ${name}`);
      await clinic.untilDelivered(`before a reset ${name}`);
      await schema.query(to === undefined ? reset : `${reset} TO ${to}`);
      await clinic.create(`after a reset ${name}`);
      await waitFor(
        // By file and offset, a log that begins at a later file looks like one that was purged.
        async () => /halted \((ahead-of-source|diverged|purged)\)/.test((await clinic.get('/readyz')).body),
        { timeoutMs: 30_000, what: 'the halt' },
      );
      const logs = await schema.query('SHOW BINARY LOGS');
      expect(logs.map(({ File_size }) => Number(File_size) < 8_000_000)).toEqual([true]);
      await clinic.accept('the log was reset');
      await clinic.untilReady();
      await clinic.untilDelivered(`after a reset ${name}`);
    },
  );

  it('at a log that is reset under the reader, and longer than the old one at once, is not ready', async () => {
    const reset = flavour === 'mysql' ? 'RESET BINARY LOGS AND GTIDS' : 'RESET MASTER';
    await clinic.stop();
    await schema.query(`CREATE TABLE IF NOT EXISTS filling (text LONGTEXT); ${reset}`);
    clinic.forget();
    await clinic.start();
    await clinic.untilReady();
    await clinic.create('before a short log was reset');
    await clinic.untilDelivered('before a short log was reset');
    await schema.query(`${reset}; ${"INSERT INTO filling VALUES (REPEAT('x', 1000000)); ".repeat(4)}`);
    await clinic.create('after a short log was reset');
    await waitFor(
      async () => /halted \((ahead-of-source|diverged|purged)\)/.test((await clinic.get('/readyz')).body),
      { timeoutMs: 60_000, what: 'the halt' },
    );
    await clinic.accept('the log was reset');
    await clinic.untilReady();
    await clinic.untilDelivered('after a short log was reset');
  });

  it('at a foreign server comes up and says so, continues by itself once the right one is back, or at the other with consent', async () => {
    const other = await createSchema(sharedServer(flavour), itemsTable);
    await clinic.stop();
    await clinic.start(other.url());
    await clinic.untilHalted('foreign-server');
    await clinic.create('while we were away');
    await clinic.stop();
    await clinic.start();
    await clinic.untilReady();
    await clinic.untilDelivered('while we were away');
    const status = JSON.parse((await clinic.cli('status', '--json')).stdout) as InstallationStatus;
    expect(status).toMatchObject({ daemon: { running: 1, capturing: true }, capture: { halt: null } });

    await clinic.stop();
    await clinic.start(other.url());
    await clinic.untilHalted('foreign-server');
    const gap = await clinic.accept('the clinic moved', { sourceUrl: other.url() });
    expect(gap).toMatchObject({ kind: 'interval', halt: { reason: 'foreign-server' } });
    await clinic.untilReady();
    await other.query("INSERT INTO items (name) VALUES ('at the other server')");
    await clinic.untilDelivered('at the other server');
    await clinic.stop();
    await other.drop();
  });
});
