import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Contention } from '../../src/db/connection/retry-contention.ts';
import { loadClinic } from '../../src/demo/clinic.ts';
import { monotonicMs } from '../../src/lib/clock.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { labelsOf, parseExposition, type Family } from '../support/exposition.ts';
import { createSchema, flavours, sharedServer, type TestSchema } from '../support/server.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait-for.ts';

const prefix = 'odontology_webhooks_';
/** Everything that a label may be. Names of webhooks and tables are the operator's words; no value of a row is among them. */
const knownLabels = new Set([
  ...['webhook', 'outcome', 'table', 'level', 'le'],
  ...['kind', 'space', 'type', 'version', 'major', 'minor', 'patch'],
  'reason',
]);
/** `reason` is a closed list of words, by metric: the reason of a failure may be a text of a server elsewhere. */
const knownReasons: Readonly<Record<string, readonly string[]>> = {
  [`${prefix}store_retries_total`]: ['deadlock', 'lock-wait'] satisfies Contention[],
};

async function metricsOf(daemon: DaemonProcess): Promise<Map<string, Family>> {
  return parseExposition((await daemon.get('/metrics')).body);
}

async function gauge(daemon: DaemonProcess, name: string): Promise<number> {
  return (await metricsOf(daemon)).get(prefix + name)!.samples[0]!.value;
}

const insert =
  "INSERT INTO patients (medrecno, first_name, last_name, phone, branch_id) VALUES (FLOOR(RAND() * 1000000000), 'Ñusta', 'Peña', '809', 1)";

describe.each(flavours)('progress, on %s', (flavour) => {
  let clinic: TestSchema;
  let toSource: TcpProxy;
  let toStore: TcpProxy;
  let daemon: DaemonProcess;
  const storeName = `store_${randomBytes(5).toString('hex')}`;

  beforeAll(async () => {
    const server = sharedServer(flavour);
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    toSource = await startTcpProxy(server);
    toStore = await startTcpProxy(server);
    daemon = await startDaemonProcess({
      sourceUrl: toSource.through(clinic.url()),
      storeUrl: toStore.through(`${server.url}/${storeName}`),
    });
    await daemon.untilReady();
  });
  afterAll(async () => {
    await daemon.kill();
    await toSource.stop();
    await toStore.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await clinic.drop();
  });

  const untilUnready = (reason: RegExp): Promise<unknown> =>
    waitFor(
      async () => {
        const { status, body } = await daemon.get('/readyz');
        return status === 503 && reason.test(body);
      },
      { timeoutMs: 60_000, what: `not ready: ${String(reason)}` },
    );
  const untilCanaryIsBack = (): Promise<unknown> =>
    waitFor(async () => (await gauge(daemon, 'canary_age_seconds')) < 2, {
      timeoutMs: 60_000,
      what: 'the canary',
    });

  it('sees the canary come back, all read, and how long the log is kept', async () => {
    await untilCanaryIsBack();
    await waitFor(async () => (await gauge(daemon, 'lag_seconds')) === 0, { what: 'all to be read' });
    const kept = flavour === 'mysql' ? 2_592_000 : Infinity;
    await waitFor(async () => (await gauge(daemon, 'runway_seconds')) === kept, { what: 'the runway' });
    expect(await gauge(daemon, 'behind_bytes')).toBeGreaterThanOrEqual(0);
    const status = JSON.parse((await daemon.get('/api/status')).body) as { source: object; capture: object };
    expect(status.source).toMatchObject({ until_purge_ms: flavour === 'mysql' ? kept * 1_000 : null });
    expect(status.capture).toMatchObject({ role: 'capturing', failures: 0 });
    // Every watched column of every table: for the engine, not for people.
    expect(status.capture).not.toHaveProperty('baseline');
  });

  it('has metrics by the conventions, without a label that could hold data', async () => {
    await clinic.query(insert);
    await waitFor(async () => (await gauge(daemon, 'events_total')) > 0, { what: 'the event' });
    const families = await metricsOf(daemon);
    for (const [name, { type, help, samples }] of families) {
      expect(name).toMatch(/^odontology_webhooks_[a-z][a-z0-9_]*$/);
      expect(help.length).toBeGreaterThan(10);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(name).not.toMatch(/_(ms|millis|milliseconds|minutes|kb|mb|percent)(_|$)/);
      for (const sample of samples)
        expect(labelsOf(sample).filter((label) => !knownLabels.has(label))).toEqual([]);
      const reasons = samples.flatMap(({ labels: { reason } }) => reason ?? []);
      expect(reasons.toSorted()).toEqual(knownReasons[name] ?? []);
    }
    expect(families.get(`${prefix}commit_to_received_seconds`)).toMatchObject({ type: 'histogram' });
  });

  it('is not ready while the reader is frozen, says why, and is ready again', async () => {
    toSource.freeze();
    await untilUnready(/not connected|silent|canary/);
    toSource.thaw();
    await daemon.untilReady();
    await untilCanaryIsBack();
  });

  it('is not ready while the outbox stands still though the server is heard', async () => {
    const other = await clinic.connect();
    await other.query(`BEGIN; SELECT * FROM ${storeName}.checkpoint FOR UPDATE`);
    await clinic.query(insert);
    await untilUnready(/capture makes no progress: for \d+ s no canary came back through the log/);
    expect(await gauge(daemon, 'capturing')).toBe(1);
    expect(await gauge(daemon, 'canary_age_seconds')).toBeGreaterThan(5);
    expect(await gauge(daemon, 'lag_seconds')).toBeGreaterThan(1);
    await other.query('ROLLBACK');
    await daemon.untilReady();
    await untilCanaryIsBack();
  });

  it('answers with its metrics while the store is frozen or away, and leaves out the queue alone', async () => {
    await clinic.query(
      `INSERT INTO ${storeName}.queue (delivery_id, webhook_id, event_seq, state, due_at) VALUES (999, 999, 999, 'pending', UTC_TIMESTAMP(3))`,
    );
    const queued = async (): Promise<number | undefined> => {
      // Far less than the time that a statement may take.
      const response = await fetch(`${daemon.url}/metrics`, { signal: AbortSignal.timeout(20_000) });
      const families = parseExposition(await response.text());
      expect(families.get(`${prefix}capturing`)!.samples).toHaveLength(1);
      expect(families.get(`${prefix}canary_age_seconds`)!.samples).toHaveLength(1);
      return families.get(`${prefix}queue`)?.samples[0]?.value;
    };
    expect(await queued()).toBe(1);
    toStore.freeze();
    for (let scrape = 0; scrape < 12; scrape += 1) expect(await queued()).toBeUndefined();
    toStore.thaw();
    await waitFor(async () => (await queued()) === 1, { timeoutMs: 90_000, what: 'the queue to be counted' });
    toStore.refuse(true);
    toStore.cut();
    await waitFor(async () => (await queued()) === undefined, { what: 'the store to be away' });
    toStore.refuse(false);
    await waitFor(async () => (await queued()) === 1, { timeoutMs: 90_000, what: 'the queue to be counted' });
    await clinic.query(`DELETE FROM ${storeName}.queue WHERE delivery_id = 999`);
    await daemon.untilReady();
    await untilCanaryIsBack();
  });

  it('reports a store that is away once for all parts, and once when it is back', async () => {
    // Every outage that the test before made must be over: a lasting one, of the same reason, is not reported again at once.
    const lasting = (): Set<unknown> => {
      const reasons = new Set<unknown>();
      for (const { msg, error } of daemon.log) {
        if (String(msg).includes('trying again')) reasons.add(error);
        else if (msg === 'the outage is over') reasons.delete(error);
      }
      return reasons;
    };
    await waitFor(() => lasting().size === 0, { timeoutMs: 60_000, what: 'the end of the outages before' });
    const before = daemon.log.length;
    toStore.refuse(true);
    toStore.cut();
    await untilUnready(/canary|not connected/);
    const reasons = await waitFor(
      () => {
        const told = daemon.log.slice(before).filter(({ msg }) => String(msg).includes('trying again'));
        return told.length > 0 ? told.map(({ error }) => error) : null;
      },
      { what: 'the outage in the log' },
    );
    expect(reasons).toEqual([...new Set(reasons)]);
    toStore.refuse(false);
    await daemon.untilReady();
    await waitFor(() => daemon.log.slice(before).some(({ msg }) => msg === 'the outage is over'), {
      timeoutMs: 60_000,
      what: 'the end of the outage',
    });
  });

  it('makes progress in a log that ends without a transaction, with the store on another server', async () => {
    const elsewhere = sharedServer(flavour === 'mysql' ? 'mariadb' : 'mysql');
    const store = await createSchema(elsewhere);
    const apart = await startDaemonProcess({ sourceUrl: clinic.url(), storeUrl: store.url() });
    try {
      await apart.untilReady();
      await daemon.stop();
      await clinic.query('FLUSH BINARY LOGS');
      const flushedMs = monotonicMs();
      // Beyond the limit nothing has been written, and still the canary is young.
      await waitFor(
        async () => monotonicMs() - flushedMs > 7_000 && (await gauge(apart, 'canary_age_seconds')) < 5,
        { timeoutMs: 60_000, what: 'a young canary' },
      );
      expect((await apart.get('/readyz')).status).toBe(200);
    } finally {
      await apart.kill();
      await store.drop();
    }
  });
});
