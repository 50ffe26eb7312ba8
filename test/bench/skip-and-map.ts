import type { DomainEvent } from '../../src/event/types.ts';
import type { Appender } from '../../src/outbox/append/append.ts';
import type { Appended } from '../../src/outbox/append/place-events.ts';
import { createClinic, lastNote, writeStretch, type Stretch } from './clinic-log.ts';
import { atLeast, check, interleave, judge, type Bench, type Finding, type Measure } from './measure.ts';
import { readWithCapture, readWithZongji } from './read-stretch.ts';

interface Mapped {
  elapsedMs: number;
  events: number;
  distinctIds: number;
  /** Events that follow an event of the same table with an equal or higher key. */
  outOfOrder: number;
  /** Whether the last event is the event of the last row. */
  endsRight: boolean;
}

/** Our capture without a store: reading, net changes, rules, events; the events are examined but not written. */
export function createMapper() {
  return {
    async run(stretch: Stretch): Promise<Mapped> {
      // The events themselves are not kept, because the outbox keeps none either.
      const ids = new Float64Array(stretch.rows);
      let events = 0;
      const lastKeys = new Map<string, number>();
      let outOfOrder = 0;
      let lastBody = '';
      function look({ id, entity, body }: DomainEvent): void {
        // 52 bits of the id's hash: two hundred thousand whole ids would keep the garbage collector busy.
        ids[events] = Number.parseInt(id.slice(-13), 16);
        events += 1;
        const key = Number(entity.key);
        if (key <= (lastKeys.get(entity.table) ?? 0)) outOfOrder += 1;
        lastKeys.set(entity.table, key);
        lastBody = body;
      }
      const appender: Appender = {
        append({ transactions }) {
          for (const transaction of transactions) transaction.events.forEach(look);
          return Promise.resolve({
            events: 0,
            copies: 0,
            deliveries: 0,
            erased: 0,
            fresh: [],
          } satisfies Appended);
        },
        requireFit: () => Promise.resolve(),
        advance: () => Promise.resolve(),
        stage: () => Promise.reject(new Error('nothing is huge here')),
        flip: () => Promise.resolve(),
        discard: () => Promise.resolve(),
        close: () => Promise.resolve(),
      };
      const elapsedMs = await readWithCapture(stretch, {
        appender,
        isDone: () => events >= stretch.rows,
      });
      const endsRight = lastBody.includes(lastNote);
      return { elapsedMs, events, distinctIds: new Set(ids).size, outOfOrder, endsRight };
    },
  };
}

export function createZongjiReader() {
  return { run: (stretch: Stretch) => readWithZongji(stretch) };
}

interface Pass {
  measure: string;
  unit: string;
  against: string;
  reach: number;
  count: number;
}

async function passes(bench: Bench, stretch: Stretch, pass: Pass): Promise<Finding> {
  const mapper = await bench.part<ReturnType<typeof createMapper>>(import.meta.url, 'createMapper', {
    profiled: true,
  });
  const zongji = await bench.part<ReturnType<typeof createZongjiReader>>(
    import.meta.url,
    'createZongjiReader',
  );
  const readings = await interleave(bench.rounds, {
    async ours() {
      const { elapsedMs, events, distinctIds, outOfOrder, endsRight } = await mapper.call('run', stretch);
      check(
        events === stretch.rows && distinctIds === stretch.rows && outOfOrder === 0,
        `ours made ${events} events of ${stretch.rows} rows, ${distinctIds} ids, ${outOfOrder} out of order`,
      );
      check(endsRight, 'the last event is not that of the last row');
      return (pass.count / elapsedMs) * 1_000;
    },
    async limit() {
      const { elapsedMs, rows } = await zongji.call('run', stretch);
      check(rows === stretch.rows, `zongji decoded ${rows} of ${stretch.rows} rows`);
      return (pass.count / elapsedMs) * 1_000;
    },
  });
  return judge({ ...pass, readings, reach: atLeast(pass.reach) });
}

export const skip: Measure = {
  name: 'skip',
  async run(bench) {
    const schema = await createClinic(bench);
    const rounds = { small: 20_000, normal: 100_000, full: 200_000 }[bench.scale];
    const stretch = await writeStretch(bench, schema, { kind: 'unwatched', rounds });
    const finding = await passes(bench, stretch, {
      measure: 'skip: single-row transactions of unwatched tables',
      unit: 'transactions/s',
      against: 'bare zongji skipping the same',
      reach: 0.9,
      count: stretch.transactions,
    });
    return [finding];
  },
};

export const map: Measure = {
  name: 'map',
  async run(bench) {
    const rows = { small: 10_000, normal: 60_000, full: 100_000 }[bench.scale];
    const against = 'bare zongji decoding the same rows';
    const singles = await writeStretch(bench, await createClinic(bench, rows / 2), {
      kind: 'single',
      rounds: rows / 2,
    });
    const hundreds = await writeStretch(bench, await createClinic(bench, rows * 2), {
      kind: 'hundreds',
      rounds: (rows * 4) / 100,
    });
    return [
      await passes(bench, singles, {
        measure: 'map: rows to events, single-row transactions',
        unit: 'rows/s',
        against,
        reach: 0.7,
        count: singles.rows,
      }),
      await passes(bench, hundreds, {
        measure: 'map: rows to events, 100-row transactions',
        unit: 'rows/s',
        against,
        reach: 0.7,
        count: hundreds.rows,
      }),
    ];
  },
};
