import { errors } from 'undici';
import { AppError, codeOf } from '../../lib/errors.ts';
import type { FailureReason } from '../types.ts';
import { describeStatus, toExplanation } from '../explain.ts';

type Words = readonly [reason: FailureReason, words: string];

const closed = 'the connection was closed before the answer was complete';
const stopping = 'odontology-webhooks was stopping and aborted the request';
const otherName = 'the certificate is for another name';
const unknownAuthority =
  'the certificate cannot be verified: the receiver does not send that of its authority, or delivery.ca_file does not hold it';

/** The meaning of codes of Node, OpenSSL and undici. Any other code gets the text of its reason. */
const words: Readonly<Record<string, Words>> = {
  ENOTFOUND: ['dns', 'the name does not exist'],
  EAI_NONAME: ['dns', 'the name does not exist'],
  ENODATA: ['dns', 'the name has no address'],
  EAI_NODATA: ['dns', 'the name has no address'],
  EAI_AGAIN: ['dns', 'the resolver did not answer in time'],
  EAI_FAIL: ['dns', 'the resolver failed'],
  ESERVFAIL: ['dns', 'the resolver failed'],
  ECONNREFUSED: ['refused', 'the connection was refused'],
  EHOSTUNREACH: ['unreachable', 'there is no route to the receiver'],
  ENETUNREACH: ['unreachable', 'there is no route to the receiver'],
  EHOSTDOWN: ['unreachable', 'the host of the receiver is down'],
  ENETDOWN: ['unreachable', 'the network of this machine is down'],
  EADDRNOTAVAIL: ['unreachable', 'this machine has no address or port left to connect from'],
  ECONNRESET: ['reset', closed],
  ECONNABORTED: ['reset', closed],
  EPIPE: ['reset', closed],
  UND_ERR_SOCKET: ['reset', closed],
  UND_ERR_PRX_CONN: ['reset', 'the proxy closed the connection before it had connected'],
  ETIMEDOUT: ['timeout', 'the connection timed out'],
  UND_ERR_CONNECT_TIMEOUT: ['timeout', 'the connection was not open within the time limit'],
  UND_ERR_DESTROYED: ['local', stopping],
  UND_ERR_CLOSED: ['local', stopping],
  UND_ERR_INVALID_ARG: ['local', 'the request could not be built'],
  UND_ERR_HEADERS_OVERFLOW: ['protocol', 'the headers of the answer are larger than 16 KiB'],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: [
    'protocol',
    'the answer has another length than its content-length says',
  ],
  UND_ERR_PRX_TLS: ['tls', 'the certificate of the proxy is for another name'],
  EPROTO: ['tls', 'the TLS handshake failed'],
  CERT_HAS_EXPIRED: ['tls', 'the certificate has expired'],
  CERT_NOT_YET_VALID: ['tls', 'the certificate is not valid yet'],
  CERT_REVOKED: ['tls', 'the certificate was revoked'],
  ERR_TLS_CERT_ALTNAME_INVALID: ['tls', otherName],
  HOSTNAME_MISMATCH: ['tls', otherName],
  DEPTH_ZERO_SELF_SIGNED_CERT: [
    'tls',
    'the certificate is self-signed, and delivery.ca_file does not hold it',
  ],
  SELF_SIGNED_CERT_IN_CHAIN: [
    'tls',
    'the certificate is from an authority that delivery.ca_file does not hold',
  ],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['tls', unknownAuthority],
  UNABLE_TO_GET_ISSUER_CERT: ['tls', unknownAuthority],
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['tls', unknownAuthority],
  EMFILE: ['local', 'this process has no file descriptor left: raise its limit of open files'],
  ENFILE: ['local', 'this machine has no file descriptor left'],
  ENOBUFS: ['local', 'this machine has no memory left for connections'],
};

const byReason: Readonly<Record<FailureReason, string>> = {
  dns: 'the name could not be looked up',
  refused: 'the connection was refused',
  unreachable: 'there is no route to the receiver',
  reset: closed,
  tls: 'the TLS handshake failed',
  timeout: 'there was no complete answer within the time limit',
  protocol: 'the answer is not valid HTTP/1.1',
  local: 'the request could not be made',
  other: 'the request failed',
};

/** An attempt that we aborted, with our own message. */
export class AttemptError extends Error {
  readonly code: 'ERR_DEADLINE' | 'ERR_RESPONSE' | 'ERR_READ_ENOUGH';

  constructor(code: AttemptError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** @see https://nodejs.org/api/tls.html#x509-certificate-error-codes */
const isOfTls =
  /^(?:ERR_TLS_|ERR_SSL_|CERT_|CRL_|UNABLE_TO_|ERROR_IN_C|SELF_SIGNED_|(?:INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED)$)/;

function reasonOf(error: unknown, code: string | undefined): FailureReason {
  if (error instanceof errors.HTTPParserError) return 'protocol';
  if (error instanceof AttemptError) return error.code === 'ERR_DEADLINE' ? 'timeout' : 'protocol';
  if (error instanceof AppError) return 'local';
  if (code === undefined) return 'other';
  return words[code]?.[0] ?? (isOfTls.test(code) ? 'tls' : 'other');
}

/**
 * The reason and the explanation of a connection error: `10.0.0.1:443: the connection was refused (ECONNREFUSED)`. If several addresses failed, the last
 * one is named. Only the code and the address of a foreign error are used, because its message may contain anything.
 */
export function toFailure(error: unknown): { reason: FailureReason; message: string } {
  const last: unknown =
    error instanceof AggregateError && error.errors.length > 0 ? error.errors.at(-1) : error;
  const code = codeOf(last) ?? codeOf(error);
  const reason = reasonOf(last, code);
  return { reason, message: toExplanation(inWords(last, reason, code)) };
}

function inWords(error: unknown, reason: FailureReason, code: string | undefined): string {
  if (error instanceof AppError || error instanceof AttemptError) return error.message;
  const proxyStatus = proxyStatusOf(error);
  if (proxyStatus !== undefined)
    return `the proxy refused to connect: it answered ${describeStatus(proxyStatus)}`;
  const place = placeOf(error);
  const isWord = code !== undefined && /^[A-Z0-9_]{1,64}$/.test(code);
  const what = (isWord ? words[code]?.[1] : undefined) ?? byReason[reason];
  return `${place === undefined ? '' : `${place}: `}${what}${isWord ? ` (${code})` : ''}`;
}

/** The status with which a proxy refused a tunnel: undici returns it only in the message. */
function proxyStatusOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  const [, status] = /^Proxy response \((\d{3})\) /.exec(error.message) ?? [];
  return status === undefined ? undefined : Number(status);
}

/** The address of the connection, or the name that was looked up, from the fields of Node's error. */
function placeOf(error: unknown): string | undefined {
  const { address, port, hostname, host } = Object(error) as Record<string, unknown>;
  if (typeof address === 'string' && typeof port === 'number')
    return `${address.includes(':') ? `[${address}]` : address}:${port}`;
  return [address, hostname, host].find((text) => typeof text === 'string');
}
