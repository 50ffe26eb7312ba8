import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { Transform } from 'node:stream';
import { crc32 } from 'node:zlib';
import { CHECKSUM_BYTES } from '../../src/binlog/protocol/log-event.ts';

export interface AlteringProxy {
  /** A URL of the server through this proxy. */
  through(url: string): string;
  stop(): Promise<void>;
}

/** Forwards a server's binlog with events that `alter` has changed in place, for events that no available server writes. */
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

/** Splits the server's output into packets, and passes the packets that are binlog events to `alter`. */
function alterEvents(alter: (event: Buffer) => void): Transform {
  let waiting = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      waiting = Buffer.concat([waiting, chunk]);
      for (;;) {
        const end = waiting.length < PACKET_HEADER ? Infinity : PACKET_HEADER + waiting.readUIntLE(0, 3);
        if (waiting.length < end) break;
        // Skips the OK byte.
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

/** Whether the bytes are an event: they contain their own size, and end with their checksum. */
function isEvent(bytes: Buffer): boolean {
  if (bytes.length < 19 + CHECKSUM_BYTES || bytes.readUInt32LE(9) !== bytes.length) return false;
  const bodyEnd = bytes.length - CHECKSUM_BYTES;
  return crc32(bytes.subarray(0, bodyEnd)) === bytes.readUInt32LE(bodyEnd);
}
