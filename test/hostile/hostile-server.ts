import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What a server does with one request, whose head and body have arrived on the socket. `turn` counts requests from 0. */
export type Misbehave = (socket: Socket, turn: number) => void;

export interface HostileServer {
  port: number;
  url: string;
  /** Requests that arrived whole. */
  requests: number;
  /** Sockets open now. */
  sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

/** Whether the text has a whole request with a content-length. */
function isWhole(text: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
  return text.length >= end + 4 + length;
}

/** A TCP server on loopback that reads requests properly, or not at all, and answers each as the test says, byte for byte. */
export async function startHostileServer(
  misbehave: Misbehave,
  { reads = true }: { reads?: boolean } = {},
): Promise<HostileServer> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
    if (!reads) return;
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (!isWhole(text)) return;
      text = '';
      hostile.requests += 1;
      misbehave(socket, hostile.requests - 1);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const hostile: HostileServer = {
    port,
    url: `http://127.0.0.1:${port}/hook`,
    requests: 0,
    sockets,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return hostile;
}

/** Writes the same bytes for as long as the other side takes them. */
export function writeForever(socket: Socket, bytes: string | Buffer): void {
  const pump = (): void => {
    while (!socket.destroyed && socket.write(bytes));
  };
  socket.on('drain', pump);
  pump();
}

/** Writes the bytes one by one, `everyMs` apart, for as long as the socket lives. */
export function drip(socket: Socket, bytes: string, everyMs: number): void {
  let index = 0;
  const timer = setInterval(() => {
    if (socket.destroyed) clearInterval(timer);
    else socket.write(bytes[index++ % bytes.length]!);
  }, everyMs);
  socket.once('close', () => clearInterval(timer));
}
