import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkWebhookHeaders } from '../../src/delivery/send/headers.ts';
import { createSender, type Sender } from '../../src/delivery/send/send.ts';
import { type Receiver, startReceiver } from '../delivery/receiver.ts';
import { testRequest } from './request.ts';

let target: Receiver;
let sender: Sender;

beforeAll(async () => {
  target = await startReceiver();
  sender = createSender({
    guard: {
      allowHttp: true,
      allowPrivateNetworks: [{ cidr: '127.0.0.0/8', port: target.port }],
      allowedPorts: [],
      forbidden: [],
    },
  });
});

afterAll(async () => {
  await sender.close();
  await target.close();
});

const many = Object.fromEntries(Array.from({ length: 21 }, (_, index) => [`X-Header-${index}`, 'x']));

const refused: [kind: string, headers: Record<string, string>][] = [
  ['another host', { Host: 'internal.example' }],
  ['another length', { 'Content-Length': '3' }],
  ['another framing', { 'Transfer-Encoding': 'chunked' }],
  ['an upgrade', { Upgrade: 'websocket' }],
  ['a connection option', { Connection: 'close, x-clinic' }],
  ['a trailer', { Trailer: 'x' }],
  ['an expectation', { Expect: '100-continue' }],
  ['another content type', { 'content-type': 'text/plain' }],
  ['a content encoding', { 'Content-Encoding': 'gzip' }],
  ['an accepted encoding', { 'Accept-Encoding': 'gzip' }],
  ['another user agent', { 'User-Agent': 'curl' }],
  ['a proxy password', { 'Proxy-Authorization': 'Basic eDp5' }],
  ['a forwarded address', { 'X-Forwarded-For': '127.0.0.1' }],
  ['a forwarded host', { Forwarded: 'host=internal' }],
  ['another method', { 'X-HTTP-Method-Override': 'DELETE' }],
  ['another path', { 'X-Original-URL': '/admin' }],
  ['our signature', { 'Webhook-Signature': 'v1,AAAA' }],
  ['our legacy signature', { 'X-Webhook-Signature': 'aa' }],
  ['our event', { 'X-Webhook-Event': 'payment.refunded' }],
  ['a line end in a value', { 'X-Clinic': 'a\r\nX-Injected: 1' }],
  ['a line feed in a value', { 'X-Clinic': 'a\nX-Injected: 1' }],
  ['a NUL in a value', { 'X-Clinic': 'a\u0000' }],
  ['letters beyond ASCII', { 'X-Clinic': 'clínica' }],
  ['a line end in a name', { 'X-Clinic\r\nX-Injected': '1' }],
  ['a colon in a name', { 'X-Clinic: 1\r\nX': '1' }],
  ['a space in a name', { 'X Clinic': '1' }],
  ['a pseudo header', { ':authority': 'internal' }],
  ['an empty name', { '': '1' }],
  ['one name twice', { 'X-Clinic': '1', 'x-clinic': '2' }],
  ['too many', many],
  ['too long', { 'X-Clinic': 'a'.repeat(5_000) }],
];

describe("a webhook's own headers", () => {
  test.each(refused)('%s is refused when saved and at the attempt', async (_kind, headers) => {
    expect(checkWebhookHeaders(headers)).not.toEqual([]);
    const outcome = await sender.send(testRequest({ url: target.url, headers }));
    expect(outcome.kind).toBe('forbidden');
    expect(target.received).toEqual([]);
  });

  test('a problem does not quote the value', () => {
    expect(checkWebhookHeaders({ Authorization: 'Bearer s3cr3t\n' }).join()).not.toContain('s3cr3t');
  });
});

test.each([
  ['a token', { Authorization: 'Bearer abc.def' }],
  ['a name of one letter', { x: '1' }],
  ['an empty value', { 'X-Clinic': '' }],
  ['a tab', { 'X-Clinic': 'a\tb' }],
])('%s is sent as it is', async (_kind, headers) => {
  expect(checkWebhookHeaders(headers)).toEqual([]);
  expect((await sender.send(testRequest({ url: target.url, headers }))).kind).toBe('delivered');
  const [name, value] = Object.entries(headers)[0]!;
  expect(target.received.pop()?.headers[name.toLowerCase()]).toBe(value);
});
