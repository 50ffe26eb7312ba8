import type { Application } from './application.ts';
import { faultOf, startBenchDaemon, startReceiver, warmUp } from './bench-daemon.ts';
import { benchSecret } from './bench-store.ts';
import { createClinic } from './clinic-log.ts';
import { runBesideRelay, startRelay } from './relay.ts';
import { atLeast, check, interleave, judge, type Finding, type Measure } from './measure.ts';

/** The daemon's effect on the application's write rate on the same machine: the application commits at full speed, with and without it. */
export const writeRate: Measure = {
  name: 'write-rate',
  async run(bench) {
    const hooks = await startReceiver(bench);
    const { receiver } = hooks;
    const module = new URL('application.ts', import.meta.url).href;
    const app = await bench.part<Application>(module, 'createApplication');
    const relay = await startRelay(bench);
    const clinic = await createClinic(bench);
    // Changes written without the daemon must not form a backlog for its next start.
    const off = await createClinic(bench);
    const store = await bench.schema('store');
    const forMs = { small: 1_000, normal: 3_000, full: 5_000 }[bench.scale];
    const findings: Finding[] = [];
    for (const connections of [1, 16]) {
      const run = { url: clinic.url, connections, forMs };
      const rate = ({ commits, elapsedMs }: { commits: number; elapsedMs: number }): number =>
        (commits / elapsedMs) * 1_000;
      const besideRelay: number[] = [];
      const readings = await interleave(bench.rounds, {
        async ours() {
          const daemon = await startBenchDaemon(bench, { clinic, store, hooks });
          await warmUp({ bench, hooks, app, clinic, connections });
          const result = await app.call('run', run);
          await receiver.call('untilCount', result.commits);
          await daemon.stop();
          const fault = faultOf(await receiver.call('judge', { secret: benchSecret }), hooks, result.commits);
          check(fault === undefined, fault ?? '');
          return rate(result);
        },
        async limit(round) {
          const beside = rate(await runBesideRelay({ relay, hooks, app, clinic: off, connections, forMs }));
          if (round > 0) besideRelay.push(beside);
          return rate(await app.call('run', { ...run, url: off.url }));
        },
      });
      const names = `${connections} connection${connections === 1 ? '' : 's'} at full speed`;
      findings.push(
        judge({
          measure: `the application's own writes, ${names}`,
          unit: 'commits/s',
          against: 'the same without the daemon',
          readings,
          reach: atLeast(0.9),
        }),
        judge({
          measure: `what the machine allows, beside bare zongji + undici with nothing stored: ${names}`,
          unit: 'commits/s',
          against: 'the same alone',
          readings: readings.map(({ limit }, i) => ({ ours: besideRelay[i]!, limit })),
        }),
      );
    }
    return findings;
  },
};
