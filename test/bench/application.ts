import { createHmac } from 'node:crypto';
import { createPool, type Pool, type ResultSetHeader } from 'mysql2/promise';
import { sleep } from '../../src/lib/clock.ts';
import { machineMs } from './receiver.ts';

const insert =
  "INSERT INTO payments (patient_id, amount, payment_method, notes, processed_by) VALUES (1, 1500.50, 'transfer', 'cuota, recepción', 1)";
const refund = "UPDATE payments SET status = 'refunded' WHERE id = ?";

/** One commit in ten refunds the payment of the previous commit, so the webhooks of a payment have an order. */
const refundEvery = 10;

function openPool(url: string, connections: number): Pool {
  return createPool({ uri: url, connectionLimit: connections, maxIdle: connections });
}

/** A user who commits sequentially. */
function createUser(pool: Pool): { commit(): Promise<number> } {
  let commits = 0;
  let last = 0;
  return {
    async commit() {
      commits += 1;
      if (commits % refundEvery === 0) {
        await pool.execute(refund, [last]);
        return last;
      }
      const [{ insertId }] = await pool.execute<ResultSetHeader>(insert);
      last = insertId;
      return last;
    },
  };
}

interface Run {
  url: string;
  connections: number;
  forMs: number;
}

/** The clinic's application: writes its own tables and does not depend on webhooks. */
export function createApplication() {
  return {
    /** Commits at full speed on `connections` connections. */
    async run({
      url,
      connections,
      forMs,
    }: Run): Promise<{ commits: number; elapsedMs: number; firstMs: number }> {
      const pool = openPool(url, connections);
      await Promise.all(Array.from({ length: connections }, () => pool.query('DO SLEEP(0.01)')));
      let commits = 0;
      const firstMs = machineMs();
      await Promise.all(
        Array.from({ length: connections }, async () => {
          const user = createUser(pool);
          while (machineMs() - firstMs < forMs) {
            await user.commit();
            commits += 1;
          }
        }),
      );
      const elapsedMs = machineMs() - firstMs;
      await pool.end();
      return { commits, elapsedMs, firstMs };
    },

    /** Commits one payment every `everyMs`, without waiting for the previous one. Returns the time of each commit, by the payment's id. */
    async pace({
      url,
      count,
      everyMs,
    }: {
      url: string;
      count: number;
      everyMs: number;
    }): Promise<Map<number, number>> {
      const pool = openPool(url, 8);
      await Promise.all(Array.from({ length: 8 }, () => pool.query('DO SLEEP(0.01)')));
      const committed = new Map<number, number>();
      const startedMs = machineMs();
      const underway: Promise<void>[] = [];
      for (let i = 0; i < count; i += 1) {
        const waitMs = startedMs + i * everyMs - machineMs();
        if (waitMs > 0) await sleep(waitMs);
        underway.push(
          pool.execute<ResultSetHeader>(insert).then(([{ insertId }]) => {
            committed.set(insertId, machineMs());
          }),
        );
      }
      await Promise.all(underway);
      await pool.end();
      return committed;
    },
  };
}

export type Application = ReturnType<typeof createApplication>;

interface SeedRun extends Run {
  hooks: readonly string[];
  secret: string;
}

/**
 * The application with webhooks of the seed's design: it awaits the query, then for each subscriber signs, fetches and inserts
 * the delivery's row, sequentially. `connections` requests of its users are in flight.
 */
export function createSeedApplication() {
  return {
    async run({
      url,
      connections,
      forMs,
      hooks,
      secret,
    }: SeedRun): Promise<{ commits: number; elapsedMs: number }> {
      const pool = openPool(url, connections);
      let commits = 0;
      async function deliver(hook: string, payment: number, event: string): Promise<void> {
        const body = JSON.stringify({
          event,
          timestamp: new Date().toISOString(),
          data: { payment_id: payment, patient_id: 1, amount: 1500.5, payment_method: 'transfer' },
        });
        const response = await fetch(hook, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            'x-webhook-event': event,
            'x-webhook-signature': createHmac('sha256', secret).update(body).digest('hex'),
            'webhook-id': `${payment}-${event}`,
          },
          body,
        });
        await pool.execute(
          'INSERT INTO seed_deliveries (webhook_id, event_type, payload, response_status, response_body, delivered_at) VALUES (?, ?, ?, ?, ?, NOW())',
          [1, event, body, response.status, await response.text()],
        );
      }
      const startedMs = machineMs();
      await Promise.all(
        Array.from({ length: connections }, async () => {
          const user = createUser(pool);
          for (let own = 1; machineMs() - startedMs < forMs; own += 1) {
            const payment = await user.commit();
            const event = own % refundEvery === 0 ? 'payment.refunded' : 'payment.received';
            for (const hook of hooks) await deliver(hook, payment, event);
            commits += 1;
          }
        }),
      );
      const elapsedMs = machineMs() - startedMs;
      await pool.end();
      return { commits, elapsedMs };
    },
  };
}

export type SeedApplication = ReturnType<typeof createSeedApplication>;
