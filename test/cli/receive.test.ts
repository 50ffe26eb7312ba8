import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { formatReceived, receive, receiveCommand, type ReceivedWebhook } from '../../src/cli/receive.ts';
import { signatureHeaders } from '../../src/delivery/send/signature.ts';
import { AppError } from '../../src/lib/errors.ts';
import { generateSecret } from '../../src/lib/secret.ts';
import { waitFor } from '../support/wait-for.ts';

const secret = generateSecret();
const body =
  '{"event":"payment.received","timestamp":"2026-03-07T15:30:00.000Z","data":{"payment_id":123,"amount":500.00}}';
const stopping: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const stop of stopping.splice(0)) await stop();
});

/** Starts the receiver; `received` fills as webhooks arrive. */
async function start(options: Partial<Parameters<typeof receive>[0]> = {}) {
  const received: ReceivedWebhook[] = [];
  const ending = new AbortController();
  const { promise: listening, resolve } = Promise.withResolvers<string>();
  const running = receive(
    { host: '127.0.0.1', port: 0, secret, status: undefined, delayMs: 0, json: false, ...options },
    ending.signal,
    { listening: resolve, received: (webhook) => received.push(webhook) },
  );
  stopping.push(async () => {
    ending.abort();
    await running;
  });
  return { url: await Promise.race([listening, running.then(() => '')]), received };
}

function post(url: string, headers: Record<string, string> = {}, text = body): Promise<Response> {
  const signed = signatureHeaders({
    id: 'evt_1',
    body,
    timestampSeconds: Math.floor(Date.now() / 1_000),
    secrets: [secret],
    legacySignature: true,
  });
  const all = { ...signed, 'x-webhook-event': 'payment.received', ...headers };
  return fetch(url, { method: 'POST', body: text, headers: all });
}

describe('receive', () => {
  test('prints a genuine webhook and answers 200', async () => {
    const { url, received } = await start();
    expect((await post(url)).status).toBe(200);
    expect(received).toHaveLength(1);
    expect(received[0]).toMatchObject({
      id: 'evt_1',
      event: 'payment.received',
      verified: true,
      body,
      copies: 0,
    });
    expect(formatReceived(received[0]!)).toMatch(/both signatures valid; answered 200/);
    expect(formatReceived(received[0]!)).toMatch(/"amount": 500\.00$/m);
  });

  test.each([
    [
      'a changed body',
      {},
      body.replace('123', '124'),
      /webhook-signature does not match[^]*x-webhook-signature does not/,
    ],
    [
      'a bad standard signature',
      { 'webhook-signature': 'v1,AAAA' },
      body,
      /^(?![^]*x-webhook-signature)[^]*webhook-signature does not match/,
    ],
    [
      'a bad legacy signature',
      { 'x-webhook-signature': 'ab'.repeat(32) },
      body,
      /x-webhook-signature does not match/,
    ],
    ['an unreadable timestamp', { 'webhook-timestamp': 'now' }, body, /webhook-signature cannot be read/],
  ])('says which signature failed: %s', async (_name, headers, text, expected) => {
    const { url, received } = await start();
    expect((await post(url, headers, text)).status).toBe(401);
    expect(received[0]?.verified).toBe(false);
    expect(formatReceived(received[0]!)).toMatch(expected);
    expect(formatReceived(received[0]!)).toMatch(/NOT GENUINE/);
  });

  test('says so when the signature is of another time', async () => {
    const { url, received } = await start();
    const old = signatureHeaders({
      id: 'evt_1',
      body,
      timestampSeconds: 1_000,
      secrets: [secret],
      legacySignature: false,
    });
    await post(url, { ...old });
    expect(formatReceived(received[0]!)).toMatch(/more than 5 minutes from the clock/);
  });

  test('counts copies of one id', async () => {
    const { url, received } = await start();
    for (let count = 0; count < 3; count += 1) await post(url);
    expect(received.map(({ copies }) => copies)).toEqual([0, 1, 2]);
    expect(formatReceived(received[2]!)).toMatch(/seen 2 times before/);
  });

  test('without a secret nothing is verified, and it says so', async () => {
    const { url, received } = await start({ secret: undefined });
    expect((await post(url, { 'webhook-signature': 'v1,AAAA' })).status).toBe(200);
    expect(received[0]).toMatchObject({ verified: null, standard: null, legacy: null });
    expect(formatReceived(received[0]!)).toMatch(/not verified/);
  });

  test('misbehaves on request', async () => {
    const { url } = await start({ status: 503, delayMs: 100 });
    const startMs = performance.now();
    expect((await post(url)).status).toBe(503);
    expect(performance.now() - startMs).toBeGreaterThanOrEqual(95);
  });

  test('a port in use is one clear error', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const started = receive(
      { host: '127.0.0.1', port, secret, status: undefined, delayMs: 0, json: false },
      new AbortController().signal,
      { listening: () => undefined, received: () => undefined },
    );
    await expect(started).rejects.toMatchObject({
      code: 'ERR_PORT_IN_USE',
      remedy: expect.stringMatching(/--port/),
    });
    other.close();
  });

  test('ends at once when told, with a request underway', async () => {
    const { url, received } = await start({ delayMs: 60_000 });
    const broken = post(url).catch(() => 'broken off');
    await waitFor(
      async () =>
        (await fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(50) }).catch(() => true)) === true,
    );
    await stopping.pop()!();
    await broken;
    expect(received.length).toBeLessThanOrEqual(2);
  });
});

describe('the command line', () => {
  const run = (...args: string[]): Promise<unknown> => receiveCommand().parseAsync(args, { from: 'user' });

  test.each([
    [['--port', '99999'], /--port must be/],
    [['--port', 'x'], /--port must be/],
    [['--status', '99'], /--status must be/],
    [['--delay', 'soon'], /--delay must be a duration/],
    [['--secret', 'short'], /--secret: the secret is not canonical/],
  ])('%j is refused with what is right', async (args, expected) => {
    await expect(run(...args)).rejects.toThrow(expected);
    await expect(run(...args)).rejects.toBeInstanceOf(AppError);
  });
});
