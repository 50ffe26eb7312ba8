import type { KeyObject } from 'node:crypto';
import { getCACertificates } from 'node:tls';
import { systemClock } from '../../lib/clock.ts';
import { Attempt } from './attempt.ts';
import { createResolve, type Resolve } from './connect.ts';
import { ClientCertificates, type ClientCertificate, type NamedCertificates } from './client-certificates.ts';
import { ConnectionWatch } from './connection-watch.ts';
import { toFailure } from './failure.ts';
import { createGuard, type Guard, type GuardOptions, type Target } from './guard.ts';
import { checkWebhookHeaders } from './headers.ts';
import { Pools } from './pools.ts';
import { signatureHeaders, standardKey } from './signature.ts';
import type { Outcome, Request } from '../types.ts';

export interface SenderOptions {
  guard: GuardOptions;
  /** Default: the system's resolver. */
  resolve?: Resolve;
  /** Certificate authorities (PEM) that are trusted in addition to the system's. */
  ca?: string | undefined;
  /** Client certificates, by the name that webhooks use. */
  clientCertificates?: NamedCertificates;
}

/** Sends one request once. */
export interface Sender {
  /** Never rejects: every reaction of the receiver is an outcome. */
  send(request: Request): Promise<Outcome>;
  /** Aborts requests in flight (each ends with an outcome) and closes all connections. */
  close(): Promise<void>;
}

type Verdict = { target: Target } | { problem: string };

const maximumVerdicts = 10_000;

function toHeaders(request: Request, body: Buffer, keys: readonly KeyObject[]): Record<string, string> {
  return {
    'content-type': 'application/json',
    'user-agent': 'OdontologyApp-Webhooks/1.0',
    'accept-encoding': 'identity',
    'x-webhook-event': request.eventType,
    ...signatureHeaders({
      id: request.eventId,
      body,
      timestampSeconds: Math.floor(systemClock.now() / 1_000),
      secrets: request.secrets,
      keys,
      legacySignature: request.legacySignature,
    }),
    ...request.headers,
  };
}

/** Checks URLs and webhooks' own headers, each once: the rules are fixed for the sender's life. */
class RequestChecker {
  readonly #guard: Guard;
  readonly #verdicts = new Map<string, Verdict>();
  readonly #headerProblems = new WeakMap<object, string>();

  constructor(guard: Guard) {
    this.#guard = guard;
  }

  check({ url, headers }: Request): Verdict {
    const verdict = this.#checkUrl(url);
    if ('problem' in verdict) return verdict;
    const problem = this.#checkHeaders(headers);
    return problem === '' ? verdict : { problem };
  }

  #checkUrl(url: string): Verdict {
    const known = this.#verdicts.get(url);
    if (known) return known;
    if (this.#verdicts.size >= maximumVerdicts) this.#verdicts.clear();
    const verdict = this.#guard.checkUrl(url);
    this.#verdicts.set(url, verdict);
    return verdict;
  }

  /** The first problem of the webhook's own headers, or the empty string. */
  #checkHeaders(headers: Request['headers']): string {
    const known = this.#headerProblems.get(headers);
    if (known !== undefined) return known;
    const problem = checkWebhookHeaders(headers)[0] ?? '';
    this.#headerProblems.set(headers, problem);
    return problem;
  }
}

/**
 * Builds the sender: signs, checks the address, sends over a pooled connection and returns the outcome. The form of
 * a URL and of a webhook's own headers is checked once for each (the rules are fixed for the sender's life), the address at
 * every connection.
 */
export function createSender(options: SenderOptions): Sender {
  const guard = createGuard(options.guard);
  const pools = new Pools({
    guard,
    resolve: options.resolve ?? createResolve(),
    ca: options.ca === undefined ? undefined : [...getCACertificates('default'), options.ca],
  });
  const certificates = new ClientCertificates(options.clientCertificates ?? {});
  const watch = new ConnectionWatch();
  const check = new RequestChecker(guard);
  const keysOf = new WeakMap<Request['secrets'], KeyObject[]>();

  function signingKeys(secrets: Request['secrets']): KeyObject[] {
    const keys = keysOf.get(secrets) ?? secrets.map(standardKey);
    keysOf.set(secrets, keys);
    return keys;
  }

  return {
    send(request) {
      const verdict = check.check(request);
      if ('problem' in verdict) {
        return Promise.resolve({ kind: 'forbidden', message: verdict.problem, durationMs: 0 });
      }
      let client: ClientCertificate | undefined;
      try {
        client = request.clientCertificate === null ? undefined : certificates.get(request.clientCertificate);
      } catch (error) {
        return Promise.resolve({ kind: 'failed', ...toFailure(error), reason: 'local', durationMs: 0 });
      }
      return new Promise((resolve) => {
        const pool = pools.acquire(verdict.target, { timeoutMs: request.timeoutMs, client });
        const body = Buffer.from(request.body);
        const attempt = new Attempt(request.timeoutMs, watch.follow(body), (outcome) => {
          pools.release(pool);
          // The other idle connections may be dead, too: the second try gets a new one.
          if (outcome.kind === 'failed' && outcome.idleConnectionDied) pools.retire(pool);
          resolve(outcome);
        });
        pool.dispatcher.dispatch(
          {
            origin: verdict.target.origin,
            path: verdict.target.path,
            method: 'POST',
            headers: toHeaders(request, body, signingKeys(request.secrets)),
            body,
          },
          attempt,
        );
      });
    },
    close() {
      watch.close();
      return pools.close();
    },
  };
}
