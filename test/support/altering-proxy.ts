import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import { crc32 } from 'node:zlib';
import { CHECKSUM_BYTES } from '../../src/binlog/protocol/log-event.ts';

export interface AlteringProxy {
  /** A URL of the server, led through here. */
  through(url: string): string;
  stop(): Promise<void>;
}

/** Passes a server's log on with events that `alter` has changed in place: what no server at hand writes. */
export async function startAlteringProxy(
  target: { host: string; port: number },
  alter: (event: Buffer) => void,
): Promise<AlteringProxy> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(target.port, target.host);
    upstream.pipe(alterEvents(alter)).pipe(client);
    client.pipe(upstream);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        upstream.destroy();
        sockets.delete(socket);
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    through(url) {
      const led = new URL(url);
      led.hostname = '127.0.0.1';
      led.port = String(port);
      return led.href;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

const PACKET_HEADER = 4;

/** Cuts what the server sends into packets, and shows the packets that are events of a log. */
function alterEvents(alter: (event: Buffer) => void): Transform {
  let waiting = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      waiting = Buffer.concat([waiting, chunk]);
      for (;;) {
        const end = waiting.length < PACKET_HEADER ? Infinity : PACKET_HEADER + waiting.readUIntLE(0, 3);
        if (waiting.length < end) break;
        // Behind the byte that says OK.
        const event = waiting.subarray(PACKET_HEADER + 1, end);
        if (waiting[PACKET_HEADER] === 0 && isEvent(event)) {
          alter(event);
          const body = event.subarray(0, -CHECKSUM_BYTES);
          event.writeUInt32LE(crc32(body), body.length);
        }
        this.push(waiting.subarray(0, end));
        waiting = waiting.subarray(end);
      }
      done();
    },
  });
}

/** An event states its own size, and its bytes have the checksum that it ends with. */
function isEvent(bytes: Buffer): boolean {
  if (bytes.length < 19 + CHECKSUM_BYTES || bytes.readUInt32LE(9) !== bytes.length) return false;
  const bodyEnd = bytes.length - CHECKSUM_BYTES;
  return crc32(bytes.subarray(0, bodyEnd)) === bytes.readUInt32LE(bodyEnd);
}
