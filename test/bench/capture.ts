import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { createRouter } from '../../src/outbox/append/fan-out.ts';
import { openBenchStore, type BenchStore, queueColumns } from './bench-store.ts';
import { createClinic, writeStretch, type Stretch } from './clinic-log.ts';
import { atLeast, check, interleave, judge, type Bench, type Finding, type Measure } from './measure.ts';
import { readWithCapture } from './read-stretch.ts';

interface Captured {
  elapsedMs: number;
  events: number;
  ids: number;
  deliveries: number;
  queued: number;
  /** Events that follow an event of the same table with an equal or higher key. */
  outOfOrder: number;
}

/** The daemon's own capture, from the binlog to the outbox, without delivery. */
export function createCapturer() {
  let bench: BenchStore | undefined;
  return {
    async open({ storeUrl }: { storeUrl: string }): Promise<void> {
      bench = await openBenchStore(storeUrl, 'https://receiver.example/');
    },
    async run(stretch: Stretch): Promise<Captured> {
      const { store, webhooks, empty, openAppender } = bench!;
      await empty();
      const appender = await openAppender();
      let seen = 0;
      const elapsedMs = await readWithCapture(stretch, {
        appender,
        route: createRouter(webhooks),
        isDone: (events) => (seen += events) >= stretch.rows,
      });
      await appender.close();
      const [counts] = await store.rows<Omit<Captured, 'elapsedMs'>>(
        `SELECT (SELECT COUNT(*) FROM event_log) AS events, (SELECT COUNT(DISTINCT id) FROM event_log) AS ids,
           (SELECT COUNT(*) FROM delivery_log) AS deliveries, (SELECT COUNT(*) FROM queue) AS queued,
           (SELECT COUNT(*) FROM (SELECT CAST(entity_key AS UNSIGNED) AS k, LAG(CAST(entity_key AS UNSIGNED))
              OVER (PARTITION BY entity_table ORDER BY seq) AS before_it FROM event_log) o WHERE k <= before_it) AS outOfOrder`,
      );
      return { elapsedMs, ...counts! };
    },
  };
}

const rowsPerCommit = 500;
const tables = ['event_log', 'delivery_log', 'queue'] as const;

/** The driver alone: inserts the same rows that our capture wrote, from memory, by multi-row INSERTs, with the checkpoint's row. */
export function createInserter() {
  return {
    async run({ from, into }: { from: string; into: string }): Promise<{ elapsedMs: number; rows: number }> {
      const connection = await createConnection({
        uri: into,
        dateStrings: true,
        timezone: 'Z',
        charset: 'utf8mb4',
      });
      await connection.query("SET time_zone = '+00:00'");
      const wanted = new Map<string, unknown[][]>();
      for (const table of tables) {
        await connection.query(`TRUNCATE ${table}`);
        const [rows] = await connection.query<RowDataPacket[][]>({
          sql: `SELECT ${table === 'queue' ? queueColumns : '*'} FROM ${from}.${table}`,
          rowsAsArray: true,
        });
        wanted.set(table, rows);
      }
      const count = wanted.get('event_log')!.length;
      const startedMs = performance.now();
      for (let first = 0; first < count; first += rowsPerCommit) {
        await connection.query('BEGIN');
        await connection.query(
          'UPDATE checkpoint SET file = ?, `offset` = ?, next_event_seq = ? WHERE id = 1',
          ['binlog.000001', first + rowsPerCommit, first + rowsPerCommit],
        );
        for (const table of tables) {
          const rows = wanted.get(table)!.slice(first, first + rowsPerCommit);
          await connection.query(
            `INSERT INTO ${table} ${table === 'queue' ? `(${queueColumns})` : ''} VALUES ?`,
            [rows],
          );
        }
        await connection.query('COMMIT');
      }
      const elapsedMs = performance.now() - startedMs;
      const [[found]] = await connection.query<RowDataPacket[]>('SELECT COUNT(*) AS n FROM delivery_log');
      await connection.end();
      return { elapsedMs, rows: Number(found!['n']) };
    },
  };
}

interface Setting {
  measure: string;
  reach: number;
  stretch: Stretch;
}

async function compare(bench: Bench, { stretch, measure, reach }: Setting): Promise<Finding> {
  const capturer = await bench.part<ReturnType<typeof createCapturer>>(import.meta.url, 'createCapturer', {
    profiled: true,
  });
  const inserter = await bench.part<ReturnType<typeof createInserter>>(import.meta.url, 'createInserter');
  const [ours, limit] = [await bench.schema('store'), await bench.schema('plain')];
  await capturer.call('open', { storeUrl: ours.url });
  for (const table of [...tables, 'checkpoint'])
    await bench.query(`CREATE TABLE ${limit.name}.${table} LIKE ${ours.name}.${table}`);
  await bench.query(`INSERT INTO ${limit.name}.checkpoint (id) VALUES (1)`);
  const rate = (elapsedMs: number): number => (stretch.rows / elapsedMs) * 1_000;
  const readings = await interleave(bench.rounds, {
    async ours() {
      const { elapsedMs, ...counts } = await capturer.call('run', stretch);
      const { events, ids, deliveries, queued, outOfOrder } = counts;
      check(
        [events, ids, deliveries, queued].every((count) => count === stretch.rows) && outOfOrder === 0,
        `of ${stretch.rows} rows came ${JSON.stringify(counts)}`,
      );
      return rate(elapsedMs);
    },
    async limit() {
      const { elapsedMs, rows } = await inserter.call('run', { from: ours.name, into: limit.url });
      check(rows === stretch.rows, `the driver wrote ${rows} of ${stretch.rows} deliveries`);
      return rate(elapsedMs);
    },
  });
  return judge({
    measure,
    unit: 'events/s',
    against: 'mysql2 multi-row INSERT of the same rows, 500 a commit',
    readings,
    reach: atLeast(reach),
  });
}

export const captureMeasure: Measure = {
  name: 'capture',
  async run(bench) {
    const rows = { small: 10_000, normal: 40_000, full: 100_000 }[bench.scale];
    const kinds = [
      { kind: 'hundreds', rounds: rows / 100, name: '100-row transactions', reach: 0.85 },
      { kind: 'single', rounds: rows / 2, name: 'single-row transactions', reach: 0.6 },
    ] as const;
    const findings: Finding[] = [];
    for (const { kind, rounds, name, reach } of kinds) {
      const stretch = await writeStretch(bench, await createClinic(bench, rows / 2), { kind, rounds });
      findings.push(await compare(bench, { stretch, reach, measure: `capture: ${name}, durable` }));
    }
    return findings;
  },
};
