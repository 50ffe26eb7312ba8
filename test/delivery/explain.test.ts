import { getSystemErrorMap } from 'node:util';
import * as dns from 'node:dns';
import { errors } from 'undici';
import { describe, expect, it } from 'vitest';
import { explainOutcome } from '../../src/delivery/explain.ts';
import { AttemptError, toFailure } from '../../src/delivery/send/failure.ts';
import { createGuard } from '../../src/delivery/send/guard.ts';
import { checkWebhookHeaders } from '../../src/delivery/send/headers.ts';
import type { FailureReason, Outcome } from '../../src/delivery/types.ts';
import { AppError } from '../../src/lib/errors.ts';

const secret = 'whsec_verraten Bearer-xyz paciente=Ana';

/** The codes of a failed certificate, as Node gives them. https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const certificateCodes = [
  ...['UNABLE_TO_GET_ISSUER_CERT', 'UNABLE_TO_GET_CRL', 'UNABLE_TO_DECRYPT_CERT_SIGNATURE'],
  ...['UNABLE_TO_DECRYPT_CRL_SIGNATURE', 'UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY', 'CERT_SIGNATURE_FAILURE'],
  ...['CRL_SIGNATURE_FAILURE', 'CERT_NOT_YET_VALID', 'CERT_HAS_EXPIRED', 'CRL_NOT_YET_VALID'],
  ...['CRL_HAS_EXPIRED', 'ERROR_IN_CERT_NOT_BEFORE_FIELD', 'ERROR_IN_CERT_NOT_AFTER_FIELD'],
  ...['ERROR_IN_CRL_LAST_UPDATE_FIELD', 'ERROR_IN_CRL_NEXT_UPDATE_FIELD'],
  ...['DEPTH_ZERO_SELF_SIGNED_CERT', 'SELF_SIGNED_CERT_IN_CHAIN', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY'],
  ...['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'CERT_CHAIN_TOO_LONG', 'CERT_REVOKED', 'INVALID_CA'],
  ...['PATH_LENGTH_EXCEEDED', 'INVALID_PURPOSE', 'CERT_UNTRUSTED', 'CERT_REJECTED', 'HOSTNAME_MISMATCH'],
];
const systemCodes = [...getSystemErrorMap().values()].map(([code]) => code);
const dnsCodes = Object.values(dns).flatMap((value) => (typeof value === 'string' ? [value] : []));
/** https://undici.nodejs.org/#/docs/api/Errors */
const undiciCodes = [
  ...['CONNECT_TIMEOUT', 'HEADERS_TIMEOUT', 'HEADERS_OVERFLOW', 'BODY_TIMEOUT', 'INVALID_ARG', 'ABORTED'],
  ...['INVALID_RETURN_VALUE', 'REQ_CONTENT_LENGTH_MISMATCH', 'RES_CONTENT_LENGTH_MISMATCH', 'DESTROYED'],
  ...['CLOSED', 'SOCKET', 'NOT_SUPPORTED', 'RES_EXCEEDED_MAX_SIZE', 'PRX_TLS', 'PRX_CONN', 'INFO'],
].map((name) => `UND_ERR_${name}`);
const allCodes = new Set([
  ...certificateCodes,
  ...systemCodes,
  ...dnsCodes,
  ...undiciCodes,
  'ERR_SSL_WRONG_VERSION',
]);

const failureOf = (code: string, more: object = {}) =>
  toFailure(Object.assign(new Error(secret), { code, ...more }));

describe('why an attempt failed', () => {
  it.each([...allCodes])('has words of our own for %s', (code) => {
    const { reason, message } = failureOf(code);
    expect(message).toMatch(/^[a-z][ -~]{10,}$/i);
    expect(message).toContain(`(${code})`);
    expect(message).not.toMatch(/whsec|Bearer|paciente/);
    if (certificateCodes.includes(code)) expect(reason).toBe('tls');
  });

  it.each([
    ['ENOTFOUND', { hostname: 'pagos.example' }, 'dns', 'pagos.example: the name does not exist (ENOTFOUND)'],
    [
      'ECONNREFUSED',
      { address: '10.0.0.1', port: 443 },
      'refused',
      '10.0.0.1:443: the connection was refused (ECONNREFUSED)',
    ],
    [
      'ECONNREFUSED',
      { address: '::1', port: 8_443 },
      'refused',
      '[::1]:8443: the connection was refused (ECONNREFUSED)',
    ],
    [
      'ERR_TLS_CERT_ALTNAME_INVALID',
      { host: 'pagos.example' },
      'tls',
      'pagos.example: the certificate is for another name (ERR_TLS_CERT_ALTNAME_INVALID)',
    ],
    [
      'EMFILE',
      {},
      'local',
      'this process has no file descriptor left: raise its limit of open files (EMFILE)',
    ],
    [secret, {}, 'other', 'the request failed'],
    [
      'ENOTFOUND',
      { hostname: 'a\n\u001b[2Kb' },
      'dns',
      'a\\u000a\\u001b[2Kb: the name does not exist (ENOTFOUND)',
    ],
  ] as [string, object, FailureReason, string][])('%s at %j', (code, more, reason, message) => {
    expect(failureOf(code, more)).toEqual({ reason, message });
  });

  it.each([
    [
      Object.assign(new errors.HTTPParserError(secret), { code: 'HPE_INVALID_HEADER_TOKEN' }),
      'protocol',
      'the answer is not valid HTTP/1.1 (HPE_INVALID_HEADER_TOKEN)',
    ],
    [
      new errors.RequestAbortedError('Proxy response (407) !== 200 when HTTP Tunneling'),
      'other',
      'the proxy refused to connect: it answered 407 Proxy Authentication Required',
    ],
    [
      new AttemptError('ERR_DEADLINE', 'no complete answer within 15000 ms'),
      'timeout',
      'no complete answer within 15000 ms',
    ],
    [
      new AppError('ERR_CONFIG', 'delivery.client_certificates.bank cannot be used'),
      'local',
      'delivery.client_certificates.bank cannot be used',
    ],
    [
      new AggregateError([new Error(secret), Object.assign(new Error(secret), { code: 'ENETUNREACH' })]),
      'unreachable',
      'there is no route to the receiver (ENETUNREACH)',
    ],
    // The address alone, without a port, is named as it is.
    [
      Object.assign(new Error(secret), { code: 'ENETUNREACH', address: '10.0.0.1' }),
      'unreachable',
      '10.0.0.1: there is no route to the receiver (ENETUNREACH)',
    ],
    [
      Object.assign(new Error(secret), { code: 'ENETUNREACH', port: 443, host: 'clinic.example' }),
      'unreachable',
      'clinic.example: there is no route to the receiver (ENETUNREACH)',
    ],
    [secret, 'other', 'the request failed'],
    [null, 'other', 'the request failed'],
  ] as [unknown, FailureReason, string][])('%s', (error, reason, message) => {
    expect(toFailure(error)).toEqual({ reason, message });
  });

  it.each([
    [{ kind: 'delivered', status: 204, responseBody: secret, durationMs: 1 }, null],
    [
      { kind: 'rejected', status: 503, responseBody: secret, durationMs: 1 },
      'the receiver answered 503 Service Unavailable',
    ],
    [
      { kind: 'rejected', status: 307, responseBody: secret, durationMs: 1 },
      'the receiver answered 307 Temporary Redirect: redirects are not followed',
    ],
    [{ kind: 'rejected', status: 799, responseBody: secret, durationMs: 1 }, 'the receiver answered 799'],
    [
      { kind: 'gone', status: 410, responseBody: secret, durationMs: 1 },
      'the receiver answered 410 Gone: it wants no more events',
    ],
    [
      { kind: 'failed', reason: 'reset', message: 'the connection was closed', durationMs: 1, status: 200 },
      'after the status 200 OK: the connection was closed',
    ],
    [
      {
        kind: 'failed',
        reason: 'reset',
        message: 'the connection was closed',
        durationMs: 1,
        idleConnectionDied: true,
      },
      'the connection was closed; it had been idle, so the next try follows at once',
    ],
    [{ kind: 'forbidden', message: 'a\r\nb', durationMs: 0 }, 'a\\u000d\\u000ab'],
  ] as [Outcome, string | null][])('%j', (outcome, words) => {
    expect(explainOutcome(outcome)).toBe(words);
  });

  it('fits in its column, whatever a name is made of', () => {
    const words = explainOutcome({ kind: 'forbidden', message: '\u001b😀'.repeat(400), durationMs: 0 })!;
    expect(Array.from(words)).toHaveLength(400);
  });

  it.each([
    [
      'https://10.0.0.1/',
      '10.0.0.1 is not a public address (private): delivery.allow_private_networks does not open it',
    ],
    ['https://169.254.169.254/', "169.254.169.254 may be a cloud's metadata service: never allowed"],
    ['http://pagos.example/', 'the scheme must be https: delivery.allow_http is off'],
    [
      'https://user:clave@pagos.example/',
      'the URL has a user name or password: use a header of the webhook instead',
    ],
    ['https://pagos.example:8443/', 'port 8443 is not in delivery.allowed_ports'],
    [
      'https://localhost/',
      'localhost is a name of an internal network: delivery.allow_private_networks is empty',
    ],
  ])('names what forbids %s', (url, words) => {
    const guard = createGuard({
      allowHttp: false,
      allowPrivateNetworks: [],
      allowedPorts: [443],
      forbidden: [],
    });
    expect(guard.checkUrl(url)).toEqual({ problem: words });
  });

  it('quotes no value of a header', () => {
    expect(checkWebhookHeaders({ authorization: `${secret}\r\nx: y` }).join()).not.toContain('whsec');
  });
});
