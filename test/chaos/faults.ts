import type { PrivateServer } from '../../src/demo/private-server.ts';
import { sleep } from '../../src/lib/clock.ts';
import type { DaemonKeeper } from './daemon-keeper.ts';
import type { FaultProxy } from './fault-proxy.ts';
import type { Random } from './random.ts';

export interface FaultTargets {
  server: PrivateServer;
  /** The daemon's ways to the database. */
  source: FaultProxy;
  store: FaultProxy;
  keeper: DaemonKeeper;
  /** Runs a statement on the server. */
  query(sql: string): Promise<void>;
}

type Fault = (targets: FaultTargets, random: Random) => void | Promise<void>;

const frozenMs = { least: 200, most: 5_000 };

async function freeze(proxy: FaultProxy, random: Random): Promise<void> {
  proxy.freeze();
  await sleep(frozenMs.least + random.below(frozenMs.most - frozenMs.least));
  // Half the time nothing of what was on the line arrives any more.
  if (random.chance(0.5)) proxy.cut();
  proxy.thaw();
}

const faults = {
  'daemon killed': ({ keeper }) => keeper.kill(),
  'source cut': ({ source }) => source.cut(),
  'source frozen': ({ source }, random) => freeze(source, random),
  'store cut': ({ store }) => store.cut(),
  'store frozen': ({ store }, random) => freeze(store, random),
  'log rotated': ({ query }) => query('FLUSH BINARY LOGS'),
  'server killed': async ({ server }) => {
    await server.kill('SIGKILL');
    await server.restart();
  },
  'server restarted': ({ server }) => server.restart(),
  'server stalled': async ({ server }, random) => {
    await server.kill('SIGSTOP');
    await sleep(random.below(frozenMs.most));
    await server.kill('SIGCONT');
  },
} satisfies Record<string, Fault>;

export type FaultName = keyof typeof faults;
export type FaultCounts = Record<FaultName, number>;

/** How often each comes in one round. */
const round: Record<FaultName, number> = {
  'daemon killed': 4,
  'source cut': 2,
  'source frozen': 1,
  'store cut': 2,
  'store frozen': 1,
  'log rotated': 3,
  'server killed': 1,
  'server restarted': 1,
  'server stalled': 1,
};

/** Deals out faults in random order and at random moments until the signal aborts, each healed before the next. */
export async function deal(
  targets: FaultTargets,
  { random, meanPauseMs }: { random: Random; meanPauseMs: number },
  signal: AbortSignal,
): Promise<FaultCounts> {
  const names = Object.keys(faults) as FaultName[];
  const counts = Object.fromEntries(names.map((name) => [name, 0])) as FaultCounts;
  // One of each first, so that a short run has seen them all.
  let deck = random.shuffled(names);
  while (!signal.aborted) {
    await sleep(-Math.log(1 - random.next()) * meanPauseMs, signal);
    if (signal.aborted) break;
    const name = deck.pop()!;
    await faults[name](targets, random);
    counts[name] += 1;
    if (deck.length === 0)
      deck = random.shuffled(names.flatMap((each) => Array<FaultName>(round[each]).fill(each)));
  }
  return counts;
}
