import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { runCli, startDaemonProcess, type CliResult, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const patience = (what: string) => ({ what, timeoutMs: 60_000 });
const words = 'the receiver answered 503 Service Unavailable';

describe.each(flavours)('why a delivery failed, on %s', { timeout: 240_000 }, (flavour) => {
  const server = sharedServer(flavour);
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let store: string;

  beforeAll(async () => {
    clinic = await createSchema(server);
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    daemon = await startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: `${server.url}/${store}`,
      yaml: `audit: { seal_interval: 1s }
${receiver.delivery.replace(/retry_schedule: .*]/, 'retry_schedule: [100ms, 100ms, 1h]')}
webhooks: [{ name: pagos, url: "${receiver.url}/token-in-path", events: [patient.updated], secret: ${testSecret} }]
`,
    });
    await daemon.untilReady();
  });
  afterAll(async () => {
    await daemon.kill();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
  });

  const cli = (...args: string[]): Promise<CliResult> =>
    runCli([...args, '--config', daemon.configFile], {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: `${server.url}/${store}`,
    });
  const dial = (phone: string, patient = 1): Promise<unknown> =>
    clinic.query('UPDATE patients SET phone = ? WHERE id = ?', [phone, patient]);
  const attempts = async (outcome: string): Promise<number> =>
    (await clinic.query(`SELECT id FROM ${store}.attempts WHERE outcome = ?`, [outcome])).length;
  const firstFailures = (): Record<string, unknown>[] =>
    daemon.log.filter(({ msg }) => String(msg).startsWith('a delivery failed'));

  it('is on record in words, in the log once for a series, and proved by audit verify', async () => {
    receiver.answer = () => 503;
    await dial('1');
    await waitFor(async () => (await attempts('rejected')) === 3, patience('three failed attempts'));
    const failure = { webhook: 'pagos', delivery: 1, outcome: 'rejected', explanation: words };
    expect(firstFailures()).toMatchObject([{ level: 'warn', ...failure }]);

    const { body } = await daemon.get('/api/deliveries/1');
    const { delivery } = JSON.parse(body) as { delivery: Record<string, unknown> };
    expect(delivery).toMatchObject({
      explanation: words,
      attempts: Array.from({ length: 3 }, () => ({ outcome: 'rejected', reason: null, explanation: words })),
    });
    const list = JSON.parse((await daemon.get('/api/deliveries')).body) as { deliveries: object[] };
    expect(list.deliveries).toMatchObject([{ explanation: words }]);
    expect((await cli('deliveries', 'show', '1')).stdout).toContain(`\nAttempts 1 to 3: ${words}\n`);
    const [head, row] = (await cli('deliveries', 'export')).stdout.split('\r\n');
    expect([head!.split(',').at(-1), row!.split(',').at(-1)]).toEqual(['explanation', words]);
    expect((await cli('deliveries', 'export', '--format', 'json')).stdout).toContain(words);

    receiver.answer = () => 204;
    expect((await cli('deliveries', 'retry', '1')).code).toBe(0);
    await waitFor(async () => (await attempts('delivered')) === 1, patience('the success'));
    expect(JSON.parse((await daemon.get('/api/deliveries/1')).body)).toMatchObject({
      delivery: { explanation: null },
    });
    expect(firstFailures()).toHaveLength(1);
    receiver.answer = () => 500;
    await dial('2', 2);
    await waitFor(() => firstFailures().length === 2, patience('the next series'));
    expect(firstFailures()[1]).toMatchObject({
      explanation: 'the receiver answered 500 Internal Server Error',
    });

    const verify = async (): Promise<CliResult> => cli('audit', 'verify');
    expect(await verify()).toMatchObject({ code: 0 });
    await clinic.query(`UPDATE ${store}.attempts SET explanation = 'their fault' WHERE id = 1`);
    expect(await verify()).toMatchObject({ code: 1, stdout: expect.stringContaining('attempt') });
    expect(JSON.stringify(daemon.log)).not.toContain('token-in-path');
  });
});
