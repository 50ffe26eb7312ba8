import type { Socket } from 'node:net';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { monotonicMs } from '../../lib/clock.ts';
import { toConnectionTarget, type DatabaseUrl } from './database-url.ts';

/** After this silence a connection in use is checked: the server of an old connection may have disappeared without closing it. */
const quietMs = 10_000;
const lookEveryMs = 1_000;
const askTimeoutMs = 5_000;

/** SQL expression that identifies a server: servers that replicate from each other have different server_ids. */
export const serverName = "CONCAT_WS(' ', @@hostname, @@port, @@server_id)";

/** The identity of a server, and the connections that our user has to it. */
export interface ServerAnswer {
  server: string;
  uptimeMs: number;
  /** Ids of the connections. */
  connections: ReadonlySet<number>;
}

/** mysql2's connection, which its types show without the socket. */
interface Wire {
  threadId: number;
  stream: Socket;
}

/** What is known of a connection. */
interface Made {
  atMs: number;
  server: string | null;
}

interface Used {
  bytes: number;
  /** Time of the last byte in either direction. */
  movedMs: number;
  askedMs: number;
}

/**
 * Finds connections that no server knows any more. After a failover they may stay open for ever (a server that lost power, a proxy that
 * keeps its clients), and a statement sent on them is never answered: neither side closes them.
 */
export class ConnectionWatch {
  readonly #ask: () => Promise<ServerAnswer | undefined>;
  readonly #made = new WeakMap<object, Made>();
  readonly #used = new Map<Wire, Used>();
  #timer: NodeJS.Timeout | undefined;

  /** `ask` opens a new connection, as a new client does; undefined if it learns nothing. */
  constructor(ask: () => Promise<ServerAnswer | undefined>) {
    this.#ask = ask;
  }

  /** Registers a new connection. */
  made(connection: object): void {
    this.#made.set(connection, { atMs: monotonicMs(), server: null });
  }

  /** Records the server of a connection: the value of `serverName` there. */
  located(connection: object, server: string): void {
    this.#made.set(connection, { ...this.#made.get(connection)!, server });
  }

  /** Marks a connection as in use. */
  begin(connection: object): void {
    const nowMs = monotonicMs();
    const wire = connection as Wire;
    this.#used.set(wire, { bytes: bytesOf(wire), movedMs: nowMs, askedMs: nowMs });
    this.#timer ??= setInterval(() => void this.#look(), lookEveryMs).unref();
  }

  end(connection: object): void {
    this.#used.delete(connection as Wire);
    if (this.#used.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look(): Promise<void> {
    const nowMs = monotonicMs();
    const silent = [...this.#used].filter(([connection, used]) => isSilent(connection, used, nowMs));
    if (silent.length === 0) return;
    for (const [, used] of silent) used.askedMs = nowMs;
    const answer = await this.#ask();
    if (answer === undefined) return;
    for (const [connection, used] of silent) {
      if (this.#used.get(connection) !== used || used.bytes !== bytesOf(connection)) continue;
      if (!this.#isKnown(connection, answer)) end(connection);
    }
  }

  #isKnown(connection: Wire, { server, uptimeMs, connections }: ServerAnswer): boolean {
    const made = this.#made.get(connection);
    if (made === undefined) return true;
    // The uptime is in whole seconds.
    const isOlder = uptimeMs + 2_000 >= monotonicMs() - made.atMs;
    return isOlder && server === (made.server ?? server) && connections.has(connection.threadId);
  }
}

function isSilent(connection: Wire, used: Used, nowMs: number): boolean {
  const bytes = bytesOf(connection);
  if (bytes !== used.bytes) Object.assign(used, { bytes, movedMs: nowMs });
  return nowMs - Math.max(used.movedMs, used.askedMs) >= quietMs;
}

function bytesOf({ stream }: Wire): number {
  return stream.bytesRead + stream.bytesWritten;
}

/** Statements that wait on it fail, as when the server closes it. */
function end({ stream }: Wire): void {
  const error = new Error('the server does not know this connection any more');
  stream.destroy(Object.assign(error, { code: 'PROTOCOL_CONNECTION_LOST', fatal: true }));
}

/**
 * Queries the server that new connections lead to. Returns undefined if there is none, if it does not answer within 5 s, or if it does not
 * know even the connection that asks: then a proxy shares its own connections among clients, and their ids mean nothing.
 */
export async function askServer(url: DatabaseUrl): Promise<ServerAnswer | undefined> {
  const connection = await createConnection({
    ...toConnectionTarget(url),
    connectTimeout: askTimeoutMs,
  }).catch(() => undefined);
  if (connection === undefined) return undefined;
  try {
    connection.on('error', () => undefined);
    const ask = async (sql: string): Promise<RowDataPacket[]> =>
      (await connection.query<RowDataPacket[]>({ sql, timeout: askTimeoutMs }))[0];
    const [identity] = await ask(`SELECT ${serverName} AS server`);
    const [status] = await ask("SHOW GLOBAL STATUS LIKE 'Uptime'");
    const threads = await ask('SHOW PROCESSLIST');
    const connections = new Set(threads.map((row) => Number(row['Id'])));
    if (!connections.has(connection.threadId)) return undefined;
    const uptimeMs = Number(status?.['Value']) * 1_000;
    return { server: String(identity?.['server']), uptimeMs, connections };
  } catch {
    return undefined;
  } finally {
    connection.destroy();
  }
}
