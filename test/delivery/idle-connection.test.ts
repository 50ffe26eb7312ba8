import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { Dispatcher } from '../../src/delivery/schedule/dispatcher.ts';
import { createSender } from '../../src/delivery/send/send.ts';
import type { Attempted } from '../../src/delivery/types.ts';
import { silentLog } from '../../src/lib/log.ts';
import { waitFor } from '../support/wait-for.ts';
import { MemoryStore, testWebhook } from './memory-store.ts';

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const answered = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n';

/** A receiver that keeps connections: `act` says what it does with the n-th request of a connection. */
async function startReceiver(act: (socket: Socket, request: number) => void) {
  const counts = { requests: 0, connections: 0 };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    counts.connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    let requests = 0;
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString();
      if (!text.endsWith('}}')) return;
      text = '';
      counts.requests += 1;
      act(socket, (requests += 1));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return { counts, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/` };
}

/** An engine that asks the store and repeats failures once an hour: what is quick is none of the two. */
function startEngine(url: string) {
  const store = new MemoryStore();
  const attempts: Attempted[] = [];
  const port = Number(new URL(url).port);
  const sender = createSender({
    guard: {
      allowHttp: true,
      allowPrivateNetworks: [{ cidr: '127.0.0.0/8' }],
      allowedPorts: [port],
      forbidden: [],
    },
  });
  const hour = 3_600_000;
  const dispatcher = new Dispatcher({
    ...{ verbs: store, sender, log: silentLog, concurrency: 64, retryScheduleMs: [hour, hour], pollMs: hour },
    onAttempt: (attempted) => attempts.push(attempted),
  });
  dispatcher.setWebhooks([testWebhook(1, url, { maxInFlight: 1 })]);
  dispatcher.start();
  closing.push(async () => {
    await dispatcher.stop();
    await sender.close();
  });
  const send = async (): Promise<void> => {
    const known = attempts.length;
    dispatcher.accept(store.append(1, [''], 1));
    await waitFor(() => attempts.length > known);
  };
  return { store, attempts, send, dispatcher };
}

const kindsOf = (attempts: readonly Attempted[]): string[] => attempts.map(({ outcome }) => outcome.kind);

describe('an idle connection that dies under a request', () => {
  test.each([
    ['is reset', (socket: Socket) => socket.resetAndDestroy()],
    ['is closed', (socket: Socket) => socket.destroy()],
  ])('and %s: a second try goes out at once, and both are recorded', async (_kind, die) => {
    const { counts, url } = await startReceiver((socket, request) => {
      if (request > 1) die(socket);
      else socket.write(answered);
    });
    const { store, attempts, send, dispatcher } = startEngine(url);
    await send();
    await send();
    await waitFor(() => store.count('delivered') === 2);
    expect(kindsOf(attempts)).toEqual(['delivered', 'failed', 'delivered']);
    expect(attempts.map(({ delivery }) => delivery.attempt)).toEqual([1, 1, 2]);
    expect(store.settlements).toHaveLength(counts.requests);
    expect(counts).toEqual({ requests: 3, connections: 2 });
    expect(dispatcher.stats().webhooks[0]!.breaker).toBe('closed');
  });

  test('a new connection that dies is a failure', async () => {
    const { counts, url } = await startReceiver((socket) => socket.destroy());
    const { store, attempts, send } = startEngine(url);
    await send();
    await waitFor(() => store.settlements.length === 1);
    expect(attempts[0]!.next).toMatchObject({ kind: 'retry', delayMs: expect.any(Number) });
    expect((attempts[0]!.next as { delayMs: number }).delayMs).toBeGreaterThan(60_000);
    expect(counts.requests).toBe(1);
  });

  test('the second try is the last one: then the schedule counts', async () => {
    let isDown = false;
    const { counts, url } = await startReceiver((socket) =>
      isDown ? socket.destroy() : socket.write(answered),
    );
    const { store, attempts, send } = startEngine(url);
    await send();
    isDown = true;
    await send();
    await waitFor(() => store.settlements.length === 3);
    expect(attempts.map(({ next }) => (next.kind === 'retry' ? next.delayMs > 60_000 : next.kind))).toEqual([
      'delivered',
      false,
      true,
    ]);
    expect(counts.requests).toBe(3);
  });

  test('with a part of the answer it is a failure: the receiver has acted', async () => {
    const { url } = await startReceiver((socket, request) => {
      if (request === 1) socket.write(answered);
      else socket.end('HTTP/1.1 200 O');
    });
    const { store, attempts, send } = startEngine(url);
    await send();
    await send();
    await waitFor(() => store.settlements.length === 2);
    expect((attempts[1]!.next as { delayMs: number }).delayMs).toBeGreaterThan(60_000);
  });
});
