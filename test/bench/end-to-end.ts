import type { Application, SeedApplication } from './application.ts';
import { faultOf, startBenchDaemon, startReceiver, warmUp, type Hooks } from './bench-daemon.ts';
import { benchSecret } from './bench-store.ts';
import { createClinic } from './clinic-log.ts';
import {
  atLeast,
  check,
  interleave,
  judge,
  type Bench,
  type BenchSchema,
  type Finding,
  type Measure,
  type Reading,
} from './measure.ts';
import type { Part } from './part.ts';
import { runBesideRelay, startRelay, type Relay } from './relay.ts';

const application = new URL('application.ts', import.meta.url).href;
const connections = 16;

interface Case {
  subscribers: number;
  delayMs: number;
  /** Compared with one and with sixteen requests in flight. */
  reach: readonly [number, number];
}

const cases: readonly Case[] = [
  { subscribers: 1, delayMs: 0, reach: [10, 4] },
  { subscribers: 5, delayMs: 0, reach: [10, 4] },
  { subscribers: 1, delayMs: 50, reach: [100, 10] },
  { subscribers: 5, delayMs: 50, reach: [100, 10] },
];

interface Stage {
  bench: Bench;
  hooks: Hooks;
  app: Part<Application>;
  seed: Part<SeedApplication>;
  relay: Part<Relay>;
  clinic: BenchSchema;
  seedClinic: BenchSchema;
  relayClinic: BenchSchema;
  store: BenchSchema;
  forMs: number;
}

/** Commits for `forMs` and waits for the last webhook. Returns the changes committed, delivered and recorded per second. */
async function runDaemon(
  { bench, hooks, app, clinic, store, forMs }: Stage,
  delayMs: number,
): Promise<number> {
  const { receiver, urls } = hooks;
  const daemon = await startBenchDaemon(bench, { clinic, store, hooks });
  try {
    await warmUp({ bench, hooks, app, clinic, connections });
    await receiver.call('reset', { delayMs });
    const { commits, firstMs } = await app.call('run', { url: clinic.url, connections, forMs });
    await receiver.call('untilCount', commits * urls.length);
    const verdict = await receiver.call('judge', { secret: benchSecret });
    const fault = faultOf(verdict, hooks, commits);
    check(fault === undefined, `ours: ${fault}`);
    check((await daemon.stop()) === 0, 'the daemon did not end in order');
    const [open] = await bench.query(
      `SELECT COUNT(*) AS n FROM ${store.name}.webhook_deliveries WHERE status <> 'delivered'`,
    );
    check(Number(open!['n']) === 0, `${Number(open!['n'])} deliveries have no outcome on record`);
    return (commits / (verdict.lastMs - firstMs)) * 1_000;
  } finally {
    await daemon.kill();
  }
}

async function runSeed(stage: Stage, delayMs: number, inFlight: number): Promise<number> {
  const { hooks, seed, seedClinic, forMs } = stage;
  await hooks.receiver.call('reset', { delayMs });
  const { commits, elapsedMs } = await seed.call('run', {
    url: seedClinic.url,
    connections: inFlight,
    forMs,
    hooks: hooks.urls,
    secret: benchSecret,
  });
  const verdict = await hooks.receiver.call('judge', { secret: benchSecret });
  const fault = faultOf(verdict, hooks, commits);
  check(fault === undefined, `the seed's design: ${fault}`);
  return (commits / elapsedMs) * 1_000;
}

/** What the machine allows: the same commits, passed on by a relay that stores nothing. */
async function runRelay({ relayClinic, ...stage }: Stage, delayMs: number): Promise<number> {
  const { commits, firstMs } = await runBesideRelay({ ...stage, clinic: relayClinic, connections, delayMs });
  const { lastMs } = await stage.hooks.receiver.call('judge', { secret: benchSecret });
  return (commits / (lastMs - firstMs)) * 1_000;
}

async function compare(stage: Stage, { subscribers, delayMs, reach }: Case): Promise<Finding[]> {
  const sixteen: number[] = [];
  const relayed: number[] = [];
  const readings = await interleave(stage.bench.rounds, {
    ours: () => runDaemon(stage, delayMs),
    async limit(round) {
      const one = await runSeed(stage, delayMs, 1);
      const many = await runSeed(stage, delayMs, 16);
      const bare = await runRelay(stage, delayMs);
      if (round > 0) {
        sixteen.push(many);
        relayed.push(bare);
      }
      return one;
    },
  });
  const against16 = readings.map(({ ours }, i): Reading => ({ ours, limit: sixteen[i]! }));
  const allowed = relayed.map((ours, i): Reading => ({ ours, limit: sixteen[i]! }));
  const names = `${subscribers} subscriber${subscribers === 1 ? '' : 's'}, receiver at ${delayMs} ms`;
  const common = { measure: `end to end: ${names}`, unit: 'commits/s delivered' };
  return [
    judge({ ...common, against: "the seed's design, 1 in flight", readings, reach: atLeast(reach[0]) }),
    judge({
      ...common,
      against: "the seed's design, 16 in flight",
      readings: against16,
      reach: atLeast(reach[1]),
    }),
    judge({
      ...common,
      measure: `what the machine allows, bare zongji + undici with nothing stored: ${names}`,
      against: "the seed's design, 16 in flight",
      readings: allowed,
    }),
  ];
}

export const endToEnd: Measure = {
  name: 'end-to-end',
  async run(bench) {
    const app = await bench.part<Application>(application, 'createApplication');
    const seed = await bench.part<SeedApplication>(application, 'createSeedApplication');
    const relay = await startRelay(bench);
    const clinic = await createClinic(bench);
    const seedClinic = await createClinic(bench);
    const relayClinic = await createClinic(bench);
    await bench.query(`CREATE TABLE ${seedClinic.name}.seed_deliveries (id BIGINT AUTO_INCREMENT PRIMARY KEY, webhook_id INT NOT NULL,
      event_type VARCHAR(64) NOT NULL, payload JSON NOT NULL, response_status INT, response_body TEXT, delivered_at DATETIME, KEY (webhook_id))`);
    const findings: Finding[] = [];
    for (const each of cases) {
      bench.progress(`${each.subscribers} subscribers, ${each.delayMs} ms`);
      const hooks = await startReceiver(bench, each.subscribers);
      const store = await bench.schema('store');
      const forMs = { small: 1_000, normal: 3_000, full: 5_000 }[bench.scale];
      findings.push(
        ...(await compare(
          { bench, hooks, app, seed, relay, clinic, seedClinic, relayClinic, store, forMs },
          each,
        )),
      );
    }
    return findings;
  },
};
