import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadClinic } from '../../src/demo/clinic.ts';
import { checkOwnEvent } from '../support/check-own-event.ts';
import { runCli, startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type Received, type TestReceiver } from '../support/receiver.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const patience = (what: string) => ({ what, timeoutMs: 60_000 });
const types = [
  ...['webhook.failing', 'delivery.exhausted', 'capture.halted', 'capture.resumed', 'audit.stopped'],
];

/** Two daemons on one store, one of which is killed in between: every occasion has one event all the same. */
describe.each(flavours)('events about the installation, on %s', { timeout: 300_000 }, (flavour) => {
  const server = sharedServer(flavour);
  let clinic: TestSchema;
  let receiver: TestReceiver;
  let daemons: DaemonProcess[];
  let store: string;

  const start = (): Promise<DaemonProcess> => {
    const webhook = (name: string, events: readonly string[]): string =>
      `  - { name: ${name}, url: "${receiver.url}/${name}", secret: ${testSecret}, order: none, events: [${events.join(', ')}] }\n`;
    return startDaemonProcess({
      sourceUrl: clinic.url(),
      storeUrl: `${server.url}/${store}`,
      yaml: `audit: { seal_interval: 1s }
${receiver.delivery.replace(/retry_schedule: .*]/, 'retry_schedule: [100ms, 5s]')}
webhooks:
${webhook('watcher', types)}${webhook('all', ['"*"'])}${webhook('dead', ['patient.updated', ...types])}`,
    });
  };

  beforeAll(async () => {
    clinic = await createSchema(server);
    store = `store_${clinic.name}`;
    await loadClinic(await clinic.connect());
    receiver = await startTestReceiver();
    receiver.answer = ({ path }) => (path.endsWith('/dead') ? 503 : 204);
    daemons = [await start(), await start()];
    await daemons[0]!.untilReady();
  });
  afterAll(async () => {
    for (const daemon of daemons) await daemon.kill();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${store}`);
    await clinic.drop();
  });

  const sentTo = (name: string, type: string): Received[] =>
    receiver.received.filter(({ path, event }) => path.endsWith(`/${name}`) && event === type);
  const watched = (type: string): Promise<Received> =>
    waitFor(() => sentTo('watcher', type)[0], patience(type));
  const cli = (...args: string[]) =>
    runCli([...args, '--config', daemons[0]!.configFile], {
      SOURCE_DATABASE_URL: clinic.url(),
      STORE_DATABASE_URL: `${server.url}/${store}`,
    });
  let phone = 0;
  const dial = (): Promise<unknown> =>
    clinic.query('UPDATE patients SET phone = ? WHERE id = 1', [String((phone += 1))]);
  const dead = async () =>
    (await clinic.query(`SELECT id, failing_since FROM ${store}.webhooks WHERE name = 'dead'`))[0]!;
  async function restart(): Promise<void> {
    await daemons.shift()!.kill();
    daemons.push(await start());
  }

  it('name a webhook that has failed for an hour, once until it succeeds, also to that webhook itself', async () => {
    await dial();
    await waitFor(async () => (await dead())['failing_since'], patience('the first failure'));
    expect(sentTo('watcher', 'webhook.failing')).toEqual([]);
    await clinic.query(
      `UPDATE ${store}.webhooks SET failing_since = failing_since - INTERVAL 1 HOUR, updated_at = updated_at - INTERVAL 2 HOUR WHERE name = 'dead'`,
    );
    await waitFor(
      async () => {
        await dial();
        return sentTo('watcher', 'webhook.failing')[0];
      },
      { ...patience('webhook.failing'), everyMs: 500 },
    );
    expect((await watched('webhook.failing')).data).toMatchObject({
      webhook_id: (await dead())['id'],
      name: 'dead',
    });
    await waitFor(() => sentTo('dead', 'webhook.failing').length > 0, patience('its own failure'));
  });

  it('name each delivery that is given up, but none of these events', async () => {
    const given = await watched('delivery.exhausted');
    const [row] = await clinic.query(`SELECT * FROM ${store}.webhook_deliveries WHERE id = ?`, [
      given.data['delivery_id'],
    ]);
    expect(row).toMatchObject({
      status: 'exhausted',
      event_id: given.data['event_id'],
      webhook_id: (await dead())['id'],
    });
    expect(given.data).toMatchObject({
      attempts: 3,
      outcome: 'rejected',
      response_status: 503,
      reason: null,
    });
    // Until the dead webhook's own copies are given up as well.
    const exhausted = (where: string): Promise<Record<string, unknown>[]> =>
      clinic.query(`SELECT id FROM ${store}.webhook_deliveries WHERE status = 'exhausted' AND ${where}`);
    await waitFor(
      async () => (await exhausted("event_type = 'delivery.exhausted'")).length > 0,
      patience('those'),
    );
    await waitFor(
      async () =>
        (await clinic.query(`SELECT 1 FROM ${store}.queue`)).length === 0 &&
        (await clinic.query(`SELECT 1 FROM ${store}.exhausted_deliveries`)).length === 0,
      patience('the end of all'),
    );
    const ids = (await exhausted("event_type <> 'delivery.exhausted'")).map(({ id }) => id);
    const announced = sentTo('watcher', 'delivery.exhausted').map(({ data }) => data['delivery_id']);
    expect(announced.toSorted()).toEqual(ids.toSorted());
  });

  it('say that capture halted, while it is halted, and that it resumed', async () => {
    await clinic.query('TRUNCATE TABLE inventory');
    const halted = await watched('capture.halted');
    expect(halted.data).toMatchObject({ reason: 'truncate', table: `${clinic.name}.inventory` });
    await restart();
    await waitFor(() =>
      daemons.some(({ log }) => log.filter(({ reason }) => reason === 'truncate').length > 0),
    );
    await restart();
    expect(sentTo('watcher', 'capture.resumed')).toEqual([]);
    const resumed = await cli('resume', '--accept-gap', '--reason', 'test data', '--yes');
    expect(resumed).toMatchObject({ code: 0 });
    const { data } = await watched('capture.resumed');
    expect(data).toMatchObject({
      ...{ halted_event: halted.id, halted_at: halted.data['timestamp'], accepted: true },
    });
  });

  it('say that the log is not sealed any more', async () => {
    const edit = `UPDATE ${store}.seals SET signature = REVERSE(signature) ORDER BY number DESC LIMIT 1`;
    await clinic.query(edit);
    expect((await watched('audit.stopped')).data).toMatchObject({ why: 'broken' });
    await restart();
    await clinic.query(edit);
    await waitFor(
      async () => (await daemons[0]!.get('/readyz')).status === 200,
      patience('what was put back'),
    );
  });

  it('are as their schemas say, were sent once each, and reached no webhook that did not name them', async () => {
    const own = receiver.received.filter(({ event }) => types.includes(event));
    own.forEach(checkOwnEvent);
    expect(new Set(own.map(({ event }) => event))).toEqual(new Set(types));
    const log = await clinic.query(`SELECT type FROM ${store}.event_log WHERE type IN (?)`, [types]);
    const times = (type: string): number => log.filter((each) => each['type'] === type).length;
    expect(types.filter((type) => type !== 'delivery.exhausted').map((type) => [type, times(type)])).toEqual([
      ...[
        ['webhook.failing', 1],
        ['capture.halted', 1],
        ['capture.resumed', 1],
        ['audit.stopped', 1],
      ],
    ]);
    expect(own.some(({ path }) => path.endsWith('/all'))).toBe(false);
  });
});
