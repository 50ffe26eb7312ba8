import { afterEach, beforeEach, expect, test } from 'vitest';
import { startReceiver, type ReceivedWebhook, type Receiver } from '../../../src/demo/receiver.ts';
import { signatureHeaders } from '../../../src/delivery/send/signature.ts';
import { generateSecret } from '../../../src/lib/secret.ts';

const secret = generateSecret();
const body =
  '{"event":"payment.received","timestamp":"2026-03-07T15:30:00.000Z","data":{"payment_id":7,"amount":500.00}}';

let receiver: Receiver;
let received: ReceivedWebhook[];
beforeEach(async () => {
  received = [];
  receiver = await startReceiver({ secret, onWebhook: (webhook) => received.push(webhook) });
});
afterEach(() => receiver.stop());

interface Forgery {
  signedWith?: string;
  ageSeconds?: number;
  sent?: string;
  headers?: Record<string, string>;
}

async function post({
  signedWith = secret,
  ageSeconds = 0,
  sent = body,
  headers = {},
}: Forgery = {}): Promise<number> {
  const timestampSeconds = Math.floor(Date.now() / 1_000) - ageSeconds;
  const signed = signatureHeaders({
    id: 'evt_1',
    body,
    timestampSeconds,
    secrets: [signedWith],
    legacySignature: true,
  });
  const response = await fetch(receiver.url, {
    method: 'POST',
    body: sent,
    headers: {
      'content-type': 'application/json',
      'x-webhook-event': 'payment.received',
      ...signed,
      ...headers,
    },
  });
  await response.arrayBuffer();
  return response.status;
}

test('a genuine webhook is recorded and thanked for', async () => {
  expect(await post()).toBe(204);
  expect(received).toMatchObject([
    {
      id: 'evt_1',
      type: 'payment.received',
      data: { payment_id: 7, amount: 500 },
      copy: 0,
      problem: undefined,
    },
  ]);
});

test('the same id again is a copy', async () => {
  await post();
  await post();
  await post({ headers: { 'webhook-id': 'evt_2' } });
  expect(received.map(({ id, copy }) => [id, copy])).toEqual([
    ['evt_1', 0],
    ['evt_1', 1],
    ['evt_2', 0],
  ]);
});

test.each<[string, Forgery, RegExp]>([
  ['another secret', { signedWith: generateSecret() }, /standardwebhooks/],
  ['an altered body', { sent: body.replace('500.00', '900.00') }, /standardwebhooks/],
  ['an old timestamp', { ageSeconds: 3_600 }, /standardwebhooks/],
  ['no standard signature', { headers: { 'webhook-signature': '' } }, /standardwebhooks/],
  ['a wrong legacy signature', { headers: { 'x-webhook-signature': '0'.repeat(64) } }, /x-webhook-signature/],
  [
    'an event header of another event',
    { headers: { 'x-webhook-event': 'payment.refunded' } },
    /x-webhook-event/,
  ],
])('%s is refused with its reason', async (_name, forgery, reason) => {
  expect(await post(forgery)).toBe(401);
  expect(received).toHaveLength(1);
  expect(received[0]!.problem).toMatch(reason);
});

test('stop does not wait for idle connections', async () => {
  await post();
  await receiver.stop();
  await expect(post()).rejects.toThrow();
});
