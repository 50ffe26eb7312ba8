import { createHmac } from 'node:crypto';
import { createConnection, type Connection } from 'mysql2/promise';
import { Pool } from 'undici';
import { standardKey } from '../../src/delivery/send/signature.ts';
import type { Application } from './application.ts';
import type { Hooks } from './bench-daemon.ts';
import { benchSecret } from './bench-store.ts';
import type { Bench, BenchSchema } from './measure.ts';
import type { Part } from './part.ts';
import { startZongji } from './read-stretch.ts';

interface RelayOptions {
  url: string;
  schema: string;
  hooks: readonly string[];
  /** Makes one durable commit for each row before it is sent; otherwise nothing is stored. */
  durable: boolean;
}

async function openRelayLog(url: string): Promise<Connection> {
  const connection = await createConnection(url);
  await connection.query(
    'CREATE TABLE IF NOT EXISTS relay_log (id BIGINT AUTO_INCREMENT PRIMARY KEY, body TEXT NOT NULL)',
  );
  return connection;
}

/** Bare zongji and undici: the minimum work for a webhook. It keeps no checkpoint, does not preserve order and never retries. */
export function createRelay() {
  let end: (() => Promise<void>) | undefined;
  return {
    async start({ url, schema, hooks, durable }: RelayOptions): Promise<void> {
      const connection = durable ? await openRelayLog(url) : undefined;
      const targets = hooks.map((hook) => {
        const { origin, pathname: path } = new URL(hook);
        return { path, pool: new Pool(origin, { connections: 64, pipelining: 1 }) };
      });
      const key = standardKey(benchSecret);
      async function relay(row: Record<string, unknown>): Promise<void> {
        const event = row['status'] === 'refunded' ? 'payment.refunded' : 'payment.received';
        const data = { payment_id: row['id'], patient_id: row['patient_id'], amount: row['amount'] };
        const body = JSON.stringify({ event, timestamp: new Date().toISOString(), data });
        await connection?.execute('INSERT INTO relay_log (body) VALUES (?)', [body]);
        const id = `${String(row['id'])}-${event}`;
        const seconds = String(Math.floor(Date.now() / 1_000));
        const signature = createHmac('sha256', key).update(`${id}.${seconds}.${body}`).digest('base64');
        const headers = {
          'content-type': 'application/json',
          'webhook-id': id,
          'webhook-timestamp': seconds,
          'webhook-signature': `v1,${signature}`,
        };
        await Promise.all(
          targets.map(async ({ pool, path }) => {
            const { body: answer } = await pool.request({ method: 'POST', path, headers, body });
            await answer.dump();
          }),
        );
      }
      const stop = await startZongji({
        url,
        schema,
        onRow: (row) => void relay((row['after'] as Record<string, unknown> | undefined) ?? row),
        onError(error) {
          throw error;
        },
      });
      end = async () => {
        stop();
        for (const { pool } of targets) await pool.close();
        await connection?.end();
      };
    },
    async stop(): Promise<void> {
      await end?.();
    },
  };
}

export type Relay = ReturnType<typeof createRelay>;

/** Starts the relay in its own process. */
export function startRelay(bench: Bench): Promise<Part<Relay>> {
  return bench.part<Relay>(import.meta.url, 'createRelay');
}

export interface BesideRelay {
  relay: Part<Relay>;
  hooks: Hooks;
  app: Part<Application>;
  clinic: BenchSchema;
  connections: number;
  forMs: number;
  delayMs?: number;
}

/** What the machine allows: the application commits at full speed beside a relay that stores nothing, until all webhooks have arrived. */
export async function runBesideRelay({
  relay,
  hooks: { receiver, urls },
  app,
  clinic,
  connections,
  forMs,
  delayMs = 0,
}: BesideRelay): Promise<{ commits: number; elapsedMs: number; firstMs: number }> {
  await receiver.call('reset', { delayMs });
  await relay.call('start', { url: clinic.url, schema: clinic.name, hooks: urls, durable: false });
  const result = await app.call('run', { url: clinic.url, connections, forMs });
  await receiver.call('untilCount', result.commits * urls.length);
  await relay.call('stop');
  return result;
}
