import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { afterEach, describe, expect, test } from 'vitest';
import { createSender } from '../../src/delivery/send/send.ts';
import type { Outcome } from '../../src/delivery/types.ts';
import { authority, certificate, expiredCertificate, key } from './certificates.ts';
import { described } from './misbehaviour.ts';
import { testRequest } from './request.ts';

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function listen(server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closing.push(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return (server.address() as AddressInfo).port;
}

function tlsServer(options: TlsOptions): Server {
  return createTlsServer({ key, cert: certificate, ...options }, (socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'));
  });
}

/** Sends over TLS to a name that resolves to loopback. */
async function sendTo(
  port: number,
  name: string,
  { trust = true, timeoutMs = 5_000 } = {},
): Promise<Outcome> {
  const sender = createSender({
    guard: {
      allowHttp: false,
      allowPrivateNetworks: [{ cidr: '127.0.0.0/8' }],
      allowedPorts: [port],
      forbidden: [],
    },
    resolve: () => Promise.resolve([{ address: '127.0.0.1', family: 4 }]),
    ...(trust ? { ca: authority } : {}),
  });
  const outcome = await sender.send(testRequest({ url: `https://${name}:${port}/`, timeoutMs }));
  await sender.close();
  return outcome;
}

describe('TLS', () => {
  test.each([
    ['a good certificate', 'hooks.example.com', {}, 'delivered'],
    ['a good certificate, a dot after the name', 'hooks.example.com.', {}, 'delivered'],
    ['an expired certificate', 'hooks.example.com', { cert: expiredCertificate }, 'failed: tls'],
    ["another name's certificate", 'other.example.com', {}, 'failed: tls'],
    ['an address the certificate does not name', '127.0.0.1', {}, 'failed: tls'],
    [
      'TLS 1.1',
      'hooks.example.com',
      { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0' },
      'failed: tls',
    ],
  ] as [string, string, TlsOptions, string][])('%s', async (_kind, name, options, expected) => {
    const port = await listen(tlsServer(options));
    expect(described(await sendTo(port, name))).toBe(expected);
  });

  test('an untrusted authority', async () => {
    const port = await listen(tlsServer({}));
    expect(described(await sendTo(port, 'hooks.example.com', { trust: false }))).toBe('failed: tls');
  });

  test('a server that offers HTTP/2 is spoken to in HTTP/1.1', async () => {
    const port = await listen(tlsServer({ ALPNProtocols: ['h2', 'http/1.1'] }));
    expect(described(await sendTo(port, 'hooks.example.com'))).toBe('delivered');
  });

  test('plain HTTP where TLS is expected', async () => {
    const port = await listen(
      createTcpServer((socket) => {
        socket.on('error', () => undefined);
        socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
      }),
    );
    expect(described(await sendTo(port, 'hooks.example.com'))).toBe('failed: tls');
  });

  test.each([
    ['never begins', () => undefined],
    [
      'stops in the middle',
      (write: (bytes: Buffer) => void) => write(Buffer.from([0x16, 0x03, 0x03, 0x40, 0x00, 0x02])),
    ],
  ])('a handshake that %s costs one deadline', async (_kind, act) => {
    const port = await listen(
      createTcpServer((socket) => {
        socket.on('error', () => undefined);
        socket.once('data', () => act((bytes) => socket.write(bytes)));
      }),
    );
    const startMs = performance.now();
    expect(described(await sendTo(port, 'hooks.example.com', { timeoutMs: 300 }))).toBe('failed: timeout');
    expect(performance.now() - startMs).toBeLessThan(2_500);
  });
});

describe('DNS', () => {
  const guard = { allowHttp: true, allowPrivateNetworks: [], allowedPorts: [80], forbidden: [] };

  test('a name that does not exist', async () => {
    const resolve = () =>
      Promise.reject(Object.assign(new Error('getaddrinfo ENOTFOUND'), { code: 'ENOTFOUND' }));
    const sender = createSender({ guard, resolve });
    expect(described(await sender.send(testRequest({ url: 'http://gone.example.com/' })))).toBe(
      'failed: dns',
    );
    await sender.close();
  });

  test('a resolver that never answers costs one deadline', async () => {
    const sender = createSender({ guard, resolve: () => new Promise(() => undefined) });
    const startMs = performance.now();
    const outcome = await sender.send(testRequest({ url: 'http://slow.example.com/', timeoutMs: 300 }));
    expect(described(outcome)).toBe('failed: timeout');
    expect(performance.now() - startMs).toBeLessThan(2_500);
    await sender.close();
  });

  test("the system's resolver: a reserved name does not exist, and one question serves all who wait", async () => {
    const sender = createSender({ guard });
    const request = testRequest({ url: 'http://hooks.invalid/', timeoutMs: 20_000 });
    const outcomes = await Promise.all([sender.send(request), sender.send(request), sender.send(request)]);
    expect(outcomes.map(described)).toEqual(['failed: dns', 'failed: dns', 'failed: dns']);
    await sender.close();
  });
});
