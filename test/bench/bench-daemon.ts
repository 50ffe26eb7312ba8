import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import type { Application } from './application.ts';
import { benchSecret } from './bench-store.ts';
import type { Bench, BenchSchema } from './measure.ts';
import type { Part } from './part.ts';
import type { Receiver, Verdict } from './receiver.ts';

export interface Hooks {
  receiver: Part<Receiver>;
  urls: readonly string[];
  ports: readonly number[];
}

/** Starts a receiver with `endpoints` endpoints, each with its own origin. */
export async function startReceiver(bench: Bench, endpoints = 1): Promise<Hooks> {
  const module = new URL('receiver.ts', import.meta.url).href;
  const receiver = await bench.part<Receiver>(module, 'createReceiver');
  const ports: number[] = [];
  for (let i = 0; i < endpoints; i += 1) ports.push((await receiver.call('listen')).port);
  return { receiver, ports, urls: ports.map((port, i) => `http://127.0.0.1:${port}/hook-${i + 1}`) };
}

export interface BenchDaemonOptions {
  clinic: BenchSchema;
  store: BenchSchema;
  hooks: Hooks;
  /** Uses the daemon's default limits instead of limits that a fast receiver does not reach. */
  usualLimits?: boolean;
}

/** The whole daemon, started as users start it. */
export async function startBenchDaemon(
  bench: Bench,
  { clinic, store, hooks, usualLimits = false }: BenchDaemonOptions,
): Promise<DaemonProcess> {
  const webhooks = hooks.urls.map(
    (url, i) =>
      `  - { name: "hook ${i + 1}", url: "${url}", events: ["*"], secret: ${benchSecret}${usualLimits ? '' : ', max_in_flight: 256'} }`,
  );
  const daemon = await startDaemonProcess({
    sourceUrl: clinic.url,
    storeUrl: store.url,
    yaml: `
webhooks:
${webhooks.join('\n')}
delivery:
  ${usualLimits ? '' : 'concurrency: 512'}
  allow_http: true
  allow_private_networks: ["127.0.0.1/32"]
  allowed_ports: [${hooks.ports.join(', ')}]
`,
    env:
      bench.profileDir === undefined ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${bench.profileDir}` },
  });
  await daemon.untilReady();
  return daemon;
}

interface WarmUp {
  bench: Bench;
  hooks: Hooks;
  app: Part<Application>;
  clinic: BenchSchema;
  connections: number;
}

/**
 * Uncounted work for a daemon that has just started and is to be measured as a running one: while V8 still interprets,
 * a change takes 386 µs of processor time, after 30,000 changes 223 µs. The processes that it is compared with run through all rounds.
 */
export async function warmUp({ bench, hooks, app, clinic, connections }: WarmUp): Promise<void> {
  const { receiver, urls } = hooks;
  const forMs = { small: 500, normal: 3_000, full: 8_000 }[bench.scale];
  await receiver.call('reset', {});
  const { commits } = await app.call('run', { url: clinic.url, connections, forMs });
  await receiver.call('untilCount', commits * urls.length);
  await receiver.call('reset', {});
}

/** Describes what is wrong if each endpoint of a receiver should have got `wanted` requests; undefined if nothing is wrong. */
export function faultOf(verdict: Verdict, { urls }: Hooks, wanted: number): string | undefined {
  const counts = urls.map((url) => verdict.counts[new URL(url).pathname] ?? 0);
  const { doubled, unverified, outOfOrder } = verdict;
  const whole = counts.every((count) => count === wanted);
  if (whole && doubled + unverified + outOfOrder === 0) return undefined;
  return `received ${counts.join(', ')} of ${wanted}; ${doubled} twice, ${unverified} unverified, ${outOfOrder} out of order`;
}
