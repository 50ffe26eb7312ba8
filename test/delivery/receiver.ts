import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  headers: IncomingHttpHeaders;
  body: string;
  path: string;
  atMs: number;
}

export interface Receiver {
  port: number;
  url: string;
  received: Received[];
  /** Most requests underway at once so far. */
  busiest: number;
  close(): Promise<void>;
}

/** Answers one request; `index` counts from 0. */
export type Answer = (response: ServerResponse, request: Received, index: number) => void;

export const ok: Answer = (response) => response.end('ok');

export const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (response) => {
    response.writeHead(code, headers).end();
  };

/** A receiver on loopback that records what it gets and answers as told. */
export async function startReceiver(answer: Answer = ok): Promise<Receiver> {
  let underway = 0;
  const server: Server = createServer((request, response) => {
    underway += 1;
    receiver.busiest = Math.max(receiver.busiest, underway);
    response.once('close', () => (underway -= 1));
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('error', () => undefined);
    request.on('end', () => {
      const received = {
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
        path: request.url ?? '',
        atMs: performance.now(),
      };
      receiver.received.push(received);
      answer(response, received, receiver.received.length - 1);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const receiver: Receiver = {
    port,
    url: `http://127.0.0.1:${port}/hook`,
    received: [],
    busiest: 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return receiver;
}
