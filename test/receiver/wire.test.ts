import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Webhook as StandardWebhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { createSender, type Sender } from '../../src/delivery/send/send.ts';
import type { Request } from '../../src/delivery/types.ts';
import { verifyWebhookSignature } from '../../src/index.ts';
import { generateSecret } from '../../src/lib/secret.ts';
import { type Received, type Receiver, startReceiver } from '../delivery/receiver.ts';

type Headers = Record<string, string>;

/** Every way to verify that a receiver in Node is likely to have, each with the whole secret as it was shown. */
const verifiers: Record<string, (request: Received, secret: string) => boolean> = {
  standardwebhooks: ({ body, headers }, secret) =>
    passes(() => new StandardWebhook(secret).verify(body, headers as Headers)),
  svix: ({ body, headers }, secret) => passes(() => new SvixWebhook(secret).verify(body, headers as Headers)),
  'our library': ({ body, headers }, secret) => verifyWebhookSignature({ body, headers, secret }),
  // What the application's own documentation tells receivers to do with the raw body.
  'hex HMAC of the raw body': ({ body, headers }, secret) =>
    headers['x-webhook-signature'] === createHmac('sha256', secret).update(body).digest('hex'),
};

function passes(verify: () => unknown): boolean {
  try {
    verify();
    return true;
  } catch {
    return false;
  }
}

const bodies = {
  plain:
    '{"event":"payment.received","timestamp":"2026-03-07T15:30:00.000Z","data":{"payment_id":123,"amount":500.00}}',
  'accents and emoji':
    '{"event":"patient.created","timestamp":"2026-03-07T15:30:00.000Z","data":{"first_name":"Zoé Ñúñez 🦷"}}',
  'line ends and escapes':
    '{"event":"patient.updated","timestamp":"t","data":{"notes":"a\\r\\nb\\u2028\\"c\\\\"}}',
  large: JSON.stringify({ event: 'budget.created', timestamp: 't', data: { items: 'ñ'.repeat(300_000) } }),
};

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

async function deliver(more: Partial<Request>): Promise<Received> {
  const outcome = await sender.send({
    eventId: 'evt_0123456789abcdef0123456789abcdef',
    eventType: 'payment.received',
    url: target.url,
    body: bodies.plain,
    secrets: [generateSecret()],
    headers: {},
    timeoutMs: 5_000,
    legacySignature: true,
    clientCertificate: null,
    ...more,
  });
  expect(outcome.kind).toBe('delivered');
  return target.received.at(-1)!;
}

describe.each(Object.entries(verifiers))('%s', (_name, verify) => {
  test.each(Object.entries(bodies))('verifies a delivery: %s', async (_body, body) => {
    const secret = generateSecret();
    const received = await deliver({ body, secrets: [secret] });
    expect(received.body).toBe(body);
    expect(verify(received, secret)).toBe(true);
  });

  test('refuses another secret', async () => {
    expect(verify(await deliver({}), generateSecret())).toBe(false);
  });

  test('refuses a changed body', async () => {
    const secret = generateSecret();
    const received = await deliver({ secrets: [secret] });
    expect(verify({ ...received, body: received.body.replace('500.00', '900.00') }, secret)).toBe(false);
  });

  test('verifies with the new secret while a rotation overlaps', async () => {
    const secrets = [generateSecret(), generateSecret()];
    expect(verify(await deliver({ secrets }), secrets[0]!)).toBe(true);
  });
});

describe.each(['standardwebhooks', 'svix', 'our library'])('%s', (name) => {
  test('verifies with the old secret while a rotation overlaps, and no longer', async () => {
    const [fresh, old] = [generateSecret(), generateSecret()];
    expect(verifiers[name]!(await deliver({ secrets: [fresh, old] }), old)).toBe(true);
    expect(verifiers[name]!(await deliver({ secrets: [fresh] }), old)).toBe(false);
  });

  test('verifies without the legacy signature', async () => {
    const secret = generateSecret();
    const received = await deliver({ secrets: [secret], legacySignature: false });
    expect(received.headers).not.toHaveProperty('x-webhook-signature');
    expect(verifiers[name]!(received, secret)).toBe(true);
  });
});

test('the request is what the contract says', async () => {
  const before = Math.floor(Date.now() / 1_000);
  const { headers, path } = await deliver({
    headers: { 'X-Clinic': 'central' },
    url: `${target.url}?clinic=1`,
  });
  expect(path).toBe('/hook?clinic=1');
  expect(headers).toMatchObject({
    'content-type': 'application/json',
    'user-agent': 'OdontologyApp-Webhooks/1.0',
    'x-webhook-event': 'payment.received',
    'webhook-id': 'evt_0123456789abcdef0123456789abcdef',
    'accept-encoding': 'identity',
    'content-length': String(Buffer.byteLength(bodies.plain)),
    'x-clinic': 'central',
    host: `127.0.0.1:${target.port}`,
  });
  expect(headers['x-webhook-signature']).toMatch(/^[0-9a-f]{64}$/);
  expect(headers['webhook-signature']).toMatch(/^v1,[A-Za-z0-9+/]{43}=$/);
  expect(Number(headers['webhook-timestamp'])).toBeGreaterThanOrEqual(before);
  expect(Number(headers['webhook-timestamp'])).toBeLessThanOrEqual(Date.now() / 1_000);
});

test('two signatures are in one header while a rotation overlaps', async () => {
  const { headers } = await deliver({ secrets: [generateSecret(), generateSecret()] });
  expect(headers['webhook-signature']).toMatch(/^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$/);
});
