import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

interface Target {
  host: string;
  port: number;
}

/** A TCP connection between a client and a server that a test can disturb. */
export interface TcpProxy {
  host: string;
  port: number;
  /** A URL of the server through this proxy. */
  through(url: string): string;
  /** Resets all connections immediately, at both ends. New connections pass. */
  cut(): void;
  /** Stops all bytes in both directions, on existing and new connections, without an error on either side. */
  freeze(): void;
  /** Passes the bytes that were held back. */
  thaw(): void;
  /** Closes the server's ends of the existing connections; the clients get no notice. New connections pass. */
  halfOpen(): void;
  /** Sets the target of new connections; existing connections stay. */
  pointTo(target: Target): void;
  /** Whether new connections are refused. */
  refuse(refused: boolean): void;
  /** Connections accepted so far. */
  accepted(): number;
  /** Bytes received from the server so far. */
  received(): number;
  /** Passes every chunk, in either direction, to the listener. */
  tap(listener: (chunk: Buffer) => void): void;
  stop(): Promise<void>;
}

interface Pair {
  client: Socket;
  upstream: Socket;
}

/** Listens on a free loopback port and forwards to `target`. */
export async function startTcpProxy(target: Target): Promise<TcpProxy> {
  const pairs = new Set<Pair>();
  /** Clients whose connection to the server `halfOpen` ended. */
  const abandoned = new Set<Socket>();
  let goal = target;
  let frozen = false;
  let refused = false;
  let accepted = 0;
  let received = 0;
  let tapped: ((chunk: Buffer) => void) | undefined;

  const server = createServer((client) => {
    if (refused) {
      client.resetAndDestroy();
      return;
    }
    accepted += 1;
    const pair = { client, upstream: connect(goal.port, goal.host) };
    pairs.add(pair);
    client.on('data', (chunk) => tapped?.(chunk));
    pair.upstream.on('data', (chunk) => {
      received += chunk.length;
      tapped?.(chunk);
    });
    join(pair, () => pairs.delete(pair));
    if (frozen) hold(pair);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;

  return {
    host: '127.0.0.1',
    port,
    through(url) {
      const led = new URL(url);
      led.hostname = '127.0.0.1';
      led.port = String(port);
      return led.href;
    },
    cut() {
      for (const { client, upstream } of pairs) {
        client.resetAndDestroy();
        upstream.resetAndDestroy();
      }
    },
    freeze() {
      frozen = true;
      for (const pair of pairs) hold(pair);
    },
    thaw() {
      frozen = false;
      for (const pair of pairs) release(pair);
    },
    halfOpen() {
      for (const { client, upstream } of pairs) {
        upstream.unpipe(client);
        upstream.removeAllListeners('close');
        upstream.destroy();
        client.unpipe(upstream);
        client.resume();
        abandoned.add(client);
      }
      pairs.clear();
    },
    pointTo(next) {
      goal = next;
    },
    refuse(now) {
      refused = now;
    },
    accepted: () => accepted,
    received: () => received,
    tap(listener) {
      tapped = listener;
    },
    async stop() {
      for (const { client, upstream } of pairs) {
        client.destroy();
        upstream.destroy();
      }
      for (const client of abandoned) client.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

/** When one side closes, the other is closed too. */
function join({ client, upstream }: Pair, onEnd: () => void): void {
  client.pipe(upstream);
  upstream.pipe(client);
  for (const [socket, other] of [
    [client, upstream],
    [upstream, client],
  ] as const) {
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      other.destroy();
      onEnd();
    });
  }
}

function hold({ client, upstream }: Pair): void {
  client.unpipe(upstream).pause();
  upstream.unpipe(client).pause();
}

function release({ client, upstream }: Pair): void {
  client.pipe(upstream);
  upstream.pipe(client);
}
