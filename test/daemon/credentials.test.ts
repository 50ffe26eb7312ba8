import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { runCli, startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** What must be in requests alone: in a path, in a query, in a header. */
const tokens = {
  path: 'kR7vQ2xW9mZ4tB6n',
  query: 'c0ffee1234567890abcdef',
  header: 'hdr-9f8e7d6c5b4a3210',
};
const secrets = [...Object.values(tokens), testSecret.slice('whsec_'.length)];

/** What people, monitors and dumps of the store can show. */
describe('credentials of webhooks', { timeout: 120_000 }, () => {
  const server = sharedServer('mariadb');
  const storeName = `store_${randomBytes(5).toString('hex')}`;
  let schema: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let env: Record<string, string>;

  beforeAll(async () => {
    schema = await createSchema(server);
    await loadClinic(await schema.connect());
    receiver = await startTestReceiver();
    const { host } = new URL(receiver.url);
    // Nothing listens there: the connection is refused.
    const refusing = await startTestReceiver();
    const dead = new URL(refusing.url).host;
    await refusing.stop();
    env = { SOURCE_DATABASE_URL: schema.url(), STORE_DATABASE_URL: `${server.url}/${storeName}` };
    const url = (place: string): string => `http://${place}/services/${tokens.path}?key=${tokens.query}`;
    const webhook = (name: string, place: string): string =>
      `{ name: ${name}, url: "${url(place)}", events: ["patient.created"], secret: ${testSecret}, headers: { Authorization: "Bearer ${tokens.header}" } }`;
    daemon = await startDaemonProcess({
      sourceUrl: schema.url(),
      storeUrl: env['STORE_DATABASE_URL']!,
      store: `store: { url: "\${env:STORE_DATABASE_URL}", encryption_key: "${randomBytes(32).toString('base64')}" }`,
      yaml: `
log: { level: debug }
${receiver.delivery.replace(/allowed_ports: \[\d+\]/, `allowed_ports: [${host.split(':')[1]}, ${dead.split(':')[1]}]`)}
webhooks: [${webhook('alive', host)}, ${webhook('dead', dead)}]`,
    });
    await daemon.untilReady();
  });
  afterAll(async () => {
    await daemon.kill();
    await receiver.stop();
    await schema.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await schema.drop();
  });

  const found = (text: string): string[] => secrets.filter((secret) => text.includes(secret));

  it('are in the request', async () => {
    await schema.query(
      "INSERT INTO patients (id, medrecno, first_name, last_name, branch_id) VALUES (8045, 8045, 'Ana', 'Peña', 1)",
    );
    await waitFor(() => receiver.received.length > 0, { timeoutMs: 60_000, what: 'the request' });
    const [{ path, headers }] = receiver.received as [(typeof receiver.received)[0]];
    expect(path).toBe(`/services/${tokens.path}?key=${tokens.query}`);
    expect(headers.authorization).toBe(`Bearer ${tokens.header}`);
    await waitFor(
      async () =>
        (await schema.query(`SELECT 1 FROM ${storeName}.attempts WHERE outcome = 'failed'`)).length > 0,
      { timeoutMs: 60_000, what: 'a failed attempt on record' },
    );
  });

  it.each([
    '/api/webhooks',
    '/api/webhooks/1',
    '/api/webhooks/2',
    '/api/deliveries',
    '/api/deliveries/1',
    '/api/deliveries/2',
    '/api/patients/8045/deliveries',
    '/api/audit',
    '/api/status',
    '/metrics',
    '/readyz',
    '/healthz',
  ])('are not in %s', async (path) => {
    const { status, body } = await daemon.get(path);
    expect([status, found(body)]).toEqual([200, []]);
    expect(body.length).toBeGreaterThan(1);
  });

  it.each([
    'webhooks list',
    'webhooks list --json',
    'deliveries list',
    'deliveries show 1',
    'deliveries show 2',
    'deliveries export --format csv',
    'deliveries export --format json',
    'access --patient 8045',
    'audit log',
    'audit log --json',
    'audit verify',
    'status',
    'check',
  ])('are not in what `%s` prints', async (command) => {
    const { stdout, stderr } = await runCli([...command.split(' '), '--config', daemon.configFile], env);
    expect(found(stdout + stderr)).toEqual([]);
    expect(stdout).toMatch(/\S/);
  });

  it('are not in the log at the level debug, where an endpoint fails', () => {
    const text = JSON.stringify(daemon.log) + daemon.stderr();
    expect(text).toContain('"dead"');
    expect(found(text)).toEqual([]);
  });

  it('are in no table and no view of an encrypted store', async () => {
    const tables = await schema.query(
      'SELECT table_name AS name FROM information_schema.tables WHERE table_schema = ?',
      [storeName],
    );
    expect(tables.length).toBeGreaterThan(15);
    for (const { name } of tables) {
      const rows = JSON.stringify(await schema.query(`SELECT * FROM ${storeName}.\`${String(name)}\``));
      expect([name, found(rows)]).toEqual([name, []]);
    }
  });
});
