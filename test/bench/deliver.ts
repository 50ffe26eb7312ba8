import { createHmac } from 'node:crypto';
import { pino } from 'pino';
import { Pool } from 'undici';
import { createDeliveryStore } from '../../src/daemon/delivery-store.ts';
import { Dispatcher } from '../../src/delivery/schedule/dispatcher.ts';
import { createSender } from '../../src/delivery/send/send.ts';
import { standardKey } from '../../src/delivery/send/signature.ts';
import type { DomainEvent } from '../../src/event/types.ts';
import { sleep } from '../../src/lib/clock.ts';
import { createRouter } from '../../src/outbox/append/fan-out.ts';
import { benchSecret, openBenchStore, queueColumns, type BenchStore } from './bench-store.ts';
import { atLeast, check, interleave, judge, type Measure } from './measure.ts';
import type { Receiver } from './receiver.ts';

const concurrency = 64;

interface Job {
  url: string;
  count: number;
}

function bodyOf(id: number): string {
  return `{"event":"payment.received","timestamp":"2026-03-07T15:30:00.000Z","data":{"payment_id":${id},"patient_id":45,"budget_id":null,"amount":1500.50,"payment_method":"transfer","notes":"cuota ${id}, recepción","processed_by":1,"timestamp":"2026-03-07T15:30:00.000Z"}}`;
}

export function paymentEvent(id: number): DomainEvent {
  return {
    id: `evt_${id.toString(16).padStart(32, '0')}`,
    type: 'payment.received',
    occurredAtMs: Date.parse('2026-03-07T15:30:00.000Z'),
    entity: { table: 'payments', key: String(id) },
    body: bodyOf(id),
    subject: '45',
    data: {},
    column: () => undefined,
  };
}

/** The dispatcher on a full outbox: claims, sends, records. */
export function createDeliverer() {
  let bench: BenchStore | undefined;

  /** Restores a full queue, as capture left it. */
  async function refill({ store }: BenchStore): Promise<void> {
    await store.script([
      'DELETE FROM queue',
      `INSERT INTO queue (${queueColumns}) SELECT ${queueColumns} FROM full_queue`,
      'TRUNCATE attempts',
      "UPDATE delivery_log SET status = 'open', response_status = NULL, response_body = NULL, delivered_at = NULL, reserve = REPEAT(' ', 16)",
    ]);
  }

  return {
    async open({ storeUrl, url, count }: Job & { storeUrl: string }): Promise<void> {
      bench = await openBenchStore(storeUrl, url);
      const appender = await bench.openAppender();
      const checkpoint = {
        lineage: 'bench',
        flavour: 'mysql',
        serverUuid: null,
        position: { gtid: null, file: 'binlog.000001', offset: 4 },
        committedAtMs: null,
        passedMs: null,
      } as const;
      for (let first = 1; first <= count; first += 500) {
        const events = Array.from({ length: Math.min(500, count - first + 1) }, (_, i) =>
          paymentEvent(first + i),
        );
        await appender.append(
          { transactions: [{ id: `tx-${first}`, events }], checkpoint },
          { route: createRouter(bench.webhooks), room: { total: 0, of: () => 0 } },
        );
      }
      await appender.close();
      await bench.store.run(`CREATE TABLE full_queue AS SELECT ${queueColumns} FROM queue`);
    },
    async run({ url, count }: Job): Promise<{ elapsedMs: number; recorded: number; attempts: number }> {
      const { store, claimant, webhooks } = bench!;
      await refill(bench!);
      const log = pino({ level: 'silent' });
      const sender = createSender({
        guard: {
          allowHttp: true,
          allowPrivateNetworks: [{ cidr: '127.0.0.1/32' }],
          allowedPorts: [Number(new URL(url).port)],
          forbidden: [],
        },
      });
      let ended = 0;
      const dispatcher = new Dispatcher({
        verbs: createDeliveryStore({
          claimant,
          log,
          nameOf: String,
          disable: () => Promise.resolve(),
          onRefused: () => undefined,
        }),
        sender,
        log,
        concurrency,
        retryScheduleMs: [60_000],
        onAttempt: () => void (ended += 1),
      });
      dispatcher.setWebhooks(webhooks);
      const startedMs = performance.now();
      dispatcher.start();
      while (ended < count || dispatcher.stats().unsettled > 0) await sleep(1);
      const elapsedMs = performance.now() - startedMs;
      await dispatcher.stop();
      await sender.close();
      const [counts] = await store.rows<{ recorded: number; attempts: number }>(
        `SELECT (SELECT COUNT(*) FROM delivery_log WHERE status = 'delivered') - (SELECT COUNT(*) FROM queue) AS recorded,
           (SELECT COUNT(*) FROM attempts) AS attempts`,
      );
      return { elapsedMs, ...counts! };
    },
  };
}

/** undici alone: the same bodies, signed, from memory, at the same concurrency; the answers are not stored. */
export function createRequester() {
  return {
    async run({ url, count }: Job): Promise<{ elapsedMs: number; failed: number }> {
      const { origin, pathname } = new URL(url);
      const pool = new Pool(origin, { connections: concurrency, pipelining: 1 });
      const key = standardKey(benchSecret);
      let next = 1;
      let failed = 0;
      const startedMs = performance.now();
      async function work(): Promise<void> {
        while (next <= count) {
          const id = (next += 1) - 1;
          const body = bodyOf(id);
          const eventId = paymentEvent(id).id;
          const timestamp = String(Math.floor(Date.now() / 1_000));
          const signature = createHmac('sha256', key)
            .update(`${eventId}.${timestamp}.${body}`)
            .digest('base64');
          const { statusCode, body: answer } = await pool.request({
            method: 'POST',
            path: pathname,
            headers: {
              'content-type': 'application/json',
              'webhook-id': eventId,
              'webhook-timestamp': timestamp,
              'webhook-signature': `v1,${signature}`,
            },
            body,
          });
          await answer.dump();
          if (statusCode !== 200) failed += 1;
        }
      }
      await Promise.all(Array.from({ length: concurrency }, work));
      const elapsedMs = performance.now() - startedMs;
      await pool.close();
      return { elapsedMs, failed };
    },
  };
}

export const deliver: Measure = {
  name: 'deliver',
  async run(bench) {
    const count = { small: 5_000, normal: 30_000, full: 60_000 }[bench.scale];
    const receiver = await bench.part<Receiver>(
      new URL('receiver.ts', import.meta.url).href,
      'createReceiver',
    );
    const { port } = await receiver.call('listen');
    const job = { url: `http://127.0.0.1:${port}/hook`, count };
    const deliverer = await bench.part<ReturnType<typeof createDeliverer>>(
      import.meta.url,
      'createDeliverer',
      { profiled: true },
    );
    const requester = await bench.part<ReturnType<typeof createRequester>>(
      import.meta.url,
      'createRequester',
    );
    await deliverer.call('open', { ...job, storeUrl: (await bench.schema('store')).url });
    const untilReceived = async (who: string): Promise<void> => {
      const { counts, doubled, unverified } = await receiver.call('judge', { secret: benchSecret });
      check(
        counts['/hook'] === count && doubled === 0 && unverified === 0,
        `${who}: received ${counts['/hook']} of ${count}, ${doubled} twice, ${unverified} unverified`,
      );
    };
    const readings = await interleave(bench.rounds, {
      async ours() {
        await receiver.call('reset', {});
        const { elapsedMs, recorded, attempts } = await deliverer.call('run', job);
        check(
          recorded === count && attempts === count,
          `${recorded} outcomes and ${attempts} attempts recorded of ${count}`,
        );
        await untilReceived('ours');
        return (count / elapsedMs) * 1_000;
      },
      async limit() {
        await receiver.call('reset', {});
        const { elapsedMs, failed } = await requester.call('run', job);
        check(failed === 0, `${failed} requests of undici failed`);
        await untilReceived('undici');
        return (count / elapsedMs) * 1_000;
      },
    });
    return [
      judge({
        measure: 'deliver: a full outbox to a fast receiver, outcomes recorded',
        unit: 'deliveries/s',
        against: `undici request with one HMAC, ${concurrency} in flight, nothing recorded`,
        readings,
        reach: atLeast(0.5),
      }),
    ];
  },
};
