import { createHmac, createSecretKey, timingSafeEqual, type KeyObject } from 'node:crypto';
import { systemClock } from '../../lib/clock.ts';
import { secretKey } from '../../lib/secret.ts';

/** The signed input: the exact bytes of one attempt. */
export interface SignedMessage {
  /** `webhook-id`. */
  id: string;
  /** `webhook-timestamp`, seconds since 1970 UTC, as the header has it. */
  timestamp: string;
  body: string | Buffer;
}

/** The key object of a secret. Node takes five times as long to create one (12 µs) as to sign with it, so cache it. */
export function standardKey(secret: string): KeyObject {
  return createSecretKey(secretKey(secret));
}

/**
 * `v1,<base64>`: HMAC-SHA256 of `id.timestamp.body` under the key that the secret encodes.
 * @internal
 */
export function signStandard(secret: string | KeyObject, { id, timestamp, body }: SignedMessage): string {
  const hmac = createHmac('sha256', typeof secret === 'string' ? standardKey(secret) : secret);
  hmac.update(`${id}.${timestamp}.`);
  return `v1,${hmac.update(body).digest('base64')}`;
}

/**
 * Lower-case hex HMAC-SHA256 of the body, keyed with the whole secret string.
 * @internal
 */
export function signLegacy(secret: string, body: string | Buffer): string {
  return createHmac('sha256', secret).update(body).digest('hex');
}

export interface SignatureHeaders {
  'webhook-id': string;
  'webhook-timestamp': string;
  'webhook-signature': string;
  'x-webhook-signature'?: string;
}

export interface SignOptions {
  id: string;
  body: string | Buffer;
  /** Seconds since 1970 UTC. */
  timestampSeconds: number;
  /** Current secret first. Each adds a standard signature; the legacy header has room for the first only. */
  secrets: readonly string[];
  /** `standardKey` of each secret, if the caller caches them. */
  keys?: readonly KeyObject[];
  legacySignature: boolean;
}

/** The headers that prove one attempt's origin. */
export function signatureHeaders(options: SignOptions): SignatureHeaders {
  const { id, body, secrets, keys = secrets } = options;
  const timestamp = String(options.timestampSeconds);
  const headers: SignatureHeaders = {
    'webhook-id': id,
    'webhook-timestamp': timestamp,
    'webhook-signature': keys.map((key) => signStandard(key, { id, timestamp, body })).join(' '),
  };
  const current = secrets[0];
  if (options.legacySignature && current !== undefined) {
    headers['x-webhook-signature'] = signLegacy(current, body);
  }
  return headers;
}

/** The result for one of the two signatures of a request: `expired` is a valid signature with a timestamp out of tolerance. */
export type SignatureCheck = 'valid' | 'mismatch' | 'expired' | 'malformed' | 'missing';

export interface VerifyOptions {
  /** The raw body, before any parsing: a re-serialised one has other bytes. */
  body: string | Buffer;
  /** The request's headers, names in any case; Node's `request.headers` fits. */
  headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** The webhook's secret; while you rotate it, the new one and the old one. */
  secret: string | readonly string[];
  /** How far `webhook-timestamp` may be from now, in seconds, either way. Default 300. */
  toleranceSeconds?: number;
  /** Present time in milliseconds since 1970 UTC. Default: the clock. */
  now?: number;
  /**
   * Accept a request that has only `x-webhook-signature`. Off by default: that signature has no timestamp, so an attacker
   * who records a request can replay it at any time, and one who can remove a header can choose the weaker scheme.
   */
  allowLegacy?: boolean;
}

function headerOf(headers: VerifyOptions['headers'], name: string): string | undefined {
  const exact = headers[name];
  const value =
    exact ?? Object.entries(headers).find(([key]) => key.toLowerCase() === name && key !== name)?.[1];
  if (value === undefined || typeof value === 'string') return value;
  // Two copies of a header are joined, as HTTP does; the result matches no signature.
  return value.join(', ');
}

function equal(given: string, expected: string): boolean {
  const a = Buffer.from(given);
  const b = Buffer.from(expected);
  return a.length === b.length && timingSafeEqual(a, b);
}

function checkStandard(options: VerifyOptions, secrets: readonly string[]): SignatureCheck {
  const given = headerOf(options.headers, 'webhook-signature');
  if (given === undefined) return 'missing';
  const id = headerOf(options.headers, 'webhook-id');
  const timestamp = headerOf(options.headers, 'webhook-timestamp');
  if (!id || timestamp === undefined || !/^\d{1,12}$/.test(timestamp)) return 'malformed';
  const signatures = given.split(' ').filter((signature) => signature.startsWith('v1,'));
  const matches = secrets.some((secret) => {
    const expected = signStandard(secret, { id, timestamp, body: options.body });
    return signatures.some((signature) => equal(signature, expected));
  });
  if (!matches) return 'mismatch';
  const nowSeconds = Math.floor((options.now ?? systemClock.now()) / 1_000);
  const tolerance = options.toleranceSeconds ?? 300;
  return Math.abs(nowSeconds - Number(timestamp)) <= tolerance ? 'valid' : 'expired';
}

function checkLegacy(options: VerifyOptions, secrets: readonly string[]): SignatureCheck {
  const given = headerOf(options.headers, 'x-webhook-signature');
  if (given === undefined) return 'missing';
  if (!/^[0-9a-f]{64}$/.test(given)) return 'malformed';
  return secrets.some((secret) => equal(given, signLegacy(secret, options.body))) ? 'valid' : 'mismatch';
}

/**
 * Checks each of the two signatures separately, to report which one failed and why.
 * @throws TypeError when a secret is missing or empty.
 */
export function inspectSignatures(options: VerifyOptions): {
  standard: SignatureCheck;
  legacy: SignatureCheck;
} {
  const secrets = typeof options.secret === 'string' ? [options.secret] : options.secret;
  if (secrets.length === 0 || secrets.some((secret) => typeof secret !== 'string' || secret === '')) {
    // An undefined environment variable must not become a publicly known key.
    throw new TypeError('verifyWebhookSignature needs a secret that is not empty');
  }
  return { standard: checkStandard(options, secrets), legacy: checkLegacy(options, secrets) };
}

/**
 * Whether a received webhook is genuine: signed with the secret, and recent. Comparison takes constant time.
 *
 * `webhook-signature` (Standard Webhooks) must be valid whenever it is there, so that a valid `x-webhook-signature` never compensates for an invalid one;
 * the latter alone counts only with `allowLegacy`. Never throws for any content of a request;
 * throws a TypeError when there is no secret.
 *
 * ```js
 * if (!verifyWebhookSignature({ body: rawBody, headers: request.headers, secret })) return response.writeHead(401).end();
 * ```
 */
export function verifyWebhookSignature(options: VerifyOptions): boolean {
  const { standard, legacy } = inspectSignatures(options);
  if (standard !== 'missing') return standard === 'valid';
  return options.allowLegacy === true && legacy === 'valid';
}
