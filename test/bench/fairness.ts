import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createDeliveryStore } from '../../src/daemon/delivery-store.ts';
import { Dispatcher } from '../../src/delivery/schedule/dispatcher.ts';
import { createSender } from '../../src/delivery/send/send.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { sleep } from '../../src/lib/clock.ts';
import { silentLog } from '../../src/lib/log.ts';
import type { Appender } from '../../src/outbox/append/append.ts';
import { createRouter } from '../../src/outbox/append/fan-out.ts';
import { createWebhook, loadWebhooks } from '../../src/outbox/webhook/webhook-registry.ts';
import { benchSecret, openBenchStore, type BenchStore } from './bench-store.ts';
import { paymentEvent } from './deliver.ts';
import { atMost, check, interleave, judge, type Finding, type Measure } from './measure.ts';
import { machineMs, type Receiver } from './receiver.ts';
import { quantile } from './spread.ts';

/** The faults of the failing endpoint. */
const ills = ['dead', 'slow', '429'] as const;
type Ill = (typeof ills)[number];

interface Ports {
  healthy: number;
  slow: number;
  busy: number;
}

/** A port on which nothing listens. */
const deadPort = 1;
const batch = 500;
const checkpoint = {
  lineage: 'bench',
  flavour: 'mysql',
  serverUuid: null,
  position: { gtid: null, file: 'binlog.000001', offset: 4 },
  committedAtMs: null,
  passedMs: null,
} as const;

/** The dispatcher on a real outbox: a healthy webhook, and in some runs a failing one with `parked` pending deliveries. */
export function createNeighbours() {
  let bench: BenchStore | undefined;
  let appender: Appender | undefined;
  let nextId = 1;

  const portOf = (ill: Ill, { slow, busy }: Ports): number => ({ dead: deadPort, slow, '429': busy })[ill];

  return {
    async open({
      storeUrl,
      ports,
      parked,
    }: {
      storeUrl: string;
      ports: Ports;
      parked: number;
    }): Promise<void> {
      bench = await openBenchStore(storeUrl, `http://127.0.0.1:${ports.healthy}/hook`);
      const vault = { store: bench.store, cipher: clearCipher };
      await createWebhook(vault, {
        name: 'sick',
        url: `http://127.0.0.1:${deadPort}/hook`,
        events: ['*'],
        secret: benchSecret,
        maxInFlight: 64,
      });
      const { webhooks } = await loadWebhooks(vault);
      const route = createRouter(webhooks.filter(({ name }) => name === 'sick'));
      appender = await bench.openAppender();
      for (let left = parked; left > 0; left -= batch) {
        const events = Array.from({ length: Math.min(batch, left) }, () => paymentEvent(nextId++));
        await appender.append(
          { transactions: [{ id: `tx-${nextId}`, events }], checkpoint },
          { route, room: { total: 0, of: () => 0 } },
        );
      }
    },
    /** Sends `count` events to the healthy webhook, one every `everyMs`. Returns the time of each append, by the event's id. */
    async run({
      ill,
      ports,
      count,
      everyMs,
    }: {
      ill: Ill | null;
      ports: Ports;
      count: number;
      everyMs: number;
    }) {
      const { store, claimant } = bench!;
      await store.run(
        "UPDATE queue SET state = 'pending', due_at = UTC_TIMESTAMP(3), claimed_by = NULL, attempt = 0",
      );
      const { webhooks } = await loadWebhooks({ store, cipher: clearCipher });
      const present = webhooks
        .filter(({ name }) => name !== 'sick' || ill !== null)
        .map((webhook) =>
          webhook.name === 'sick' && ill !== null
            ? { ...webhook, url: `http://127.0.0.1:${portOf(ill, ports)}/hook` }
            : webhook,
        );
      const allowedPorts = [deadPort, ...Object.values(ports)];
      const sender = createSender({
        guard: {
          allowHttp: true,
          allowPrivateNetworks: [{ cidr: '127.0.0.1/32' }],
          allowedPorts,
          forbidden: [],
        },
      });
      let failures = 0;
      const dispatcher = new Dispatcher({
        verbs: createDeliveryStore({
          claimant,
          log: silentLog,
          nameOf: String,
          disable: () => Promise.resolve(),
          onRefused: () => undefined,
        }),
        sender,
        log: silentLog,
        concurrency: 64,
        // The default of the configuration.
        retryScheduleMs: [5_000, 300_000, 1_800_000],
        onAttempt: ({ outcome }) => void (failures += outcome.kind === 'delivered' ? 0 : 1),
      });
      dispatcher.setWebhooks(present);
      dispatcher.start();
      const route = createRouter(present.filter(({ name }) => name !== 'sick'));
      const committed = new Map<number, number>();
      let dueMs = performance.now() + 500;
      for (let sent = 0; sent < count; sent += 1, dueMs += everyMs) {
        await sleep(Math.max(0, dueMs - performance.now()));
        const id = nextId++;
        const startedMs = machineMs();
        const { fresh } = await appender!.append(
          { transactions: [{ id: `tx-${id}`, events: [paymentEvent(id)] }], checkpoint },
          { route, room: dispatcher.room() },
        );
        committed.set(id, startedMs);
        dispatcher.accept(fresh);
      }
      while (dispatcher.stats().webhooks[0]!.inFlight + dispatcher.stats().webhooks[0]!.queued > 0)
        await sleep(5);
      await dispatcher.stop();
      await sender.close();
      return { committed, failures };
    },
  };
}

/** Two endpoints: one never answers, and one always answers 429 with retry-after. */
export function createSickEndpoints() {
  return {
    async listen(): Promise<{ slow: number; busy: number }> {
      const open = async (status: number | undefined): Promise<number> => {
        const server = createServer((request, response) => {
          request.resume();
          if (status !== undefined) response.writeHead(status, { 'retry-after': '1' }).end();
        });
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        return (server.address() as AddressInfo).port;
      };
      return { slow: await open(undefined), busy: await open(429) };
    },
  };
}

export const fairness: Measure = {
  name: 'fairness',
  async run(bench) {
    const parked = { small: 5_000, normal: 100_000, full: 100_000 }[bench.scale];
    const count = { small: 200, normal: 1_000, full: 2_000 }[bench.scale];
    const everyMs = 5;
    const receiver = await bench.part<Receiver>(
      new URL('receiver.ts', import.meta.url).href,
      'createReceiver',
    );
    const sick = await bench.part<ReturnType<typeof createSickEndpoints>>(
      import.meta.url,
      'createSickEndpoints',
    );
    const ports = { healthy: (await receiver.call('listen')).port, ...(await sick.call('listen')) };
    const ours = await bench.part<ReturnType<typeof createNeighbours>>(import.meta.url, 'createNeighbours', {
      profiled: true,
    });
    await ours.call('open', { storeUrl: (await bench.schema('store')).url, ports, parked });
    const findings: Finding[] = [];
    for (const ill of ills) {
      const latencies = async (present: Ill | null): Promise<number[]> => {
        await receiver.call('reset', {});
        const { committed, failures } = await ours.call('run', { ill: present, ports, count, everyMs });
        const arrived = await receiver.call('paymentTimes');
        check(arrived.size === count, `${arrived.size} of ${count} arrived`);
        check(present === null || failures > 0 || present === 'slow', 'the sick endpoint was never tried');
        return [...committed].map(([id, atMs]) => arrived.get(id)! - atMs);
      };
      const p99 = { ours: [] as number[], limit: [] as number[] };
      const side = (name: 'ours' | 'limit', present: Ill | null) => async (round: number) => {
        const times = await latencies(present);
        if (round > 0) p99[name].push(quantile(times, 0.99));
        return quantile(times, 0.5);
      };
      const readings = await interleave(bench.rounds, {
        ours: side('ours', ill),
        limit: side('limit', null),
      });
      const common = { unit: 'ms', against: 'without it', reach: atMost(1.1) };
      const measure = `fairness: a healthy endpoint beside a ${ill} one with ${parked} parked`;
      findings.push(judge({ ...common, measure: `${measure}, median from append to arrival`, readings }));
      findings.push(
        judge({
          ...common,
          measure: `${measure}, p99`,
          readings: p99.ours.map((value, index) => ({ ours: value, limit: p99.limit[index]! })),
        }),
      );
    }
    return findings;
  },
};
