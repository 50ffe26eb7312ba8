import type { Application } from './application.ts';
import { faultOf, startBenchDaemon, startReceiver } from './bench-daemon.ts';
import { benchSecret } from './bench-store.ts';
import { createClinic } from './clinic-log.ts';
import { atMost, check, judge, type Measure, type Reading } from './measure.ts';
import { machineMs } from './receiver.ts';

/** A payment is committed while the daemon is off: measures the time from the daemon's start to the webhook. */
export const coldStart: Measure = {
  name: 'cold-start',
  async run(bench) {
    const hooks = await startReceiver(bench);
    const { receiver } = hooks;
    const module = new URL('application.ts', import.meta.url).href;
    const app = await bench.part<Application>(module, 'createApplication');
    const clinic = await createClinic(bench);
    const store = await bench.schema('store');
    const first = await startBenchDaemon(bench, { clinic, store, hooks });
    await first.stop();
    const readings: Reading[] = [];
    const fromNothing: number[] = [];
    for (let round = 0; round < bench.rounds; round += 1) {
      await receiver.call('reset', {});
      await app.call('pace', { url: clinic.url, count: 1, everyMs: 1 });
      const startedMs = machineMs();
      const wallOffsetMs = Date.now() - startedMs;
      const daemon = await startBenchDaemon(bench, { clinic, store, hooks });
      await receiver.call('untilCount', 1);
      const verdict = await receiver.call('judge', { secret: benchSecret });
      const preflight = daemon.log.find(({ msg }) => msg === 'the source is ready to be read');
      await daemon.stop();
      const fault = faultOf(verdict, hooks, 1);
      check(fault === undefined, fault ?? '');
      check(preflight !== undefined, 'the daemon did not log its preflight');
      readings.push({
        ours: verdict.firstMs + wallOffsetMs - Date.parse(String(preflight!['time'])),
        limit: 1_000,
      });
      fromNothing.push(verdict.firstMs - startedMs);
    }
    const common = { unit: 'ms', against: '1 s', reach: atMost(1) };
    return [
      judge({ ...common, measure: 'cold start: end of the preflight → first delivery', readings }),
      judge({
        ...common,
        measure: 'cold start: start of the process → first delivery',
        readings: fromNothing.map((ours) => ({ ours, limit: 1_000 })),
        note: 'not asked for; it includes Node, reading the schema and the preflight',
      }),
    ];
  },
};
