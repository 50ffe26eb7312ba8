import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import {
  signatureHeaders,
  signLegacy,
  signStandard,
  verifyWebhookSignature,
} from '../../src/delivery/send/signature.ts';
import { checkSecret, generateSecret } from '../../src/lib/secret.ts';

/** The example that the Standard Webhooks specification's reference libraries share. */
const vector = {
  secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw',
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  timestamp: '1614265330',
  body: '{"test": 2432232314}',
  signature: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
};

const atVector = 1_614_265_330_000;

const headersOf = (signature: string, more: Record<string, string> = {}): Record<string, string> => ({
  'webhook-id': vector.id,
  'webhook-timestamp': vector.timestamp,
  'webhook-signature': signature,
  ...more,
});

describe('the vector of the specification', () => {
  test('is what we sign, with and without the prefix', () => {
    expect(signStandard(vector.secret, vector)).toBe(vector.signature);
    expect(signStandard(vector.secret.slice('whsec_'.length), vector)).toBe(vector.signature);
    expect(signStandard(vector.secret, { ...vector, body: Buffer.from(vector.body) })).toBe(vector.signature);
  });

  test('is what we verify', () => {
    const { body, secret } = vector;
    expect(
      verifyWebhookSignature({ body, secret, headers: headersOf(vector.signature), now: atVector }),
    ).toBe(true);
  });

  test.each([
    ['among others', `v1,${'A'.repeat(43)}= v2,${'A'.repeat(43)}= ${vector.signature} v1,AAAA`, true],
    ['under another version', vector.signature.replace('v1,', 'v2,'), false],
    ['asymmetric only', `v1a,${'A'.repeat(86)}==`, false],
    ['cut short', vector.signature.slice(0, 8), false],
    ['empty', 'v1,', false],
    ['nothing', '', false],
    ['without its version', vector.signature.slice(3), false],
    ['joined by a comma', `v1,AAAA, ${vector.signature}`, true],
  ])('a signature %s', (_name, signature, expected) => {
    const { body, secret } = vector;
    expect(verifyWebhookSignature({ body, secret, headers: headersOf(signature), now: atVector })).toBe(
      expected,
    );
  });

  test.each([
    ['299 s late', 299, true],
    ['300 s late', 300, true],
    ['301 s late', 301, false],
    ['300 s early', -300, true],
    ['301 s early', -301, false],
  ])('a request that is %s', (_name, seconds, expected) => {
    const { body, secret } = vector;
    const now = atVector + seconds * 1_000;
    expect(verifyWebhookSignature({ body, secret, headers: headersOf(vector.signature), now })).toBe(
      expected,
    );
  });

  test.each([
    ['no id', { 'webhook-id': '' }],
    ['a timestamp in words', { 'webhook-timestamp': 'hello' }],
    ['a timestamp with a sign', { 'webhook-timestamp': '+1614265330' }],
    ['a timestamp with a fraction', { 'webhook-timestamp': '1614265330.0' }],
    ['another id', { 'webhook-id': 'msg_other' }],
    ['another timestamp', { 'webhook-timestamp': '1614265331' }],
  ])('a request with %s is refused', (_name, headers) => {
    const { body, secret } = vector;
    const all = headersOf(vector.signature, headers);
    expect(verifyWebhookSignature({ body, secret, headers: all, now: atVector })).toBe(false);
  });
});

describe('verifyWebhookSignature', () => {
  const { body, secret } = vector;
  const legacy = { 'x-webhook-signature': signLegacy(secret, body) };

  test('reads headers in any case, and a single value in a list', () => {
    const headers = {
      'Webhook-Id': vector.id,
      'WEBHOOK-TIMESTAMP': [vector.timestamp],
      'Webhook-Signature': vector.signature,
    };
    expect(verifyWebhookSignature({ body, secret, headers, now: atVector })).toBe(true);
  });

  test('takes several secrets while one is rotated', () => {
    const secrets = [generateSecret(), secret];
    const headers = headersOf(vector.signature);
    expect(verifyWebhookSignature({ body, secret: secrets, headers, now: atVector })).toBe(true);
  });

  test('the legacy signature alone counts only when asked for', () => {
    expect(verifyWebhookSignature({ body, secret, headers: legacy })).toBe(false);
    expect(verifyWebhookSignature({ body, secret, headers: legacy, allowLegacy: true })).toBe(true);
    expect(verifyWebhookSignature({ body: `${body} `, secret, headers: legacy, allowLegacy: true })).toBe(
      false,
    );
  });

  test('a bad standard signature is not rescued by a good legacy one', () => {
    const headers = { ...headersOf('v1,AAAA'), ...legacy };
    expect(verifyWebhookSignature({ body, secret, headers, now: atVector, allowLegacy: true })).toBe(false);
    const late = { ...headersOf(vector.signature), ...legacy };
    expect(verifyWebhookSignature({ body, secret, headers: late, now: 0, allowLegacy: true })).toBe(false);
  });

  test('the tolerance can be chosen', () => {
    const options = { body, secret, headers: headersOf(vector.signature), now: atVector + 20_000 };
    expect(verifyWebhookSignature({ ...options, toleranceSeconds: 10 })).toBe(false);
    expect(verifyWebhookSignature({ ...options, toleranceSeconds: 30 })).toBe(true);
  });

  test.each([
    ['an empty secret', ''],
    ['no secrets', []],
    ['an empty one among them', [secret, '']],
    ['an undefined variable', undefined as unknown as string],
  ])('%s is a mistake, not a key', (_name, bad) => {
    const headers = headersOf(vector.signature);
    expect(() => verifyWebhookSignature({ body, secret: bad, headers, now: atVector })).toThrow(TypeError);
  });
});

describe('secrets', () => {
  test('a generated one verifies under both schemes as one string', () => {
    const secret = generateSecret();
    expect(secret).toMatch(/^whsec_[0-9a-f]{64}$/);
    expect(checkSecret(secret)).toBeUndefined();
    const headers = signatureHeaders({
      id: 'evt_1',
      body: 'x',
      timestampSeconds: Math.floor(Date.now() / 1_000),
      secrets: [secret],
      legacySignature: true,
    });
    expect(() => new Webhook(secret).verify('x', { ...headers }, { jsonParse: false })).not.toThrow();
    expect(headers['x-webhook-signature']).toBe(signLegacy(secret, 'x'));
  });

  test.each([
    ['canonical with prefix', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', true],
    ['canonical without prefix', 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', true],
    ['64 hex characters', 'ab'.repeat(32), true],
    ['with padding', `whsec_${Buffer.alloc(25, 7).toString('base64')}`, true],
    ['23 bytes', `whsec_${Buffer.alloc(23, 7).toString('base64')}`, false],
    ['without its padding', `whsec_${Buffer.alloc(25, 7).toString('base64').replaceAll('=', '')}`, false],
    ['with stray bits', `whsec_${Buffer.alloc(25, 7).toString('base64').replace('w==', 'x==')}`, false],
    ['the URL alphabet', `whsec_${Buffer.alloc(24, 0xff).toString('base64url').replaceAll('_', '-')}`, false],
    ['with a line end', `whsec_${Buffer.alloc(24, 7).toString('base64')}\n`, false],
    ['with a space before', ` whsec_${Buffer.alloc(24, 7).toString('base64')}`, false],
    ['two prefixes', `whsec_whsec_${Buffer.alloc(24, 7).toString('base64')}`, false],
    ['words', 'correct horse battery staple, twice', false],
    ['empty', '', false],
    ['only the prefix', 'whsec_', false],
    ['longer than needed', 'A'.repeat(1_024), false],
  ])('%s', (_name, secret, good) => {
    const problem = checkSecret(secret);
    expect(problem === undefined).toBe(good);
    if (secret.length > 10) expect(problem ?? '').not.toContain(secret);
  });

  test('one that is not base64 signs with its own bytes, as the libraries do with format raw', () => {
    const secret = 'put into the table by hand, not base64';
    const headers = signatureHeaders({
      id: 'evt_1',
      body: '{}',
      timestampSeconds: Math.floor(Date.now() / 1_000),
      secrets: [secret],
      legacySignature: false,
    });
    expect(new Webhook(secret, { format: 'raw' }).verify('{}', { ...headers })).toEqual({});
    expect(headers).not.toHaveProperty('x-webhook-signature');
  });
});
