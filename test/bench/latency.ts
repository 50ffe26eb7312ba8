import { createHmac } from 'node:crypto';
import { standardKey } from '../../src/delivery/signature.ts';
import { createConnection } from 'mysql2/promise';
import { Pool } from 'undici';
import type { Application } from './application.ts';
import { faultOf, startBenchDaemon, startReceiver, type Hooks } from './bench-daemon.ts';
import { benchSecret } from './bench-store.ts';
import { createClinic } from './clinic-log.ts';
import {
  atMost,
  check,
  interleave,
  judge,
  type Bench,
  type BenchSchema,
  type Finding,
  type Measure,
} from './measure.ts';
import type { Part } from './part.ts';
import { startZongji } from './read-stretch.ts';
import { quantile } from './spread.ts';

interface RelayOptions {
  url: string;
  schema: string;
  hook: string;
}

/** Bare zongji, one durable commit, undici: the least that a durable webhook takes. It keeps no position and tries nothing twice. */
export function createRelay() {
  let end: (() => Promise<void>) | undefined;
  return {
    async start({ url, schema, hook }: RelayOptions): Promise<void> {
      const connection = await createConnection(url);
      await connection.query(
        'CREATE TABLE IF NOT EXISTS relay_log (id BIGINT AUTO_INCREMENT PRIMARY KEY, body TEXT NOT NULL)',
      );
      const { origin, pathname } = new URL(hook);
      const pool = new Pool(origin, { connections: 64, pipelining: 1 });
      const key = standardKey(benchSecret);
      async function relay(row: Record<string, unknown>): Promise<void> {
        const at = new Date().toISOString();
        const data = { payment_id: row['id'], patient_id: row['patient_id'], amount: row['amount'] };
        const body = JSON.stringify({ event: 'payment.received', timestamp: at, data });
        await connection.execute('INSERT INTO relay_log (body) VALUES (?)', [body]);
        const id = `evt_${String(row['id'])}`;
        const seconds = String(Math.floor(Date.now() / 1_000));
        const signature = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64');
        const { body: answer } = await pool.request({
          method: 'POST',
          path: pathname,
          headers: {
            'content-type': 'application/json',
            'webhook-id': id,
            'webhook-timestamp': seconds,
            'webhook-signature': `v1,${signature}`,
          },
          body,
        });
        await answer.dump();
      }
      const stop = await startZongji({
        url,
        schema,
        onRow: (row) => void relay(row),
        onError(error) {
          throw error;
        },
      });
      end = async () => {
        stop();
        await pool.close();
        await connection.end();
      };
    },
    async stop(): Promise<void> {
      await end?.();
    },
  };
}

interface Stage {
  bench: Bench;
  hooks: Hooks;
  app: Part<Application>;
  /** Ours and the relay's: what one is late with must not reach the other. */
  clinics: { ours: BenchSchema; relay: BenchSchema };
}

interface Pace {
  count: number;
  everyMs: number;
}

/** Commits at a pace, after some that do not count, and gives the time from each commit's answer to its webhook, ms. */
async function latencies(
  { hooks, app }: Stage,
  clinic: BenchSchema,
  { count, everyMs }: Pace,
): Promise<number[]> {
  const { receiver } = hooks;
  const warmUp = 200;
  await receiver.call('reset', {});
  await app.call('pace', { url: clinic.url, count: warmUp, everyMs: 5 });
  await receiver.call('untilCount', warmUp);
  await receiver.call('reset', {});
  const committed = await app.call('pace', { url: clinic.url, count, everyMs });
  await receiver.call('untilCount', count);
  const fault = faultOf(await receiver.call('judge', { secret: benchSecret }), hooks, count);
  check(fault === undefined, fault ?? '');
  const received = await receiver.call('paymentTimes');
  return [...committed].map(([id, atMs]) => {
    const receivedMs = received.get(id);
    check(receivedMs !== undefined, 'a committed payment was not received');
    return receivedMs! - atMs;
  });
}

interface Wanted {
  pace: Pace;
  /** Findings: a quantile, and its limit as a multiple of the reference's. */
  quantiles: readonly { q: number; name: string; reach: number }[];
  measure: string;
}

async function compare(stage: Stage, { pace, quantiles, measure }: Wanted): Promise<[Finding[], number[][]]> {
  const { bench, clinics, hooks } = stage;
  const relay = await bench.part<ReturnType<typeof createRelay>>(import.meta.url, 'createRelay');
  const store = await bench.schema('store');
  const ours: number[][] = [];
  const limit: number[][] = [];
  await interleave(bench.rounds, {
    async ours(round) {
      const daemon = await startBenchDaemon(bench, { clinic: clinics.ours, store, hooks });
      const each = await latencies(stage, clinics.ours, pace).finally(() => daemon.stop());
      if (round > 0) ours.push(each);
      return 0;
    },
    async limit(round) {
      await relay.call('start', {
        url: clinics.relay.url,
        schema: clinics.relay.name,
        hook: hooks.urls[0]!,
      });
      const each = await latencies(stage, clinics.relay, pace).finally(() => relay.call('stop'));
      if (round > 0) limit.push(each);
      return 0;
    },
  });
  const findings = quantiles.map(({ q, name, reach }) =>
    judge({
      measure: `${measure}, ${name}`,
      unit: 'ms',
      against: 'bare zongji + one durable commit + undici',
      readings: ours.map((each, i) => ({ ours: quantile(each, q), limit: quantile(limit[i]!, q) })),
      reach: atMost(reach),
    }),
  );
  return [findings, ours];
}

export const latency: Measure = {
  name: 'latency',
  async run(bench) {
    const hooks = await startReceiver(bench);
    const module = new URL('application.ts', import.meta.url).href;
    const app = await bench.part<Application>(module, 'createApplication');
    const clinics = { ours: await createClinic(bench), relay: await createClinic(bench) };
    const stage = { bench, hooks, app, clinics };
    const quiet = { count: { small: 100, normal: 400, full: 400 }[bench.scale], everyMs: 15 };
    const [quietFindings] = await compare(stage, {
      pace: quiet,
      measure: 'latency, quiet: commit → received',
      quantiles: [
        { q: 0.5, name: 'p50', reach: 1.3 },
        { q: 0.99, name: 'p99', reach: 2 },
      ],
    });
    const busy = { count: { small: 400, normal: 1_000, full: 2_000 }[bench.scale], everyMs: 5 };
    const [busyFindings, ours] = await compare(stage, {
      pace: busy,
      measure: 'latency at 200 commits/s',
      quantiles: [{ q: 0.95, name: 'p95', reach: 3 }],
    });
    const absolute = judge({
      measure: 'latency at 200 commits/s, p95, absolute',
      unit: 'ms',
      against: '150 ms',
      readings: ours.map((each) => ({ ours: quantile(each, 0.95), limit: 150 })),
      reach: atMost(1),
    });
    return [...quietFindings, ...busyFindings, absolute];
  },
};
