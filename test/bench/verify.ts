import { readFile } from 'node:fs/promises';
import { recordAct, type Actor } from '../../src/audit/act/record-act.ts';
import { recordAlong } from '../../src/audit/act/record-along.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { openStore } from '../../src/db/connection/client.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { ensureInstallation } from '../../src/db/schema/installation.ts';
import { openMarker } from '../../src/db/proof/marks.ts';
import { migrateStore } from '../../src/db/schema/migrate.ts';
import { insertRows, literal } from '../../src/db/connection/sql-text.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { insertAttemptRows } from '../../src/outbox/queue/insert-attempts.ts';
import { toSqlDatetime } from '../../src/outbox/sql-datetime.ts';
import { withReceivers } from '../../src/outbox/webhook/receivers.ts';
import { createWebhook, loadWebhooks } from '../../src/outbox/webhook/webhook-registry.ts';
import { atLeast, atMost, check, judge, type Measure } from './measure.ts';

const bench: Actor = { name: 'bench', role: 'local' };
const webhook = { name: 'bench', url: 'https://receiver.example/hook' };
/** Rows inserted at once into each of the three logs; one seal of the daemon has the same size. */
const rowsAtOnce = 1_000;
const patients = 10_000;
/** Entries for every attempt: an event, a delivery, an attempt. */
const entriesOfAttempt = 3;

interface Sealed {
  entries: number;
  elapsedMs: number;
}

interface Verified {
  ok: boolean;
  why: string;
  entries: number;
  deliveries: number;
  elapsedMs: number;
}

/** A store whose deliveries all succeeded at the first attempt, sealed as the daemon seals it, and then verified. */
export function createVerifier() {
  return {
    async fill({ url, attempts }: { url: string; attempts: number }): Promise<void> {
      const address = parseDatabaseUrl(url);
      await migrateStore(address);
      const store = openStore(address);
      await ensureInstallation(store);
      const vault = { store, cipher: clearCipher };
      await createWebhook(
        vault,
        { ...webhook, events: ['*'] },
        recordAlong(clearCipher, { actor: bench, action: 'webhook.create' }),
      );
      const [{ receiver } = {}] = await withReceivers(store, (await loadWebhooks(vault)).webhooks);
      const marker = await openMarker(store, clearCipher);
      const startMs = Date.parse('2026-03-02T08:00:00.000Z');
      for (let from = 1; from <= attempts; from += rowsAtOnce) {
        const numbers = Array.from({ length: Math.min(rowsAtOnce, attempts - from + 1) }, (_, n) => from + n);
        const at = (n: number): string => toSqlDatetime(startMs + n * 100);
        const idOf = (n: number): string => `evt_${String(n).padStart(32, '0')}`;
        const events = numbers.map((n) => {
          const body = JSON.stringify({
            event: 'payment.received',
            timestamp: new Date(startMs + n * 100).toISOString(),
            data: { payment_id: n, patient_id: n % patients, notes: 'cuota '.repeat(20) },
          });
          return `(${n},'${idOf(n)}','payment.received','payments','${n}','${n % patients}','tx-${n}','${at(n)}','${at(n)}',${literal(body)})`;
        });
        const deliveries = numbers.map((n) => `(${n},1,${n},'delivered',200,'${at(n)}','${at(n)}','ok')`);
        const rows = numbers.map((n) => ({
          ...{ delivery: n, number: 1, startedAt: at(n), durationMs: 12, outcome: 'delivered' },
          ...{
            responseStatus: 200,
            reason: null,
            explanation: null,
            recordedAt: at(n),
            receiver: receiver!,
            webhook: 1,
          },
          ...{ eventId: idOf(n), eventType: 'payment.received' },
        }));
        await store.commit([
          ...insertRows(
            'event_log (seq, id, type, entity_table, entity_key, subject, transaction_id, occurred_at, created_at, body)',
            events,
          ),
          ...insertRows(
            'delivery_log (id, webhook_id, event_seq, status, response_status, delivered_at, created_at, response_body)',
            deliveries,
          ),
          ...insertAttemptRows(rows, marker),
          `UPDATE checkpoint SET next_event_seq = ${from + numbers.length}, next_delivery_id = ${from + numbers.length}, staging = 2`,
        ]);
      }
      await recordAct(store, clearCipher, { actor: bench, action: 'delivery.read', target: '1' });
      await store.close();
    },
    async seal({ url }: { url: string }): Promise<Sealed> {
      const store = openStore(parseDatabaseUrl(url));
      const startedMs = performance.now();
      let entries = 0;
      for (let seal = await sealOnce({ store, cipher: clearCipher }); seal;) {
        entries += seal.entries;
        seal = await sealOnce({ store, cipher: clearCipher });
      }
      const elapsedMs = performance.now() - startedMs;
      await store.close();
      return { entries, elapsedMs };
    },
    async verify({ url }: { url: string }): Promise<Verified> {
      const store = openStore(parseDatabaseUrl(url));
      const startedMs = performance.now();
      const { ok, flaw, entries, deliveries } = await verifyLog({ store, cipher: clearCipher });
      const elapsedMs = performance.now() - startedMs;
      await store.close();
      return { ok, why: flaw?.message ?? '', entries, deliveries, elapsedMs };
    },
  };
}

type Verifier = ReturnType<typeof createVerifier>;

const wantedRate = 10_000;
const wantedMb = 512;

/** `audit verify` over a log of many entries: its rate, the peak memory of its process, and the rate of sealing. */
export const verify: Measure = {
  name: 'verify',
  async run(bench) {
    const attempts = { small: 20_000, normal: 100_000, full: 333_333 }[bench.scale];
    const { url } = await bench.schema('sealed');
    const filler = await bench.part<Verifier>(import.meta.url, 'createVerifier');
    await filler.call('fill', { url, attempts });
    bench.progress(`${attempts} attempts are there`);
    const sealer = await bench.part<Verifier>(import.meta.url, 'createVerifier');
    const sealed = await sealer.call('seal', { url });
    check(sealed.entries >= attempts * entriesOfAttempt, `${sealed.entries} entries sealed`);
    const rateOf = (elapsedMs: number): number => (attempts / elapsedMs) * 1_000;
    const rates: number[] = [];
    let mb = 0;
    for (let round = 0; round < bench.rounds; round += 1) {
      const verifier = await bench.part<Verifier>(import.meta.url, 'createVerifier', { profiled: true });
      const verified = await verifier.call('verify', { url });
      check(verified.ok && verified.deliveries === attempts, verified.why);
      rates.push(rateOf(verified.elapsedMs));
      const status = await readFile(`/proc/${verifier.pid}/status`, 'utf8');
      mb = Math.max(mb, Number(/VmHWM:\s+(\d+) kB/.exec(status)![1]) / 1_024);
      await verifier.stop();
    }
    const of = `${sealed.entries.toLocaleString('en')} entries`;
    return [
      judge({
        ...{ measure: `audit verify of ${of}`, unit: 'attempts/s', against: 'wanted' },
        readings: rates.map((ours) => ({ ours, limit: wantedRate })),
        reach: atLeast(1),
      }),
      judge({
        ...{ measure: `audit verify of ${of}: peak memory`, unit: 'MiB (VmHWM)', against: `${wantedMb} MiB` },
        readings: [{ ours: mb, limit: wantedMb }],
        reach: atMost(1),
      }),
      judge({
        ...{ measure: `sealing ${of}`, unit: 'attempts/s', against: 'verifying them' },
        readings: rates.map((limit) => ({ ours: rateOf(sealed.elapsedMs), limit })),
      }),
    ];
  },
};
