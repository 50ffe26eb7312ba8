import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { checkOwnEvent } from '../support/check-own-event.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type Received, type TestReceiver } from '../support/receiver.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor, type WaitOptions } from '../support/wait-for.ts';

/** What a running daemon does by itself, or in the background for a person. It looks every 10 s. */
const patience = (what: string): WaitOptions => ({ what, timeoutMs: 60_000 });

describe.each(servers)('a daemon over the years, on %s', { timeout: 240_000 }, (variant) => {
  const server = sharedServer(variant);
  const storeName = `store_${randomBytes(5).toString('hex')}`;
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;

  beforeAll(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    await start();
  });
  afterAll(async () => {
    await daemon.kill();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await clinic.drop();
  });

  async function start(): Promise<void> {
    const webhook = (name: string, events: string): string =>
      `  - { name: ${name}, url: "${receiver.url}/${name}", events: ${events}, secret: ${testSecret} }`;
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: `${server.url}/${storeName}`,
      yaml: `retention: { payloads: 90d }
${receiver.delivery.replace(/retry_schedule: .*]/, 'retry_schedule: [200ms, 30s, 30s, 30s, 30s]')}
webhooks:
${webhook('all', '["*"]')}
${webhook('watcher', '[webhook.disabled]')}
${webhook('flaky', '[patient.updated]')}
`,
    });
    await daemon.untilReady();
  }

  const sentTo = (name: string): Received[] =>
    receiver.received.filter(({ path }) => path === `/webhooks/${name}`);
  const phonesTo = (name: string): unknown[] =>
    sentTo(name).map(({ data }) => (data['updated_fields'] as { phone: { new: string } }).phone.new);
  const dial = (phone: string): Promise<unknown> =>
    clinic.query('UPDATE patients SET phone = ? WHERE id = 1', [phone]);

  async function call(path: string, body: object = {}): Promise<unknown> {
    const response = await fetch(daemon.url + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${daemon.token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(response.status, `${path}: ${await response.clone().text()}`).toBeLessThan(300);
    return response.json();
  }

  it('disables a webhook that has failed for too long, tells who wants to know, and sends what is parked in order', async () => {
    receiver.answer = ({ path }) => (path === '/webhooks/flaky' ? 503 : 204);
    await dial('1');
    await waitFor(() => sentTo('flaky').length > 0, patience('the first failure'));
    const [flaky] = await waitFor(async () => {
      const rows = await clinic.query(
        `SELECT id FROM ${storeName}.webhooks WHERE name = 'flaky' AND failing_since IS NOT NULL`,
      );
      return rows.length > 0 ? rows : null;
    }, patience('the failure on record'));
    // As if all that had been six days ago.
    await clinic.query(
      `UPDATE ${storeName}.webhooks SET failing_since = failing_since - INTERVAL 6 DAY, updated_at = updated_at - INTERVAL 6 DAY WHERE name = 'flaky'`,
    );
    const told = await waitFor(() => sentTo('watcher')[0], patience('webhook.disabled'));
    checkOwnEvent(told);
    expect(told).toMatchObject({
      event: 'webhook.disabled',
      data: { webhook_id: flaky!['id'], name: 'flaky', reason: 'failing' },
    });
    expect(daemon.log).toContainEqual(
      expect.objectContaining({ level: 'error', webhook: 'flaky', reason: 'failing' }),
    );
    await waitFor(
      async () =>
        (await daemon.get('/metrics')).body.includes(
          'odontology_webhooks_webhook_disabled{webhook="flaky"} 1',
        ),
      patience('the metric'),
    );

    receiver.answer = () => 204;
    const failures = sentTo('flaky').length;
    for (const phone of ['2', '3', '4']) await dial(phone);
    await waitFor(() => phonesTo('all').includes('4'), patience('the others'));
    expect(sentTo('flaky')).toHaveLength(failures);
    await call(`/api/webhooks/${String(flaky!['id'])}/enable`);
    await waitFor(() => phonesTo('flaky').includes('4'), patience('what was parked'));
    expect(phonesTo('flaky').slice(failures)).toEqual(['1', '2', '3', '4']);
    expect(sentTo('all').map(({ event }) => event)).not.toContain('webhook.disabled');
    expect(sentTo('watcher')).toHaveLength(1);
  });

  it('counts the questions of rules to the database by table', async () => {
    const asked = async (): Promise<number> => {
      const { body } = await daemon.get('/metrics');
      return Number(/^odontology_webhooks_lookups_total\{table="services"\} (\d+)$/m.exec(body)?.[1] ?? 0);
    };
    const before = await asked();
    await clinic.query(
      "INSERT INTO appointments (id, patient_id, doctor_id, branch_id, appointment_date, appointment_time) VALUES (990, 1, 1, 1, '2026-03-07', '09:30:00'); INSERT INTO appointment_services VALUES (990, 1, 1)",
    );
    await clinic.query("UPDATE appointments SET status = 'completed' WHERE id = 990");
    const completed = await waitFor(
      () => sentTo('all').find(({ event }) => event === 'appointment.completed'),
      patience('the appointment'),
    );
    expect(completed.data['services_rendered']).toHaveLength(1);
    expect(await asked()).toBeGreaterThan(before);
  });

  it('takes an edit by plain SQL', async () => {
    await clinic.query(
      `INSERT INTO ${storeName}.webhooks (name, url, events, secret) VALUES (?, ?, '["inventory.low_stock"]', ?)`,
      ['by SQL', `${receiver.url}/sql`, testSecret],
    );
    // One event after the other until the first that reaches it.
    for (let id = 1_000; sentTo('sql').length === 0; id += 1) {
      await clinic.query(
        "INSERT INTO inventory (id, name, category, unit, stock, min_stock, price) VALUES (?, 'Gasa', 'c', 'u', 0, 5, 1.00)",
        [id],
      );
      await waitFor(() => sentTo('all').some(({ data }) => data['item_id'] === id), patience('the event'));
    }
  });

  it('takes no payload away because of a moment that SQL changed, and says so until that is put back', async () => {
    const query = `SELECT COUNT(*) AS deliveries, COUNT(payload) AS payloads FROM ${storeName}.webhook_deliveries`;
    const [before] = await clinic.query(query);
    expect(Number(before!['payloads'])).toBeGreaterThan(0);
    // Before their seal, moments have no proof.
    await waitFor(
      async () =>
        /^odontology_webhooks_audit_unsealed_age_seconds 0$/m.test((await daemon.get('/metrics')).body),
      patience('the seal'),
    );
    await clinic.query(`UPDATE ${storeName}.event_log SET created_at = created_at - INTERVAL 91 DAY`);
    const readiness = async (): Promise<string> => (await daemon.get('/readyz')).body;
    await waitFor(async () => (await readiness()).includes('ERR_AUDIT'), patience('the refusal'));
    expect((await daemon.get('/metrics')).body.match(/^odontology_webhooks_audit_broken .*/m)?.[0]).toBe(
      'odontology_webhooks_audit_broken 1',
    );
    expect((await clinic.query(query))[0]).toEqual(before);
    await clinic.query(`UPDATE ${storeName}.event_log SET created_at = created_at + INTERVAL 91 DAY`);
    await waitFor(async () => !(await readiness()).includes('ERR_AUDIT'), patience('what was put back'));
  });

  it('continues a replay after it was killed in the middle: the same ids and bytes, each once, with a time of their own', async () => {
    const total = 30;
    // MariaDB's log tells the second of a commit.
    const [{ since } = {}] = await clinic.query(
      `SELECT DATE_FORMAT(UTC_TIMESTAMP(3), '%Y-%m-%dT%H:%i:%sZ') AS since`,
    );
    for (let id = 1; id <= total; id += 1)
      await clinic.query(
        "INSERT INTO inventory (id, name, category, unit, stock, min_stock, price) VALUES (?, 'Guantes', 'c', 'u', 0, 5, 1.00)",
        [5_000 + id],
      );
    const gloves = (): Received[] => sentTo('all').filter(({ data }) => data['name'] === 'Guantes');
    await waitFor(() => gloves().length === total, patience('the originals'));
    const originals = new Map(gloves().map((each) => [each.id, each]));
    expect(originals.size).toBe(total);
    receiver.received.length = 0;
    const replay = {
      webhook: 'all',
      events: ['inventory.low_stock'],
      since: String(since),
      reason: 'their database was restored',
      rate: 5,
    };
    await call('/api/replays', replay);
    await waitFor(() => gloves().length >= 5, patience('the first of them'));
    await daemon.kill();
    expect(gloves().length).toBeLessThan(total);
    await start();
    await waitFor(() => new Set(gloves().map(({ id }) => id)).size === total, patience('all of them'));
    await waitFor(
      async () => (await clinic.query(`SELECT state FROM ${storeName}.replays`))[0]!['state'] === 'done',
      patience('the end of the replay'),
    );
    // Requests under way when it was killed are sent again: their outcome is unknown.
    const lost = await clinic.query(`SELECT id FROM ${storeName}.attempts WHERE outcome = 'lost'`);
    expect(gloves().length).toBeLessThanOrEqual(total + lost.length);
    for (const { id, body, headers } of gloves()) {
      const original = originals.get(id)!;
      expect(body).toBe(original.body);
      expect(Number(headers['webhook-timestamp'])).toBeGreaterThanOrEqual(
        Number(original.headers['webhook-timestamp']),
      );
    }
    const times = new Set(gloves().map(({ headers }) => headers['webhook-timestamp']));
    expect(times.size).toBeGreaterThan(1);
  });
});
