import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { runCli, startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type Received, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const patience = { timeoutMs: 60_000 };

/** A port of this machine on which nothing listens. */
async function findClosedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}

describe.each(flavours)('whether a webhook is sent to, on %s', (flavour) => {
  const server = sharedServer(flavour);
  const operator = randomBytes(16).toString('hex');
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let store: string;
  let deadUrl: string;
  let env: Record<string, string>;

  beforeAll(async () => {
    clinic = await createSchema(server);
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    const closed = await findClosedPort();
    deadUrl = `http://127.0.0.1:${closed}/dead`;
    env = {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: clinic.url().replace(clinic.name, store),
    };
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: env['STORE_DATABASE_URL']!,
      tokens: `{ name: op, role: operator, sha256: "${createHash('sha256').update(operator).digest('hex')}" }`,
      yaml: `delivery: { allow_http: true, allow_private_networks: ["127.0.0.1/32"], allowed_ports: [${receiver.port}, ${closed}], retry_schedule: [1h, 2h] }
webhooks:
  - { name: pagos, url: "${deadUrl}", events: [patient.created], secret: ${testSecret} }
`,
    });
    await daemon.untilReady();
  });
  afterAll(async () => {
    await daemon.stop();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
  });

  const cli = (...args: string[]) => runCli([...args, '--config', daemon.configFile], env);

  async function api(path: string, token = daemon.token, body?: object) {
    const response = await fetch(daemon.url + path, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${token}`,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  async function addPatient(): Promise<string> {
    const name = `Prueba ${randomBytes(4).toString('hex')}`;
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES (?, ?, 'Peña', 2)",
      [randomBytes(3).readUIntBE(0, 3), name],
    );
    return name;
  }

  const sent = (name: string): Received[] =>
    receiver.received.filter(({ data }) => data['first_name'] === name);
  const untilSent = (name: string) =>
    waitFor(() => sent(name).length > 0, { ...patience, what: 'the event' });
  /** A patient whose event is in the log: then what becomes of it is decided. */
  async function addLoggedPatient(): Promise<string> {
    const [before] = await clinic.query(`SELECT COUNT(*) AS n FROM ${store}.event_log`);
    const name = await addPatient();
    await waitFor(
      async () =>
        Number((await clinic.query(`SELECT COUNT(*) AS n FROM ${store}.event_log`))[0]!['n']) >
        Number(before!['n']),
      { ...patience, what: 'the event in the log' },
    );
    return name;
  }
  const queueOf = (where: string) =>
    clinic.query(
      `SELECT q.delivery_id AS id, q.webhook_id AS webhook, q.attempt, q.due_at > UTC_TIMESTAMP(3) + INTERVAL 10 MINUTE AS isFar
       FROM ${store}.queue q JOIN ${store}.webhooks w ON w.id = q.webhook_id WHERE ${where}`,
    );
  const editFile = async (change: (text: string) => string): Promise<void> =>
    writeFile(daemon.configFile, change(await readFile(daemon.configFile, 'utf8')));

  it('keeps id, log and what is owed of one that is renamed in the file', async () => {
    await addPatient();
    const [owed] = await waitFor(
      async () => {
        const rows = await queueOf("w.name = 'pagos' AND q.attempt = 1 AND q.state = 'pending'");
        return rows.length > 0 ? rows : undefined;
      },
      { ...patience, what: 'the failed attempt' },
    );
    expect(owed).toMatchObject({ isFar: 1 });
    await editFile((text) => text.replace('name: pagos', 'name: Pagos'));
    await waitFor(() => daemon.log.find(({ msg }) => msg === 'webhook renamed in the file'), patience);
    expect(await queueOf("w.name = 'Pagos' AND w.is_active AND w.managed_by = 'file'")).toEqual([owed]);
    expect(await clinic.query(`SELECT COUNT(*) AS n FROM ${store}.webhooks`)).toEqual([{ n: 1 }]);
  });

  it('sends at once what waits for a retry when the URL is corrected', async () => {
    await editFile((text) => text.replace(deadUrl, receiver.url));
    await waitFor(() => receiver.received.length === 1, { ...patience, what: 'the delivery' });
    await waitFor(async () => (await queueOf('TRUE')).length === 0, { ...patience, what: 'an empty queue' });
  });

  it('queues and sends nothing while paused, by an operator, and sends it in order afterwards', async () => {
    expect(await api('/api/webhooks/1/pause', operator)).toMatchObject({
      status: 200,
      body: { success: true, standing: 'paused', waiting: 0 },
    });
    const held = await addLoggedPatient();
    await waitFor(async () => (await queueOf("w.name = 'Pagos'")).length === 1, patience);
    const shown = await cli('webhooks', 'pause', 'Pagos');
    expect(shown.stdout).toBe(
      'Webhook 1 (Pagos) is paused. 1 delivery waits; new events are queued, and nothing is sent before: webhooks resume.\n',
    );
    expect((await daemon.get('/metrics')).body).toContain('webhook_paused{webhook="Pagos"} 1');
    expect(sent(held)).toEqual([]);
    const resumed = await cli('webhooks', 'resume', 'Pagos');
    expect(resumed.stdout).toContain('is active. 1 delivery that waited is sent in order');
    await untilSent(held);
    expect(sent(held)).toHaveLength(1);
  });

  it('does not queue while disabled, and sends exactly what was missed when asked to', async () => {
    const { id } = (await (
      await fetch(`${daemon.url}/api/webhooks`, {
        method: 'POST',
        headers: { authorization: `Bearer ${daemon.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          ...{ name: 'api', url: `${receiver.url}/api`, events: ['patient.created'], secret: testSecret },
        }),
      })
    ).json()) as { id: number };
    const toApi = (name: string) => sent(name).filter(({ path }) => path.endsWith('/api'));
    const before = await addPatient();
    await waitFor(() => toApi(before).length === 1, patience);
    expect(await api(`/api/webhooks/${id}/pause`, operator)).toMatchObject({ status: 200 });
    expect(await api(`/api/webhooks/${id}/disable`, operator)).toMatchObject({ status: 403 });
    const disabled = await api(`/api/webhooks/${id}/disable`);
    expect(disabled.body).toMatchObject({ standing: 'inactive', waiting: 0 });
    expect(disabled.body['message']).toContain('new events are not queued');
    expect(await api(`/api/webhooks/${id}/pause`, operator)).toMatchObject({ status: 409 });
    const missed = [await addLoggedPatient(), await addLoggedPatient()];
    const enabled = await cli('webhooks', 'enable', 'api');
    expect(enabled.stdout.split('\n')).toContain(
      `Up to 2 events were not queued for it. To send what was missed: webhooks enable ${id} --missed`,
    );
    const after = await addPatient();
    await waitFor(() => toApi(after).length === 1 || sent(after).length === 1, patience);
    const again = await cli('webhooks', 'enable', 'api', '--missed');
    expect(again.stdout).toMatch(/^Replay \d+ sends up to [23] events that were missed/);
    for (const name of [...missed, after])
      await waitFor(() => toApi(name).length > 0, { ...patience, what: name });
    await waitFor(
      async () => (await clinic.query(`SELECT state FROM ${store}.replays`))[0]!['state'] === 'done',
      { ...patience, what: 'the end of the replay' },
    );
    for (const name of [before, ...missed, after]) expect(toApi(name)).toHaveLength(1);
    expect((await cli('webhooks', 'enable', 'api', '--missed')).stdout).toContain('No event was missed.');
  });

  it('has all of it on record, and proves the log', async () => {
    const acts = await clinic.query(
      `SELECT action, role FROM ${store}.audit_log WHERE action LIKE 'webhook.%' OR action LIKE 'replay.%' ORDER BY id`,
    );
    const told = acts.map(({ action, role }) => `${String(action)} ${String(role)}`);
    // When the daemon notes which events were not queued depends on when it captures them.
    expect(told.filter((act) => act !== 'webhook.missed engine')).toEqual([
      ...['webhook.create file', 'webhook.rename file', 'webhook.update file'],
      ...['webhook.pause operator', 'webhook.pause local', 'webhook.resume local', 'webhook.create admin'],
      ...['webhook.pause operator', 'webhook.disable admin', 'webhook.enable local', 'webhook.enable local'],
      ...['webhook.missed local', 'replay.create local', 'replay.end engine', 'webhook.enable local'],
    ]);
    const verified = await cli('audit', 'verify');
    expect(verified).toMatchObject({ code: 0, stderr: '' });
  });
});
