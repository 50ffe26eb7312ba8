import { errors } from 'undici';
import { codeOf, messageOf } from '../../lib/errors.ts';
import type { FailureReason } from '../types.ts';

const reasons: Readonly<Record<string, FailureReason>> = {
  ENOTFOUND: 'dns',
  EAI_AGAIN: 'dns',
  EAI_FAIL: 'dns',
  EAI_NODATA: 'dns',
  EAI_NONAME: 'dns',
  ENODATA: 'dns',
  ESERVFAIL: 'dns',
  ECONNREFUSED: 'refused',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETDOWN: 'unreachable',
  ECONNRESET: 'reset',
  ECONNABORTED: 'reset',
  EPIPE: 'reset',
  UND_ERR_SOCKET: 'reset',
  UND_ERR_PRX_CONN: 'reset',
  ETIMEDOUT: 'timeout',
  UND_ERR_CONNECT_TIMEOUT: 'timeout',
  ERR_DEADLINE: 'timeout',
  UND_ERR_DESTROYED: 'local',
  UND_ERR_CLOSED: 'local',
  UND_ERR_HEADERS_OVERFLOW: 'protocol',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: 'protocol',
  ERR_RESPONSE: 'protocol',
  EPROTO: 'tls',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'tls',
  SELF_SIGNED_CERT_IN_CHAIN: 'tls',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'tls',
  UNABLE_TO_GET_ISSUER_CERT: 'tls',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'tls',
  EMFILE: 'local',
  ENFILE: 'local',
  ENOBUFS: 'local',
};

function reasonOfCode(code: string): FailureReason {
  if (/^(?:ERR_TLS_|ERR_SSL_|CERT_|CRL_|HOSTNAME_MISMATCH)/.test(code)) return 'tls';
  return reasons[code] ?? 'other';
}

function reasonOf(error: unknown, code: string | undefined): FailureReason {
  // The parser's errors carry no code.
  if (error instanceof errors.HTTPParserError) return 'protocol';
  return code === undefined ? 'other' : reasonOfCode(code);
}

/** The word and the sentence for an error of the connection. Of several addresses that failed, the last one speaks. */
export function toFailure(error: unknown): { reason: FailureReason; message: string } {
  const told: unknown =
    error instanceof AggregateError && error.errors.length > 0 ? error.errors.at(-1) : error;
  const code = codeOf(told) ?? codeOf(error);
  return {
    reason: reasonOf(told, code),
    message: messageOf(told).slice(0, 300),
  };
}
