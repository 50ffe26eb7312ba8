import type { Application } from './application.ts';
import { faultOf, startBenchDaemon, startReceiver, warmUp, type Hooks } from './bench-daemon.ts';
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
import { startRelay } from './relay.ts';
import { quantile } from './spread.ts';

interface Stage {
  bench: Bench;
  hooks: Hooks;
  app: Part<Application>;
  /** Our clinic and the relay's: the backlog of one must not affect the other. */
  clinics: { ours: BenchSchema; relay: BenchSchema };
}

interface Pace {
  count: number;
  everyMs: number;
}

/** Commits at a pace, after the warm-up. Returns the time from each commit's answer to its webhook, ms. */
async function latencies(
  { bench, hooks, app }: Stage,
  clinic: BenchSchema,
  { count, everyMs }: Pace,
): Promise<number[]> {
  const { receiver } = hooks;
  await warmUp({ bench, hooks, app, clinic, connections: 1 });
  await app.call('pace', { url: clinic.url, count: 200, everyMs: 5 });
  await receiver.call('untilCount', 200);
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
  /** Findings: a quantile, and its limit as a multiple of the reference's quantile. */
  quantiles: readonly { q: number; name: string; reach: number }[];
  measure: string;
}

async function compare(stage: Stage, { pace, quantiles, measure }: Wanted): Promise<[Finding[], number[][]]> {
  const { bench, clinics, hooks } = stage;
  const relay = await startRelay(bench);
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
        hooks: hooks.urls,
        durable: true,
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
