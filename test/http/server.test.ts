import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { defaultLimits } from '../../src/http/connections.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { hostOf, isOurHost } from '../../src/http/host-check.ts';
import { ask, startTestApi, type TestApi } from './support.ts';

/** Nothing here reads the store. */
const vault = { store: undefined as never, cipher: clearCipher };
const authorization = 'Bearer auditor-token';

describe('the HTTP server', () => {
  const sockets: Socket[] = [];
  let api: TestApi;

  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await api.stop();
  });

  const port = (): number => Number(new URL(api.http.url).port);

  async function open(): Promise<Socket> {
    const socket = connect(port(), '127.0.0.1');
    socket.on('error', () => undefined);
    sockets.push(socket);
    await once(socket, 'connect');
    return socket;
  }

  it.each([
    'evil.example',
    'evil.example:8377',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '10.9.8.7',
    '[::2]',
  ])('refuses the API under Host %s, and answers health and metrics', async (host) => {
    api = await startTestApi({ vault });
    for (const path of [
      '/api/me',
      '/api/openapi.json',
      '/',
      '/api/unknown',
      '/healthz/../api/me',
      '/readyz/',
    ]) {
      const { status, text } = await ask(api.http.url + path, { headers: { host, authorization } });
      expect({ path, status, body: JSON.parse(text) as unknown }).toEqual({
        path,
        status: 421,
        body: {
          message: expect.stringContaining('Host'),
          code: 'ERR_HOST',
          remedy: expect.stringContaining('http.hosts'),
        },
      });
    }
    for (const path of ['/healthz', '/readyz', '/metrics'])
      expect((await ask(api.http.url + path, { headers: { host } })).status).toBe(200);
  });

  it.each([
    '127.0.0.1',
    'localhost',
    'LOCALHOST:80',
    'localhost.',
    '127.0.0.2',
    '[::1]:8377',
    'Webhooks.Clinic.example:443',
  ])('answers the API under Host %s', async (host) => {
    api = await startTestApi({ vault }, { hosts: ['webhooks.clinic.example'] });
    expect((await ask(`${api.http.url}/api/me`, { headers: { host, authorization } })).status).toBe(200);
  });

  it('refuses a request without a Host, and one with two', async () => {
    api = await startTestApi({ vault });
    for (const head of [
      'GET /api/me HTTP/1.0\r\n',
      'GET /api/me HTTP/1.1\r\nHost: evil.example\r\nHost: localhost\r\n',
    ]) {
      const socket = await open();
      socket.write(`${head}authorization: ${authorization}\r\n\r\n`);
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(String(answer)).toMatch(/^HTTP\/1.1 4(21|00) /);
    }
  });

  it('serves others beside 400 idle connections, and keeps at most its limit', async () => {
    api = await startTestApi({ vault });
    const ended: Promise<unknown>[] = [];
    for (let n = 0; n < 400; n += 1) ended.push(once(await open(), 'close'));
    expect((await ask(`${api.http.url}/healthz`)).status).toBe(200);
    // The oldest make room; the request above took one more place.
    await Promise.all(ended.slice(0, 400 - defaultLimits.connections + 1));
    expect(sockets.filter(({ destroyed }) => !destroyed).length).toBeLessThan(defaultLimits.connections + 1);
  });

  it('serves others beside connections that send a part of a request', async () => {
    api = await startTestApi({ vault });
    for (let n = 0; n < 150; n += 1) {
      (await open()).write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
      (await open()).write(
        'POST /api/replays HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{',
      );
    }
    expect((await ask(`${api.http.url}/healthz`)).status).toBe(200);
  });

  it('closes connections that do not send their headers, and connections that send no further request', async () => {
    api = await startTestApi(
      { vault },
      { limits: { ...defaultLimits, headersTimeoutMs: 200, requestTimeoutMs: 400, keepAliveTimeoutMs: 200 } },
    );
    const silent = await open();
    const slow = await open();
    slow.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n');
    const kept = await open();
    kept.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    for (const socket of [silent, slow, kept]) socket.resume();
    await Promise.all([silent, slow, kept].map((socket) => once(socket, 'close')));
  });
});

describe('hosts', () => {
  it('are read without their port, and nothing else is one', () => {
    expect(
      ['a.example:1', '[FD00::1]:8377', 'A.', '', undefined, 'a b', 'user@a', 'a/b', 'a:b', '[::1'].map(
        hostOf,
      ),
    ).toEqual([
      'a.example',
      'fd00::1',
      'a',
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('are ours where a connection to all addresses arrived', () => {
    const policy = { listen: '0.0.0.0', hosts: [] };
    expect(isOurHost('10.0.0.5', '::ffff:10.0.0.5', policy)).toBe(true);
    expect(isOurHost('10.0.0.6', '::ffff:10.0.0.5', policy)).toBe(false);
    expect(isOurHost('fd00::5', 'fd00::5', policy)).toBe(true);
  });
});
