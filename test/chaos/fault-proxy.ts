import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** A line to a TCP port of loopback that can be cut, or go silent without being cut. */
export interface FaultProxy {
  readonly port: number;
  /** Resets every connection. */
  cut(): void;
  /** Passes nothing in either direction, and nothing of new connections, until `thaw`. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

export async function startFaultProxy(targetPort: number): Promise<FaultProxy> {
  const sockets = new Set<Socket>();
  let frozen = false;

  function keep(socket: Socket, other: Socket): void {
    sockets.add(socket);
    socket.on('data', (chunk) => {
      if (other.write(chunk)) return;
      socket.pause();
      other.once('drain', () => {
        if (!frozen) socket.resume();
      });
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      other.destroy();
    });
    if (frozen) socket.pause();
  }

  const server = createServer((client) => {
    const upstream = connect({ host: '127.0.0.1', port: targetPort });
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    keep(client, upstream);
    keep(upstream, client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  function cut(): void {
    for (const socket of sockets) socket.resetAndDestroy();
  }

  return {
    port: (server.address() as AddressInfo).port,
    cut,
    freeze() {
      frozen = true;
      for (const socket of sockets) socket.pause();
    },
    thaw() {
      frozen = false;
      for (const socket of sockets) socket.resume();
    },
    async stop() {
      cut();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
