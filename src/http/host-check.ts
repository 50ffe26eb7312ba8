import { isIPv4 } from 'node:net';

/**
 * A web page can point its own name at this machine (DNS rebinding); a browser then lets that page read our answers. Only the `Host`
 * header reveals this: it contains the page's name. So the API answers only to loopback names, to its own address and to the names that
 * the operator has configured.
 */

/** The name or address of a `Host` header, in lower case, without its port; undefined if the header is not valid. */
export function hostOf(header: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::\d{1,5})?$/i.exec(header ?? '');
  return (match?.[1] ?? match?.[2])?.toLowerCase().replace(/\.$/, '');
}

export interface HostPolicy {
  /** Host of `http.listen`. */
  listen: string;
  /** `http.hosts`, in lower case. */
  hosts: readonly string[];
}

/** Whether a request for `host` may be answered. `local` is the address on which its connection arrived. */
export function isOurHost(
  host: string | undefined,
  local: string | undefined,
  { listen, hosts }: HostPolicy,
): boolean {
  if (host === undefined) return false;
  const isLoopback = host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));
  return isLoopback || host === listen.toLowerCase() || host === plainAddress(local) || hosts.includes(host);
}

/** An IPv4 address in dotted form, also if an IPv6 socket reports it. */
function plainAddress(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/, '').toLowerCase();
}
