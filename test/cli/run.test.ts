import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { startDaemonProcess, runCli, writeConfig, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, createUser, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

describe.each(flavours)('run, on %s', (flavour) => {
  const server = (): ReturnType<typeof sharedServer> => sharedServer(flavour);
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let storeName: string;
  let daemons: DaemonProcess[];

  beforeEach(async () => {
    clinic = await createSchema(server());
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    storeName = `store_${randomBytes(5).toString('hex')}`;
    daemons = [];
  });
  afterEach(async () => {
    await Promise.all(daemons.map((daemon) => daemon.kill()));
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await clinic.drop();
  });

  const storeUrl = (): string => `${server().url}/${storeName}`;
  const webhooks = (): string =>
    `webhooks: [{ name: all, url: "${receiver.url}", events: ["*"], secret: ${testSecret} }]\n${receiver.delivery}`;

  async function start(
    extra: Partial<Parameters<typeof startDaemonProcess>[0]> = {},
  ): Promise<DaemonProcess> {
    const daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: storeUrl(),
      yaml: webhooks(),
      ...extra,
    });
    daemons.push(daemon);
    return daemon;
  }

  it('turns a committed row into a verified webhook, with the grants of the README alone', async () => {
    const user = await createUser(server(), [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      `SELECT ON \`${clinic.name}\`.*`,
      `ALL ON \`${storeName}\`.*`,
    ]);
    const url = new URL(storeUrl());
    url.username = user.user;
    url.password = user.password;
    const daemon = await start({ sourceUrl: clinic.url(user), storeUrl: url.href });
    await daemon.untilReady();
    await clinic.query(
      "CALL sp_create_patient('Ñusta', 'Ibáñez 🦷', '001-1234567-8', '1990-01-02', '809-555-0000', 'n@correo.example', 1)",
    );
    const webhook = await waitFor(() => receiver.received[0], { what: 'the webhook' });
    expect(webhook.event).toBe('patient.created');
    expect(webhook.verified).toBe(true);
    expect(webhook.data).toMatchObject({ first_name: 'Ñusta', last_name: 'Ibáñez 🦷', status: 'active' });
    const [row] = await waitFor(async () => {
      const rows = await clinic.query(
        `SELECT event_type, payload, response_status, delivered_at, failed_at, retry_count FROM ${storeName}.webhook_deliveries`,
      );
      return rows[0]?.['delivered_at'] ? rows : null;
    });
    expect(row).toMatchObject({
      event_type: 'patient.created',
      payload: webhook.body,
      response_status: 204,
      failed_at: null,
      retry_count: 0,
    });
    expect(await daemon.stop()).toBe(0);
    await user.drop();
  });

  it(
    'sends what it kept encrypted after a restart, and does not start without the key',
    { timeout: 180_000 },
    async () => {
      const key = randomBytes(32).toString('base64');
      const store = 'store: { url: "${env:STORE_DATABASE_URL}", encryption_key: "${env:STORE_KEY}" }\n';
      const yaml = webhooks().replace(
        /retry_schedule: .*?\]/,
        `retry_schedule: [${Array(200).fill('1s').join()}]`,
      );
      const encrypted = { store, env: { STORE_KEY: key }, yaml };
      receiver.answer = () => 503;
      const first = await start(encrypted);
      await first.untilReady();
      await clinic.query(
        "CALL sp_create_patient('Ñusta', 'B', '001-1234567-8', '1990-01-02', '809', 'n@correo.example', 1)",
      );
      await waitFor(() => receiver.received.length > 0, { what: 'the first attempt' });
      await first.kill();
      const [stored] = await clinic.query(`SELECT body FROM ${storeName}.event_log`);
      expect(stored!['body']).toMatch(/^aes:v1:/);

      const config = await writeConfig(
        `source: { url: "${clinic.url()}" }\nstore: { url: "${storeUrl()}" }\nhttp: { listen: "127.0.0.1:0" }`,
      );
      const keyless = await runCli(['run', '--config', config.file]);
      await config.remove();
      expect(keyless).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_SECRET_KEY') as string });

      receiver.answer = () => 200;
      await start(encrypted);
      await waitFor(
        async () =>
          (await clinic.query(`SELECT 1 FROM ${storeName}.delivery_log WHERE delivered_at IS NOT NULL`))[0],
        { timeoutMs: 60_000, what: 'the delivery' },
      );
      expect(receiver.received.at(-1)).toMatchObject({ verified: true, data: { first_name: 'Ñusta' } });
      expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    },
  );

  it('retries by the schedule under the same id and bytes, and records each failure', async () => {
    let failures = 2;
    receiver.answer = () => (failures-- > 0 ? 503 : 200);
    const daemon = await start();
    await daemon.untilReady();
    await clinic.query(
      "CALL sp_create_patient('A', 'B', '001-1234567-8', '1990-01-02', '809', 'n@correo.example', 1)",
    );
    await waitFor(() => receiver.received.length === 3, { what: 'two retries' });
    expect(new Set(receiver.received.map(({ id }) => id)).size).toBe(1);
    expect(new Set(receiver.received.map(({ body }) => body)).size).toBe(1);
    const row = await waitFor(
      async () =>
        (
          await clinic.query(`SELECT * FROM ${storeName}.webhook_deliveries WHERE delivered_at IS NOT NULL`)
        )[0],
    );
    expect(row).toMatchObject({ retry_count: 2, response_status: 200 });
  });

  it(
    'loses nothing and doubles nothing in the outbox over SIGKILLs in the middle of a workload',
    { timeout: 180_000 },
    async () => {
      const writer = await clinic.connect();
      const total = 400;
      let daemon = await start();
      await daemon.untilReady();
      const kills = new Set([80, 200, 300]);
      for (let i = 1; i <= total; i += 1) {
        await writer.query(
          `INSERT INTO inventory (name, category, unit, stock, min_stock, price) VALUES ('artículo ${i}', 'c', 'u', 0, 5, 1.00)`,
        );
        if (!kills.has(i)) continue;
        await daemon.kill();
        daemon = await start();
      }
      const distinct = (): Set<unknown> => new Set(receiver.received.map(({ data }) => data['name']));
      await waitFor(() => distinct().size === total, { timeoutMs: 60_000, what: 'every event' });
      const [counts] = await clinic.query(
        `SELECT COUNT(*) AS events, COUNT(DISTINCT id) AS ids FROM ${storeName}.event_log`,
      );
      expect(counts).toEqual({ events: total, ids: total });
      const idsByName = Map.groupBy(receiver.received, ({ data }) => data['name']);
      for (const copies of idsByName.values()) expect(new Set(copies.map(({ id }) => id)).size).toBe(1);
      expect(receiver.received.every(({ verified }) => verified)).toBe(true);
    },
  );

  it('names what is not ready, with the statement that repairs it, and exits 1', async () => {
    const user = await createUser(server(), [`SELECT ON \`${clinic.name}\`.*`]);
    const config = await writeConfig(
      `source: { url: "${clinic.url(user)}" }\nstore: { url: "${storeUrl()}" }\nhttp: { listen: "127.0.0.1:0" }\n`,
    );
    const result = await runCli(['run', '--config', config.file]);
    await config.remove();
    await user.drop();
    expect(result.code).toBe(1);
    expect(result.stderr).toContain('ERR_PREFLIGHT');
    expect(result.stderr).toMatch(/^\s*GRANT .*REPLICATION SLAVE.* TO /m);
    expect(result.stderr).not.toMatch(/^\s+at /m);
  });
});
