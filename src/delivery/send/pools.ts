import { type Dispatcher, Pool, ProxyAgent } from 'undici';
import { monotonicMs } from '../../lib/clock.ts';
import type { ClientCertificate } from './client-certificates.ts';
import { createConnector, type Resolve } from './connect.ts';
import type { Guard, Target } from './guard.ts';

export interface PoolsOptions {
  guard: Guard;
  resolve: Resolve;
  /** Certificate authorities (PEM) that are trusted; the system's when undefined. */
  ca: readonly string[] | undefined;
  /** Maximum number of open pools; exceeded only while all of them are in use. */
  maximum?: number;
}

/** Two requests share connections only if these values are equal. */
interface Use {
  timeoutMs: number;
  client: ClientCertificate | undefined;
}

/** The connections to one origin. */
export interface OriginPool {
  dispatcher: Dispatcher;
  inFlight: number;
  createdMs: number;
  lastUsedMs: number;
}

const idleMs = 60_000;
/** A busy connection never queries DNS again: after this time a new pool replaces its pool. */
const maximumAgeMs = 300_000;
const sweepEveryMs = 10_000;
const maximumHeaderBytes = 16_384;

function createDispatcher(
  target: Target,
  { timeoutMs, client }: Use,
  { guard, resolve, ca }: PoolsOptions,
): Dispatcher {
  const limits = {
    allowH2: false,
    pipelining: 1,
    maxHeaderSize: maximumHeaderBytes,
    // The attempt's single deadline covers both.
    headersTimeout: 0,
    bodyTimeout: 0,
  };
  const proxyUrl = guard.proxyOf(target);
  if (proxyUrl !== undefined) {
    return new ProxyAgent({
      ...limits,
      uri: proxyUrl,
      proxyTunnel: true,
      connectTimeout: timeoutMs,
      requestTls: { ...(ca === undefined ? {} : { ca: [...ca] }), ...client },
    });
  }
  const connect = createConnector({ guard, resolve, port: target.port, timeoutMs, ca, client });
  return new Pool(target.origin, { ...limits, connect });
}

/**
 * One pool of connections for each origin, deadline and client certificate (an attempt's connection is given up when its deadline passes, so
 * pools of different deadlines are different), closed when idle for a minute or when there are too many.
 */
export class Pools {
  readonly #options: PoolsOptions;
  readonly #clientKeys = new WeakMap<ClientCertificate, string>();
  #clients = 0;
  readonly #pools = new Map<string, OriginPool>();
  #nextSweepMs = monotonicMs() + sweepEveryMs;

  constructor(options: PoolsOptions) {
    this.#options = options;
  }

  /** Number of open pools. */
  get size(): number {
    return this.#pools.size;
  }

  /** The pool for a target, counted as in use until `release`. */
  acquire(target: Target, use: Use): OriginPool {
    const nowMs = monotonicMs();
    if (nowMs >= this.#nextSweepMs) this.#sweep(nowMs);
    const key = `${target.origin} ${use.timeoutMs} ${this.#clientKey(use.client)}`;
    let pool = this.#pools.get(key);
    if (pool !== undefined && nowMs - pool.createdMs > maximumAgeMs) {
      this.#close(key, pool);
      pool = undefined;
    }
    if (pool === undefined) {
      pool = {
        dispatcher: createDispatcher(target, use, this.#options),
        inFlight: 0,
        createdMs: nowMs,
        lastUsedMs: nowMs,
      };
      this.#makeRoom();
      this.#pools.set(key, pool);
    }
    pool.inFlight += 1;
    pool.lastUsedMs = nowMs;
    return pool;
  }

  release(pool: OriginPool): void {
    pool.inFlight -= 1;
  }

  /** Opens new connections for the next requests; requests in flight end on the present ones. */
  retire(pool: OriginPool): void {
    for (const [key, each] of this.#pools) if (each === pool) this.#close(key, pool);
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.dispatcher.destroy()));
  }

  /** A renewed certificate is another object and gets separate connections. */
  #clientKey(client: ClientCertificate | undefined): string {
    if (client === undefined) return '';
    const known = this.#clientKeys.get(client) ?? String((this.#clients += 1));
    this.#clientKeys.set(client, known);
    return known;
  }

  #sweep(nowMs: number): void {
    this.#nextSweepMs = nowMs + sweepEveryMs;
    for (const [key, pool] of this.#pools) {
      if (pool.inFlight === 0 && nowMs - pool.lastUsedMs > idleMs) this.#close(key, pool);
    }
  }

  /** Closes the pools that were idle longest until one more fits; pools in use stay, even when there are too many. */
  #makeRoom(): void {
    const surplus = this.#pools.size + 1 - (this.#options.maximum ?? 256);
    if (surplus <= 0) return;
    const idle = [...this.#pools].filter(([, pool]) => pool.inFlight === 0);
    idle.sort(([, a], [, b]) => a.lastUsedMs - b.lastUsedMs);
    for (const [key, pool] of idle.slice(0, surplus)) this.#close(key, pool);
  }

  #close(key: string, pool: OriginPool): void {
    this.#pools.delete(key);
    // Waits for requests in flight; the caller does not wait for this.
    pool.dispatcher.close().catch(() => undefined);
  }
}
