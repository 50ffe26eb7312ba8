import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { apiRoutes } from '../../src/http/routes.ts';
import { errorCatalogue } from '../../src/lib/errors.ts';
import { ask, startTestApi, type TestApi } from './support.ts';

const vault = { store: undefined as never, cipher: clearCipher };
const authorization = 'Bearer admin-token';
const secret = 'patient-4711';
const json = { 'content-type': 'application/json' };

describe('what the API refuses before a route sees it', () => {
  let api: TestApi;
  beforeAll(async () => {
    api = await startTestApi({ vault });
  });
  afterAll(() => api.stop());

  /** Sends bytes as they stand. */
  async function sendRaw(request: string): Promise<{ status: number; text: string }> {
    const socket = connect(Number(new URL(api.http.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.end(request);
    const answer = await text(socket);
    return { status: Number(answer.slice(9, 12)), text: answer.slice(answer.indexOf('\r\n\r\n') + 4) };
  }

  const head = `Host: 127.0.0.1\r\nAuthorization: ${authorization}\r\n`;

  it.each<[string, number, string, () => Promise<{ status: number; text: string }>]>([
    [
      'a part of the address that is too long',
      414,
      'ERR_REQUEST_SIZE',
      () =>
        ask(`${api.http.url}/api/patients/${secret}${'9'.repeat(5_000)}/deliveries`, {
          headers: { authorization },
        }),
    ],
    [
      'an address that does not decode',
      400,
      'ERR_USAGE',
      () => ask(`${api.http.url}/api/patients/${secret}%E0%A4%A/deliveries`, { headers: { authorization } }),
    ],
    [
      'an address that is none',
      404,
      'ERR_NOT_FOUND',
      () => ask(`${api.http.url}/api/patient/${secret}`, { headers: { authorization } }),
    ],
    [
      'a body that is too large',
      413,
      'ERR_REQUEST_SIZE',
      () =>
        ask(`${api.http.url}/api/webhooks`, {
          method: 'POST',
          headers: { authorization, ...json },
          body: `"${secret}${'x'.repeat(70_000)}"`,
        }),
    ],
    [
      'a body of another type',
      415,
      'ERR_MEDIA_TYPE',
      () =>
        ask(`${api.http.url}/api/webhooks`, {
          method: 'POST',
          headers: { authorization, 'content-type': 'text/xml' },
          body: secret,
        }),
    ],
    [
      'a body of text',
      415,
      'ERR_MEDIA_TYPE',
      () =>
        ask(`${api.http.url}/api/webhooks`, {
          method: 'POST',
          headers: { authorization, 'content-type': 'text/plain' },
          body: secret,
        }),
    ],
    [
      'a body that is not JSON',
      400,
      'ERR_USAGE',
      () =>
        ask(`${api.http.url}/api/webhooks`, {
          method: 'POST',
          headers: { authorization, ...json },
          body: `{${secret}`,
        }),
    ],
    [
      'a query that the schema refuses',
      400,
      'ERR_USAGE',
      () => ask(`${api.http.url}/api/deliveries?since=${secret}`, { headers: { authorization } }),
    ],
    [
      'headers that are too large',
      431,
      'ERR_REQUEST_SIZE',
      () => sendRaw(`GET /api/patients/${secret} HTTP/1.1\r\n${head}X: ${'x'.repeat(20_000)}\r\n\r\n`),
    ],
    [
      'a header Expect that cannot be met',
      417,
      'ERR_USAGE',
      () => sendRaw(`POST /api/patients/${secret} HTTP/1.1\r\n${head}Expect: ${secret}\r\n\r\n`),
    ],
    ['what is not HTTP', 400, 'ERR_USAGE', () => sendRaw(`${secret}\r\n\r\n`)],
    ['a missing Host', 421, 'ERR_HOST', () => sendRaw(`GET /api/patients/${secret} HTTP/1.1\r\n\r\n`)],
  ])('answers %s with %d %s, a remedy, and nothing of the request', async (_what, status, code, send) => {
    const answer = await send();
    expect(answer.status, answer.text).toBe(status);
    const body = JSON.parse(answer.text) as Record<string, unknown>;
    expect(Object.keys(body)).toEqual(['message', 'code', 'remedy']);
    expect(body['code']).toBe(code);
    expect(Object.keys(errorCatalogue)).toContain(code);
    expect(answer.text).not.toContain(secret);
  });

  it.each([
    ['{ "name": "a", "name": "b" }', 'name'],
    ['{ "name": "a", "n\\u0061me": "b" }', 'name'],
    ['{ "filter": { "x:{\\"": 1, "y": { "x": 2 }, "x:{\\"": 3 } }', 'x:{"'],
    ['[{ "a": 1 }, { "a": 2, "b": [{ "c": 1, "c": 1 }] }]', 'c'],
  ])('refuses a body that has a key twice: %s', async (body, key) => {
    const socket = await sendRaw(
      `POST /api/webhooks HTTP/1.1\r\n${head}Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    expect(socket.status).toBe(400);
    expect(JSON.parse(socket.text)).toEqual({
      message: `the body has the key ${JSON.stringify(key)} twice`,
      code: 'ERR_USAGE',
      remedy: 'Write it once.',
    });
  });

  it('answers a method that an address does not have with 405 and Allow', async () => {
    const paths = Map.groupBy(apiRoutes, ({ path }) => path);
    for (const [path, routes] of paths) {
      const own = routes.map(({ method }) => method as string);
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY', 'PROPFIND'].filter(
        (each) => !own.includes(each),
      )) {
        const response = await fetch(api.http.url + path.replace(/:\w+/g, '1'), { method });
        expect([path, method, response.status]).toEqual([path, method, 405]);
        expect(response.headers.get('allow')!.split(', ')).toEqual(expect.arrayContaining(own));
        expect(await response.json()).toMatchObject({ code: 'ERR_METHOD' });
      }
    }
  });

  it.each([
    { who: 'auditor', request: 'POST /api/replays', status: 403, role: 'operator or admin' },
    { who: 'operator', request: 'GET /api/webhooks', status: 403, role: 'admin' },
    { who: 'no token', request: 'GET /api/deliveries', status: 401, role: 'auditor or operator or admin' },
  ])('names the role that $who lacks for $request', async ({ who, request, status, role }) => {
    const [method = '', path = ''] = request.split(' ');
    const headers = who === 'no token' ? {} : { authorization: `Bearer ${who}-token` };
    const answer = await ask(api.http.url + path, { method, headers });
    expect(answer.status).toBe(status);
    const body = JSON.parse(answer.text) as { message: string; remedy: string };
    expect(body.message).toBe('No autorizado');
    expect(body.remedy).toContain(`the role ${role}:`);
  });

  it('has what it refuses of dates in the schema', () => {
    const { since } = apiRoutes.find(({ path }) => path === '/api/deliveries')!.query!;
    const fits = new Ajv2020({ strict: false }).compile(since!);
    for (const day of [
      '2026-03-07',
      '2024-02-29',
      '2000-02-29',
      '2026-03-07T23:59Z',
      '2026-03-07T15:30:00.5-04:00',
    ])
      expect([day, fits(day)]).toEqual([day, true]);
    for (const day of [
      '0000-00-00',
      '2026-02-30',
      '2025-02-29',
      '2100-02-29',
      '2026-04-31',
      '2026-13-01',
      '2026-03-07T24:00Z',
      '1969-12-31',
      '٢٠٢٦-03-07',
    ])
      expect([day, fits(day)]).toEqual([day, false]);
  });
});
