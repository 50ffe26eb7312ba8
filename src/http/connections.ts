import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface ConnectionLimits {
  /** Maximum number of open connections. */
  connections: number;
  /** For the headers of a request, from its first byte; also for a connection that sends nothing. */
  headersTimeoutMs: number;
  /** For a whole request. */
  requestTimeoutMs: number;
  /** Between two requests of a connection. */
  keepAliveTimeoutMs: number;
}

/**
 * 100 connections: together with 64 deliveries at once and about 40 database connections they stay below 256 file descriptors, the
 * lowest limit that systems give. With 400 idle sockets and no limit, deliveries stopped.
 */
export const defaultLimits: ConnectionLimits = {
  connections: 100,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 20_000,
};

/**
 * Keeps at most `limit` connections. A further connection closes the connection that has been idle longest, so that idle connections
 * block no client; if all connections have a request under way, the new connection is closed.
 */
export function boundConnections(server: Server, limit: number): void {
  /** In the order in which they became idle. */
  const idle = new Set<Socket>();
  let open = 0;
  server.on('connection', (socket) => {
    if (open >= limit) {
      const [longest = socket] = idle;
      idle.delete(longest);
      longest.destroy();
      if (longest === socket) return;
    }
    open += 1;
    idle.add(socket);
    socket.once('close', () => {
      open -= 1;
      idle.delete(socket);
    });
  });
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    idle.delete(socket);
    response.once('close', () => {
      if (!socket.destroyed) idle.add(socket);
    });
  });
}
