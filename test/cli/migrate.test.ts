import { createConnection, type Connection } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { callCli } from '../support/call-cli.ts';
import { writeConfig } from '../support/daemon.ts';
import { flavours, sharedServer } from '../support/server.ts';
import {
  addWebhook,
  claimant,
  delivered,
  eventOf,
  failed,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';

describe.each(flavours)('migrate --auditor on %s', (flavour) => {
  const server = sharedServer(flavour);
  let test: TestStore;
  let config: Awaited<ReturnType<typeof writeConfig>>;
  const opened: Connection[] = [];
  const users: string[] = [];

  beforeAll(async () => {
    test = await openTestStore(flavour);
    const url = test.schema.url();
    config = await writeConfig(`source: { url: "${url}_clinic" }\nstore: { url: "${url}" }\n`);
    await addWebhook(test.vault, { name: 'Pagos', headers: { 'X-Key': 'k-123' }, filter: { note: ['ñ'] } });
    await addWebhook(test.vault, { name: 'Todo' });
    const me = claimant(test.store);
    const outbox = await openTestAppender(me, test.vault);
    const { fresh } = await outbox.append(
      [eventOf('e1', { subject: '45' }), eventOf('e2', { key: '2', subject: '46' })],
      { room: muchRoom },
    );
    await settle(me, [delivered(fresh[0]!), failed(fresh[1]!, { kind: 'exhausted' })]);
    await sealOnce(test.vault);
  });
  afterAll(async () => {
    for (const connection of opened) connection.destroy();
    for (const user of users) await test.schema.query(`DROP USER IF EXISTS ${user}`);
    await test.close();
    await config.remove();
  });

  /** Runs exactly the printed lines, and connects as the user that they make. */
  async function connectAs(...args: string[]): Promise<Connection> {
    const printed = await callCli('migrate', '--auditor', ...args, '--config', config.file);
    expect(printed.code).toBe(0);
    const [, user, password] = /^CREATE USER '(.+)'@'%' IDENTIFIED BY '(.+)';/.exec(printed.stdout)!;
    users.push(`'${user}'@'%'`);
    await test.schema.query(printed.stdout);
    const { host, port } = server;
    const connection = await createConnection({
      host,
      port,
      user: user!,
      password: password!,
      database: test.schema.name,
    });
    opened.push(connection);
    return connection;
  }

  const refusal = async (connection: Connection, sql: string): Promise<string> =>
    connection.query(sql).then(
      () => 'done',
      (error: unknown) => (error as { code: string }).code,
    );
  const denied = expect.stringMatching(/^ER_(TABLE|COLUMN)ACCESS_DENIED_ERROR$|^ER_VIEW_SELECT_FORBIDDEN$/);

  it("makes a user that can run the application's own queries and read the log, and nothing else", async () => {
    const auditor = await connectAs(`luz_${flavour}_${test.schema.name.slice(-6)}`);
    const read = async (sql: string): Promise<Record<string, unknown>[]> =>
      (await auditor.query(sql))[0] as Record<string, unknown>[];

    expect(
      await read(
        'SELECT event_type, response_status, delivered_at, failed_at, retry_count FROM webhook_deliveries',
      ),
    ).toHaveLength(2);
    expect(
      await read(`SELECT w.name, w.url, d.* FROM webhook_deliveries d JOIN webhooks w ON w.id = d.webhook_id
                  WHERE d.delivered_at IS NOT NULL ORDER BY d.created_at DESC LIMIT 10`),
    ).toMatchObject([{ event_type: 'appointment.confirmed', response_status: 200, response_body: 'ok' }]);
    expect(
      await read(`SELECT event_type, COUNT(*) AS total, SUM(delivered_at IS NOT NULL) AS delivered FROM webhook_deliveries
                  WHERE created_at >= NOW() - INTERVAL 2 DAY GROUP BY event_type`),
    ).toMatchObject([{ total: 2, delivered: '1' }]);

    const [deliveries, all] = [
      await read('SELECT webhook, patient, status FROM audit_deliveries ORDER BY id'),
      await Promise.all(
        ['webhooks', 'deliveries', 'attempts', 'acts', 'replays', 'seals'].map((name) =>
          read(`SELECT * FROM audit_${name}`),
        ),
      ),
    ];
    expect(deliveries).toEqual([
      { webhook: 'Todo', patient: '45', status: 'delivered' },
      { webhook: 'Todo', patient: '46', status: 'exhausted' },
    ]);
    expect(all.map((rows) => rows.length)).toEqual([2, 2, 2, 4, 0, 1]);
    const seen = JSON.stringify(all);
    for (const secret of ['whsec_', 'k-123', '😷', '"ok"']) expect(seen).not.toContain(secret);
    expect(seen).toContain('X-Key');

    for (const sql of [
      'SELECT secret FROM webhooks',
      'SELECT * FROM webhooks',
      'SELECT previous_secret FROM webhooks',
      'SELECT headers FROM webhooks',
      'SELECT private_key FROM seal_state',
      'SELECT `key` FROM subject_keys',
      'SELECT body FROM event_log',
      'SELECT payload FROM delivery_log',
      "UPDATE audit_acts SET actor = 'x'",
      'DELETE FROM audit_attempts',
      "UPDATE webhooks SET url = 'https://evil.example'",
      'UPDATE webhook_deliveries SET response_status = 200',
      'DELETE FROM audit_log',
      'INSERT INTO audit_seals (number) VALUES (9)',
      'DROP VIEW audit_acts',
    ]) {
      expect([sql, await refusal(auditor, sql)]).toEqual([sql, denied]);
    }
    expect(await refusal(auditor, 'SELECT * FROM mysql.user')).not.toBe('done');
  });

  it('leaves the payloads out where that is asked for, and refreshes the views', async () => {
    const auditor = await connectAs(`sol_${flavour}_${test.schema.name.slice(-6)}`, '--no-payloads');
    const [rows] = await auditor.query(
      'SELECT id, event_type, response_status, status FROM webhook_deliveries',
    );
    expect(rows).toHaveLength(2);
    expect(await refusal(auditor, 'SELECT payload FROM webhook_deliveries')).toEqual(denied);
    expect(await refusal(auditor, 'SELECT response_body FROM webhook_deliveries')).toEqual(denied);
    const [acts] = await auditor.query('SELECT action, details FROM audit_acts ORDER BY id DESC LIMIT 1');
    expect(acts).toMatchObject([{ action: 'auditor.prepare' }]);
  });

  it.each(["o'brien", 'a b', '', 'x'.repeat(33)])('refuses the name "%s"', async (name) => {
    const { code, stderr } = await callCli('migrate', '--auditor', name, '--config', config.file);
    expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining('ERR_USAGE') });
  });
});
