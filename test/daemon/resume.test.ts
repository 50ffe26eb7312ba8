import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkOwnEvent } from '../support/check-own-event.ts';
import { markCheckpoint } from '../support/mark-checkpoint.ts';
import type { TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';
import { modes } from '../binlog/modes.ts';
import { startHaltingClinic, type HaltingClinic } from './halting-clinic.ts';

const asStatements = (...statements: string[]): string =>
  `SET SESSION binlog_format = 'STATEMENT'; ${statements.join(';')}; SET SESSION binlog_format = 'ROW'`;
const insert = (name: string): string => `INSERT INTO items (name) VALUES ('${name}')`;

describe.each(modes)('resume, on $name', { timeout: 180_000 }, (mode) => {
  let clinic: HaltingClinic;
  let schema: TestSchema;
  beforeAll(async () => {
    clinic = await startHaltingClinic(mode);
    ({ schema } = clinic);
  });
  afterAll(() => clinic.close());

  /** Answers the question of a command at a terminal; returns its text, with the lines joined. */
  async function answer(text: string, ...args: string[]): Promise<{ code: number | null; shown: string }> {
    const { line, env } = clinic.command(...args);
    const child = spawn('script', ['-qec', line, '/dev/null'], {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let shown = '';
    child.stdout.on('data', (chunk: Buffer) => (shown += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    await waitFor(() => shown.includes('Continue? [y/N]'), {
      timeoutMs: 30_000,
      what: `the question: ${shown}`,
    });
    child.stdin.end(`${text}\n`);
    return { code: await ended, shown: shown.replaceAll(/\s+/g, ' ') };
  }

  async function decideAtTerminal(): Promise<void> {
    const status = await clinic.cli('status');
    expect(status.code).toBe(0);
    expect(status.stdout).toMatch(/capture +halted since 20\d\d-/);
    expect(status.stdout).toMatch(
      /Why it is halted: Capture stopped before .* logged as a statement, not as rows: "odontology-webhooks check" says what to set/,
    );
    expect(status.stdout).toContain('odontology-webhooks resume --accept-gap --reason "statement format"');

    const bulk = ['resume', '--accept-gap', '--until', 'now', '--reason', 'the night of the import'];
    const refused = await answer('n', ...bulk);
    expect(refused.code).toBe(1);
    expect(refused.shown).toMatch(
      /What is given up +every change of 5 transactions \(statement-format: 3, truncate: 1, absent-columns: 1\), and nothing else/,
    );
    expect(refused.shown).toMatch(/Committed +(from .* to|at) 20\d\d-/);
    expect(refused.shown).toMatch(/What is delivered +.*: 5 have some/);
    expect((await clinic.get('/readyz')).status).toBe(503);
    expect(clinic.delivered()).not.toContain('between 1');
    expect((await answer('y', ...bulk)).code).toBe(0);
  }

  it('gives up all that cannot be read up to now at once, having told how much, and delivers what stands between', async () => {
    await clinic.start();
    await clinic.untilReady();
    await clinic.create('before');
    await clinic.untilDelivered('before');
    await clinic.stop();
    await schema.query(`${asStatements(insert('unseen 1'))}; ${insert('between 1')};
      TRUNCATE TABLE items; ${insert('between 2')}; ${asStatements(insert('unseen 2'), insert('unseen 3'))};
      ${insert('gone')}; SET SESSION binlog_row_image = 'MINIMAL'; UPDATE items SET qty = 1 WHERE name = 'gone';
      SET SESSION binlog_row_image = 'FULL'; DELETE FROM items WHERE name = 'gone'; ${insert('between 3')}`);
    await clinic.start();
    await clinic.untilHalted('statement-format');

    // A terminal and processes of their own: the same on each server.
    if (mode === modes[0]) await decideAtTerminal();
    else await clinic.accept('the night of the import', { untilMs: Infinity });
    await clinic.untilReady();
    await clinic.untilDelivered('between 1', 'between 2', 'gone', 'between 3');
    expect(clinic.delivered().filter((name) => String(name).startsWith('unseen'))).toEqual([]);
    const { action, details } = await clinic.lastAct();
    expect(action).toBe('capture.accept-gap');
    expect(details).toMatchObject({
      given_up: 'transaction',
      transactions: 5,
      reasons: { 'statement-format': 3, truncate: 1, 'absent-columns': 1 },
      since: expect.stringMatching(/^20/),
      until: expect.stringMatching(/^20/),
      accepted_because: 'the night of the import',
    });
    expect(new Set(details['transaction_ids'] as string[]).size).toBe(5);
    await waitFor(() => clinic.delivered('capture.gap').length === 1, {
      timeoutMs: 30_000,
      what: 'capture.gap',
    });

    // What comes later is asked about anew.
    await schema.query(asStatements(insert('unseen 4')));
    await clinic.untilHalted('statement-format');
    expect(await clinic.accept('once more')).toMatchObject({ kind: 'transaction', scan: null });
    await clinic.untilReady();
  });

  it('leaves what was committed after the moment, and a definition, to a decision of their own', async () => {
    await clinic.start();
    await clinic.untilReady();
    await clinic.stop();
    await schema.query(asStatements(insert('unseen 5')));
    const [{ now } = {}] = await schema.query('SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000 AS SIGNED) AS now');
    const untilMs = Number(now);
    await waitFor(
      async () =>
        (await schema.query(`SELECT UNIX_TIMESTAMP() * 1000 > ${untilMs + 1_000} AS later`))[0]!['later'],
      { what: 'the next second' },
    );
    await schema.query(asStatements(insert('unseen 6')));
    await schema.query(
      `ALTER TABLE items DROP COLUMN label; ${insert('without a label')}; ${asStatements(insert('unseen 7'))}`,
    );
    await clinic.start();
    await clinic.untilHalted('statement-format');
    expect(await clinic.accept('the first', { untilMs })).toMatchObject({
      scan: { unreadable: [{ reason: 'statement-format' }], stoppedAt: null },
    });
    await clinic.untilHalted('statement-format');
    expect(await clinic.accept('the second', { untilMs: Infinity })).toMatchObject({
      scan: { unreadable: [{ reason: 'statement-format' }], stoppedAt: { reason: 'column-changed' } },
    });
    await clinic.untilHalted('column-changed');
    expect(await clinic.accept('no labels', { untilMs: Infinity })).toMatchObject({
      kind: 'definition',
      gone: [],
    });
    await clinic.untilDelivered('without a label');
    await clinic.untilHalted('statement-format');
    await clinic.accept('the third');
    await clinic.untilReady();
  });

  it.each([{ down: false }, { down: true }])(
    'takes one decision where a watched table was dropped (daemon down: $down)',
    async ({ down }) => {
      await clinic.start();
      await clinic.untilReady();
      await schema.query(
        `CREATE TABLE IF NOT EXISTS spare (id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(100)); INSERT INTO spare (name) VALUES ('spare, ${String(down)}')`,
      );
      await waitFor(() => clinic.delivered('spare.created').includes(`spare, ${String(down)}`), {
        timeoutMs: 30_000,
        what: 'the spare',
      });
      if (down) await clinic.stop();
      await schema.query(`DROP TABLE spare; ${insert(`after the drop, ${String(down)}`)}`);
      await clinic.start();
      await clinic.untilHalted('truncate');
      const gaps = clinic.delivered('capture.gap').length;
      expect(await clinic.accept('not used any more')).toMatchObject({ gone: ['spare'] });
      await clinic.untilDelivered(`after the drop, ${String(down)}`);
      await clinic.untilReady();
      await waitFor(() => clinic.delivered('capture.gap').length > gaps, {
        timeoutMs: 30_000,
        what: 'capture.gap',
      });
      clinic.receiver.received.filter(({ event }) => event === 'capture.gap').forEach(checkOwnEvent);
      // It survives a restart.
      await clinic.stop();
      await clinic.start();
      await clinic.untilReady();
      await clinic.create(`and on, ${String(down)}`);
      await clinic.untilDelivered(`and on, ${String(down)}`);
    },
  );

  it('shows nothing of a huge transaction that cannot be read to its end', async () => {
    await clinic.start();
    await clinic.untilReady();
    await clinic.create('small');
    await clinic.untilDelivered('small');
    await clinic.stop();
    const doubled = Array.from(
      { length: 15 },
      () => "INSERT INTO items (name) SELECT name FROM items WHERE name LIKE 'h%'",
    );
    await schema.query(`BEGIN; INSERT INTO items (name) VALUES (REPEAT('h', 100)); ${doubled.join(';')};
      SET SESSION binlog_row_image = 'MINIMAL'; UPDATE items SET qty = 1 WHERE name = 'small'; COMMIT;
      SET SESSION binlog_row_image = 'FULL'; DELETE FROM items WHERE name = 'small'; ${insert('after the huge one')}`);
    await clinic.start();
    await clinic.untilHalted('absent-columns');
    const visible = (): Promise<unknown> =>
      schema
        .query(`SELECT COUNT(*) AS count FROM ${clinic.storeName}.events WHERE payload LIKE '%hhhh%'`)
        .then(([row]) => row!['count']);
    expect(await visible()).toBe(0);
    expect(await clinic.accept('a bulk import')).toMatchObject({ kind: 'transaction' });
    await clinic.untilDelivered('after the huge one');
    await clinic.untilReady();
    expect(await visible()).toBe(0);
    expect(clinic.delivered().some((name) => String(name).startsWith('hhhh'))).toBe(false);
  });

  it('continues with what there is where the source has lost what was read', async () => {
    await clinic.start();
    await clinic.untilReady();
    await clinic.create('read, then lost');
    await clinic.untilDelivered('read, then lost');
    await clinic.stop();
    // As after a restored backup: the source knows less than what was read.
    await schema.query(
      !mode.gtid
        ? `UPDATE ${clinic.storeName}.checkpoint SET offset = offset + 1000000`
        : mode.flavour === 'mysql'
          ? `UPDATE ${clinic.storeName}.checkpoint SET gtid = CONCAT(@@server_uuid, ':1-900000')`
          : `UPDATE ${clinic.storeName}.checkpoint SET gtid = CONCAT('0-', @@server_id, '-900000')`,
    );
    await markCheckpoint(`${clinic.server.url}/${clinic.storeName}`);
    await clinic.start();
    await clinic.untilHalted('ahead-of-source');
    const gap = await clinic.accept('restored from the backup');
    expect(gap).toMatchObject({ kind: 'interval', halt: { missing: expect.stringMatching(/\d/) } });
    await clinic.untilReady();
    await clinic.create('after the backup');
    await clinic.untilDelivered('after the backup');
  });

  if (!mode.gtid || mode.flavour === 'mariadb') {
    it('is not told that the cause is gone where the server refuses a log that looks whole', async () => {
      await clinic.start();
      await clinic.untilReady();
      if (mode.flavour === 'mariadb') {
        // Numbers may leap: no transaction has the one at which reading stopped.
        await schema.query('SET SESSION gtid_seq_no = 1000000');
        await clinic.create('before the leap');
        await schema.query('SET SESSION gtid_seq_no = 2000000');
      }
      await clinic.create('behind the leap');
      await clinic.untilDelivered('behind the leap');
      await clinic.stop();
      await schema.query(
        mode.flavour === 'mariadb'
          ? `UPDATE ${clinic.storeName}.checkpoint SET gtid = CONCAT('0-', @@server_id, '-1500000')`
          : // Among the zeros behind the server's version, in the format description: no event is 0 bytes long.
            `UPDATE ${clinic.storeName}.checkpoint SET offset = 40`,
      );
      await markCheckpoint(`${clinic.server.url}/${clinic.storeName}`);
      await clinic.start();
      await clinic.untilHalted('diverged');
      expect(await clinic.accept('the log was tampered with')).toMatchObject({
        kind: 'interval',
        halt: { reason: 'diverged' },
      });
      await clinic.untilReady();
      await clinic.create('after the refusal');
      await clinic.untilDelivered('after the refusal');
    });
  }

  it('says that there is no gap where the server sends its log again', async () => {
    await clinic.start();
    await clinic.untilReady();
    await clinic.stop();
    const halt = JSON.stringify({
      reason: 'purged',
      message: 'The source has purged it.',
      remedy: '',
      position: null,
      transactionId: null,
      table: null,
      missing: null,
      span: { fromMs: null, untilMs: null },
    });
    await schema.query(`UPDATE ${clinic.storeName}.checkpoint SET halt = ?`, [halt]);
    await expect(clinic.accept('too late')).rejects.toThrow(
      'there is no gap. It stopped because of this: The source has purged it.',
    );
  });

  it('knows the columns from the first run on, before any row of theirs was logged', async () => {
    await clinic.stop();
    clinic.forget();
    await clinic.start();
    await clinic.untilReady();
    await clinic.stop();
    await schema.query(
      "INSERT INTO items (name, note) VALUES ('with a note', 'kept'); ALTER TABLE items DROP COLUMN note",
    );
    await clinic.create('without a note');
    await clinic.start();
    await clinic.untilDelivered('with a note');
    await clinic.untilHalted('column-changed');
    expect(clinic.receiver.received.find(({ data }) => data['name'] === 'with a note')!.data).toMatchObject({
      note: 'kept',
    });
    expect(await clinic.accept('no notes')).toMatchObject({ kind: 'definition' });
    await clinic.untilDelivered('without a note');
  });

  it('comes up while the log has no column names, says so, delivers on, and halts at the first row without them', async () => {
    await clinic.start();
    await clinic.untilReady();
    await clinic.create('sent twice');
    await clinic.untilDelivered('sent twice');
    await clinic.stop();
    await schema.query("SET GLOBAL binlog_row_metadata = 'MINIMAL'");
    await clinic.start();
    await waitFor(async () => (await clinic.get('/readyz')).body.includes('the check row-metadata fails'), {
      timeoutMs: 30_000,
      what: 'the check',
    });
    expect((await clinic.get('/readyz')).status).toBe(503);
    await schema.query(`ALTER TABLE items COMMENT = 'read anew'; ${insert('nameless')}`);
    await clinic.untilHalted('metadata-missing');
    const [{ id } = {}] = await schema.query(
      `SELECT MAX(id) AS id FROM ${clinic.storeName}.webhook_deliveries WHERE payload LIKE '%sent twice%'`,
    );
    expect((await clinic.cli('deliveries', 'retry', String(id))).code).toBe(0);
    await waitFor(() => clinic.delivered().filter((name) => name === 'sent twice').length === 2, {
      timeoutMs: 30_000,
      what: 'the delivery',
    });
    expect((await clinic.get('/readyz')).status).toBe(503);
    await schema.query("SET GLOBAL binlog_row_metadata = 'FULL'; ALTER TABLE items COMMENT = ''");
    await clinic.accept('set back by hand');
    await clinic.create('named again');
    await clinic.untilDelivered('named again');
  });
});
