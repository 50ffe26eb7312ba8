import { afterEach, describe, expect, test } from 'vitest';
import { explainOutcome } from '../../src/delivery/explain.ts';
import { createSender, type Sender } from '../../src/delivery/send/send.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';
import { waitFor } from '../support/wait-for.ts';
import { startReceiver } from '../delivery/receiver.ts';
import { type HostileServer, type Misbehave, startHostileServer } from './hostile-server.ts';
import { described, misbehaviours } from './misbehaviour.ts';
import { testRequest } from './request.ts';

const deadlineMs = 300;
const farDeadlineMs = 20_000;
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function sender(...ports: number[]): Sender {
  const created = createSender({
    guard: {
      allowHttp: true,
      allowPrivateNetworks: ports.map((port) => ({ cidr: '127.0.0.0/8', port })),
      allowedPorts: [],
      forbidden: [],
    },
  });
  closing.push(() => created.close());
  return created;
}

async function hostile(misbehave: Misbehave, options = {}): Promise<HostileServer> {
  const server = await startHostileServer(misbehave, options);
  closing.push(() => server.close());
  return server;
}

describe('responses', () => {
  test.each(misbehaviours)('$name: $expected', async ({ name, act, expected, slow }) => {
    const server = await hostile(act);
    const timeoutMs = slow ? deadlineMs : farDeadlineMs;
    const startMs = performance.now();
    const outcome = await sender(server.port).send(testRequest({ url: server.url, timeoutMs }));
    const tookMs = performance.now() - startMs;
    expect(described(outcome)).toBe(expected);
    // A slow one costs its deadline and no more, the others not even that.
    expect(tookMs).toBeGreaterThanOrEqual(slow ? deadlineMs - 2 : 0);
    expect(tookMs).toBeLessThan(farDeadlineMs / 4);
    if (/^a (chunked )?body cut/.test(name)) expect(outcome).toMatchObject({ status: 200 });
    const words = explainOutcome(outcome);
    expect(words === null).toBe(outcome.kind === 'delivered');
    if (words !== null)
      expect(words).toMatch(
        /^(the receiver|after the status|the connection|the answer|the headers of the answer|no complete|more than)[ -~]+$/,
      );
    if ('responseBody' in outcome) expect(outcome.responseBody.length).toBeLessThanOrEqual(16_384);
  });

  test.each(misbehaviours)(
    '$name: the next delivery to the same place is not hurt',
    async ({ act, slow }) => {
      const server = await hostile((socket, turn) => {
        if (turn === 0) act(socket, turn);
        else socket.end('HTTP/1.1 202 Accepted\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine');
      });
      const sending = sender(server.port);
      const request = testRequest({ url: server.url, timeoutMs: slow ? deadlineMs : farDeadlineMs });
      await sending.send(request);
      expect(await sending.send(request)).toMatchObject({
        kind: 'delivered',
        status: 202,
        responseBody: 'fine',
      });
    },
  );
});

test('a second response smuggled behind the first is not taken for the next one', async () => {
  const server = await hostile((socket, turn) => {
    const smuggled = 'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nsmuggled';
    if (turn === 0) socket.write(`HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n${smuggled}`);
    else socket.write('HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n');
  });
  const sending = sender(server.port);
  const request = testRequest({ url: server.url });
  expect(await sending.send(request)).toMatchObject({ kind: 'rejected', status: 503 });
  expect(await sending.send(request)).toMatchObject({ kind: 'rejected', status: 500 });
});

test('redirects lead nowhere, not even to another allowed place', async () => {
  const other = await startReceiver();
  closing.push(() => other.close());
  const server = await hostile((socket) =>
    socket.write(`HTTP/1.1 307 Moved\r\nlocation: ${other.url}\r\ncontent-length: 0\r\n\r\n`),
  );
  const outcome = await sender(server.port, other.port).send(testRequest({ url: server.url }));
  expect(outcome).toMatchObject({ kind: 'rejected', status: 307 });
  expect(other.received).toEqual([]);
});

test('a body is cut at 16 KiB and its connection closed', async () => {
  const server = await hostile((socket) => {
    socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n${'a'.repeat(20_000)}`);
  });
  const outcome = await sender(server.port).send(testRequest({ url: server.url }));
  expect(outcome).toMatchObject({ kind: 'delivered', responseBody: 'a'.repeat(16_384) });
  await waitFor(() => server.sockets.size === 0);
});

test('a compressed body is stored as it came', async () => {
  const server = await hostile((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain');
  });
  const outcome = await sender(server.port).send(testRequest({ url: server.url }));
  expect(outcome).toMatchObject({ kind: 'delivered', responseBody: 'plain' });
});

test('a peer that reads nothing of a large request costs one deadline', async () => {
  const server = await hostile(() => undefined, { reads: false });
  const request = testRequest({ url: server.url, body: 'x'.repeat(20 * 2 ** 20), timeoutMs: deadlineMs });
  expect(described(await sender(server.port).send(request))).toBe('failed: timeout');
});

test('an answer before the request is over counts, and the connection is not used again', async () => {
  const server = await hostile((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  const sending = sender(server.port);
  const request = testRequest({ url: server.url, body: 'x'.repeat(2 ** 20) });
  expect((await sending.send(request)).kind).toBe('delivered');
  expect((await sending.send(request)).kind).toBe('delivered');
});

test('nothing listens: refused', async () => {
  const server = await startHostileServer(() => undefined);
  await server.close();
  const outcome = await sender(server.port).send(testRequest({ url: server.url }));
  expect(described(outcome)).toBe('failed: refused');
});

test('a kept connection that the peer closed meanwhile is replaced', async () => {
  const server = await hostile((socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  const sending = sender(server.port);
  const request = testRequest({ url: server.url });
  expect((await sending.send(request)).kind).toBe('delivered');
  for (const socket of server.sockets) socket.end();
  await waitFor(() => server.sockets.size === 0);
  expect((await sending.send(request)).kind).toBe('delivered');
});

test('a connection whose other end is gone unheard costs one deadline, and is replaced', async () => {
  const server = await hostile((socket, turn) => {
    if (turn === 0) proxy.halfOpen();
    else socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  });
  const proxy = await startTcpProxy({ host: '127.0.0.1', port: server.port });
  closing.push(() => proxy.stop());
  const sending = sender(proxy.port);
  const request = testRequest({ url: `http://127.0.0.1:${proxy.port}/hook`, timeoutMs: 2_000 });
  expect(described(await sending.send(request))).toBe('failed: timeout');
  expect((await sending.send(request)).kind).toBe('delivered');
  expect(proxy.accepted()).toBe(2);
});

test('closing cuts what is underway, as an outcome', async () => {
  const server = await hostile(() => undefined);
  const sending = sender(server.port);
  const outcome = sending.send(testRequest({ url: server.url, timeoutMs: 60_000 }));
  await waitFor(() => server.requests === 1);
  await sending.close();
  expect(described(await outcome)).toBe('failed: local');
  await waitFor(() => server.sockets.size === 0);
});
