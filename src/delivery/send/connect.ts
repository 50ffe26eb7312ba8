import { lookup as getaddrinfo } from 'node:dns/promises';
import { isIP, type LookupFunction, type Socket } from 'node:net';
import { buildConnector } from 'undici';
import type { ClientCertificate } from './client-certificates.ts';
import { ForbiddenAddressError, type Guard } from './guard.ts';

export interface ResolvedAddress {
  address: string;
  family: number;
}

/** Asks the system's resolver for all addresses of a name. */
export type Resolve = (hostname: string) => Promise<ResolvedAddress[]>;

/**
 * The system's resolver, with one query at a time for a name: otherwise 8 connections opened at once to one endpoint would need twice the 4 threads that
 * all lookups and file operations of the process share.
 */
export function createResolve(): Resolve {
  const underway = new Map<string, Promise<ResolvedAddress[]>>();
  return (hostname) => {
    const known = underway.get(hostname);
    if (known) return known;
    const question = getaddrinfo(hostname, { all: true, order: 'verbatim' }).finally(() =>
      underway.delete(hostname),
    );
    underway.set(hostname, question);
    return question;
  };
}

export interface ConnectorOptions {
  guard: Guard;
  resolve: Resolve;
  port: number;
  /** From the DNS query to the end of the TLS handshake. */
  timeoutMs: number;
  /** Certificate authorities (PEM) that are trusted; the system's when undefined. */
  ca: readonly string[] | undefined;
  /** The client certificate. */
  client: ClientCertificate | undefined;
}

/** The problem of the DNS answers: one forbidden address refuses all of them. */
function checkAnswers(
  addresses: readonly ResolvedAddress[],
  { guard, port }: ConnectorOptions,
): Error | undefined {
  if (addresses.length === 0) return Object.assign(new Error('the name has no address'), { code: 'ENODATA' });
  for (const { address } of addresses) {
    const problem = guard.checkAddress(address, port);
    if (problem !== undefined) return new ForbiddenAddressError(problem);
  }
  return undefined;
}

/** A lookup for the socket that returns only addresses that the guard allows. */
function guardedLookup(options: ConnectorOptions): LookupFunction {
  return (hostname, { all }, callback) => {
    options.resolve(hostname).then(
      (addresses) => {
        const fault = checkAnswers(addresses, options);
        if (fault !== undefined) callback(fault, []);
        else if (all) callback(null, addresses);
        else callback(null, addresses[0]!.address, addresses[0]!.family);
      },
      (error: unknown) => callback(error as NodeJS.ErrnoException, []),
    );
  };
}

/** The problem of a connected socket's peer: the final check, whatever happened between lookup and connect. */
function checkPeer(socket: Socket, { guard, port }: ConnectorOptions): Error | undefined {
  if (socket.remoteAddress === undefined) {
    return Object.assign(new Error('the connection closed at once'), { code: 'ECONNRESET' });
  }
  const problem = guard.checkAddress(socket.remoteAddress, port);
  return problem === undefined ? undefined : new ForbiddenAddressError(problem);
}

/** Looks up the names that are forbidden with this port: nearly always none, because no receiver shares a database's port. */
async function learnForbidden({ guard, resolve, port }: ConnectorOptions): Promise<void> {
  for (const name of guard.forbiddenNames(port)) {
    // A name that cannot be looked up now keeps the addresses it had.
    const addresses = await resolve(name).catch(() => undefined);
    if (addresses !== undefined)
      guard.learn(
        name,
        addresses.map(({ address }) => address),
      );
  }
}

/**
 * Opens connections to one origin, checked three times: a literal address before connecting (a socket calls no lookup
 * for it), every answer of DNS, from which the socket takes its address without a second query, and the peer.
 */
export function createConnector(options: ConnectorOptions): buildConnector.connector {
  const { guard, port } = options;
  const connect = buildConnector({
    lookup: guardedLookup(options),
    timeout: options.timeoutMs,
    // HTTP/1.1 only: a second protocol would double the attack surface.
    allowH2: false,
    maxCachedSessions: 4,
    ...(options.ca === undefined ? {} : { ca: [...options.ca] }),
    ...options.client,
  });
  const connectChecked: buildConnector.connector = (target, callback) => {
    const problem = isIP(target.hostname) === 0 ? undefined : guard.checkAddress(target.hostname, port);
    if (problem !== undefined) {
      queueMicrotask(() => callback(new ForbiddenAddressError(problem), null));
      return;
    }
    connect(target, (...[error, socket]) => {
      if (error) {
        callback(error, null);
        return;
      }
      const fault = checkPeer(socket, options);
      if (fault) {
        socket.destroy();
        callback(fault, null);
      } else {
        callback(null, socket);
      }
    });
  };
  return (target, callback) => {
    if (guard.forbiddenNames(port).length === 0) connectChecked(target, callback);
    else void learnForbidden(options).then(() => connectChecked(target, callback));
  };
}
