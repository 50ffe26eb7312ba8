import { openStore } from '../../src/db/connection/client.ts';
import { insertRows } from '../../src/db/connection/sql-text.ts';
import { openMarker, type MarkedDelivery } from '../../src/db/proof/marks.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { migrateStore } from '../../src/db/schema/migrate.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { claim } from '../../src/outbox/queue/claim.ts';
import { release } from '../../src/outbox/queue/release-claims.ts';
import type { Claimant } from '../../src/outbox/types.ts';
import { atMost, check, interleave, judge, type Bench, type BenchSchema, type Measure } from './measure.ts';
import { quantile } from './spread.ts';

const webhooks = 10;
/** Deliveries of each webhook in one claim. */
const room = 20;
const claims = 20;
const markedAtOnce = 2_000;

/** Claims and releases repeatedly; only the claim is timed. */
export function createClaimer() {
  return {
    async migrate({ url }: { url: string }): Promise<void> {
      await migrateStore(parseDatabaseUrl(url));
      const store = openStore(parseDatabaseUrl(url));
      // The signing key is created only in an empty store.
      await openMarker(store, clearCipher);
      await store.close();
    },
    /** Marks the deliveries in the queue as this program does; unmarked deliveries are not sent. */
    async mark({ url }: { url: string }): Promise<void> {
      const store = openStore(parseDatabaseUrl(url));
      const marker = await openMarker(store, clearCipher);
      for (let after = 0; ;) {
        const rows = await store.rows<MarkedDelivery>(
          `SELECT q.delivery_id AS id, q.webhook_id AS webhookId, q.event_seq AS eventSeq, e.id AS eventId, e.type AS eventType, e.body
           FROM queue q JOIN event_log e ON e.seq = q.event_seq WHERE q.delivery_id > ? ORDER BY q.delivery_id LIMIT ?`,
          [after, markedAtOnce],
        );
        const last = rows.at(-1);
        if (!last) break;
        const marked = rows.map(
          (row) =>
            `(${row.id},${row.webhookId},${row.eventSeq},X'${marker.ofDelivery(row).toString('hex')}')`,
        );
        const inserts = insertRows('delivery_log (id, webhook_id, event_seq, mark)', marked);
        await store.script(inserts.map((insert) => `${insert} ON DUPLICATE KEY UPDATE mark = VALUES(mark)`));
        after = last.id;
      }
      await store.close();
    },
    async run({ url }: { url: string }): Promise<{ medianMs: number; claimed: number; distinct: number }> {
      const store = openStore(parseDatabaseUrl(url));
      const claimant: Claimant = { store, cipher: clearCipher, owner: 'bench', claimMs: 60_000 };
      const wants = Array.from({ length: webhooks }, (_, i) => ({ webhookId: i + 1, room }));
      const times: number[] = [];
      const ids = new Set<number>();
      let claimed = 0;
      for (let i = 0; i < claims; i += 1) {
        const startedMs = performance.now();
        const { deliveries } = await claim(claimant, wants);
        times.push(performance.now() - startedMs);
        claimed += deliveries.length;
        for (const { id } of deliveries) ids.add(id + i * 1e9);
        await release(claimant, deliveries);
      }
      await store.close();
      return { medianMs: quantile(times, 0.5), claimed, distinct: ids.size };
    },
  };
}

const body = `{"event":"payment.received","timestamp":"2026-03-07T15:30:00.000Z","data":${JSON.stringify({
  payment_id: 1,
  notes: 'cuota '.repeat(20),
})}}`;

/** Fills a log with `deliveries` deliveries to ten webhooks; the newest tenth is still in the queue, and all of it is due. */
async function fill(bench: Bench, { name }: BenchSchema, deliveries: number): Promise<void> {
  const events = deliveries / webhooks;
  const chunk = 50_000;
  await bench.query(`SET sql_log_bin = 0, cte_max_recursion_depth = ${chunk}; SET unique_checks = 0`);
  for (let first = 1; first <= events; first += chunk) {
    const last = Math.min(events, first + chunk - 1);
    const numbers = `(WITH RECURSIVE r AS (SELECT ${first} AS n UNION ALL SELECT n + 1 FROM r WHERE n < ${last}) SELECT n FROM r) s`;
    const webhook = Array.from({ length: webhooks }, (_, i) => `SELECT ${i + 1} AS w`).join(' UNION ');
    await bench.query(`INSERT INTO ${name}.event_log (seq, id, type, entity_table, entity_key, transaction_id, occurred_at, body)
      SELECT n, CONCAT('evt_', LEFT(SHA2(n, 256), 32)), 'payment.received', 'payments', n, CONCAT('tx-', n), UTC_TIMESTAMP(3), '${body}' FROM ${numbers}`);
    await bench.query(`INSERT INTO ${name}.delivery_log (id, webhook_id, event_seq, status, response_status, delivered_at)
      SELECT n * ${webhooks} + w, w, n, IF(n > ${events * 0.9}, 'open', 'delivered'), 200, UTC_TIMESTAMP(3) FROM ${numbers}, (${webhook}) h`);
    await bench.query(`INSERT INTO ${name}.queue (delivery_id, webhook_id, event_seq, lane, state, due_at, claimed_at, claimed_by)
      SELECT n * ${webhooks} + w, w, n, n * ${webhooks} + w, 'pending', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3), 'bench' FROM ${numbers}, (${webhook}) h WHERE n > ${events * 0.9}`);
    if (first % 200_000 === 1 && events > chunk) bench.progress(`${first - 1} of ${events} events`);
  }
  await bench.query(`ANALYZE TABLE ${name}.event_log, ${name}.delivery_log, ${name}.queue`);
  await bench.query('SET sql_log_bin = 1; SET unique_checks = 1');
}

export const claimCost: Measure = {
  name: 'claim-cost',
  async run(bench) {
    const most = { small: 100_000, normal: 1_000_000, full: 10_000_000 }[bench.scale];
    const few = 10_000;
    const claimer = await bench.part<ReturnType<typeof createClaimer>>(import.meta.url, 'createClaimer', {
      profiled: true,
    });
    const large = await bench.schema('large');
    const small = await bench.schema('few');
    for (const { url } of [large, small]) await claimer.call('migrate', { url });
    await fill(bench, large, most);
    await fill(bench, small, few);
    for (const { url } of [large, small]) await claimer.call('mark', { url });
    const run = async ({ url }: BenchSchema): Promise<number> => {
      const { medianMs, claimed, distinct } = await claimer.call('run', { url });
      check(
        claimed === claims * webhooks * room && distinct === claimed,
        `${claimed} claimed, ${distinct} distinct`,
      );
      return medianMs;
    };
    const readings = await interleave(bench.rounds, { ours: () => run(large), limit: () => run(small) });
    return [
      judge({
        measure: `claim of ${webhooks * room} deliveries, ${most.toLocaleString('en')} stored, a tenth of them pending`,
        unit: 'ms',
        against: `${few.toLocaleString('en')} stored, a tenth of them pending`,
        readings,
        reach: atMost(1.2),
      }),
    ];
  },
};
