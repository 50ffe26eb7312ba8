import { readFile } from 'node:fs/promises';
import { waitFor } from '../support/wait-for.ts';
import { startBenchDaemon, startReceiver } from './bench-daemon.ts';
import { createClinic } from './clinic-log.ts';
import { atMost, check, judge, type Measure } from './measure.ts';

const limitMb = 256;

/** One transaction with a great many rows, each an event, with a fast receiver: measures the daemon's peak memory. */
export const hugeTransaction: Measure = {
  name: 'huge-transaction',
  async run(bench) {
    const rows = { small: 20_000, normal: 200_000, full: 1_000_000 }[bench.scale];
    const hooks = await startReceiver(bench);
    const clinic = await createClinic(bench);
    const store = await bench.schema('store');
    await hooks.receiver.call('reset', { keep: false });
    const daemon = await startBenchDaemon(bench, { clinic, store, hooks, usualLimits: true });
    bench.defer(() => daemon.kill());
    await bench.query(`INSERT INTO ${clinic.name}.inventory (id, name, category, unit, stock, min_stock, price)
      SELECT 1000 + a.n + 100000 * b.n, CONCAT('artículo ', a.n), 'Materiales', 'u', 0, 5, 1.00
      FROM ${clinic.name}.numbers a JOIN ${clinic.name}.numbers b ON b.n < 10 WHERE a.n + 100000 * b.n < ${rows}`);
    const count = async (where: string): Promise<number> =>
      Number((await bench.query(`SELECT COUNT(*) AS n FROM ${store.name}.${where}`))[0]!['n']);
    await waitFor(async () => (await count('events')) > 0, {
      timeoutMs: 900_000,
      everyMs: 500,
      what: 'the whole transaction',
    });
    check((await count('events')) === rows, 'a part of the transaction was seen');
    check((await count('webhook_deliveries')) === rows, 'a delivery is missing');
    await hooks.receiver.call('untilCount', Math.min(rows, 50_000));
    const status = await readFile(`/proc/${daemon.pid}/status`, 'utf8');
    const mb = Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1_024;
    await daemon.stop();
    return [
      judge({
        measure: `one transaction of ${rows.toLocaleString('en')} rows: peak memory of the daemon`,
        unit: 'MiB (VmHWM)',
        against: `${limitMb} MiB`,
        readings: [{ ours: mb, limit: limitMb }],
        reach: atMost(1),
      }),
    ];
  },
};
