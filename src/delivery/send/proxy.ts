import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** The proxies of the environment, by the scheme of the target. */
export interface Proxies {
  https: string | null;
  http: string | null;
  /** The entries of NO_PROXY. */
  exempt: readonly string[];
}

/**
 * Whether NO_PROXY names a target, by curl's rules: `*` is every host, `example.com` and `.example.com` are that name and all names
 * below it, an address or a network is compared as such, and a port limits an entry to that port.
 * @see https://curl.se/docs/manpage.html#NOPROXY
 */
export function isExempt(target: { hostname: string; port: number }, exempt: readonly string[]): boolean {
  const host = target.hostname
    .replace(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
  return exempt.some((entry) => {
    if (entry === '*') return true;
    const { name, port } = splitPort(entry);
    if (port !== undefined && port !== target.port) return false;
    return isIP(host) === 0 ? matchesName(host, name) : matchesAddress(host, name);
  });
}

function splitPort(entry: string): { name: string; port: number | undefined } {
  const match = /^(\[[^\]]+\]|[^:]+):(\d{1,5})$/.exec(entry);
  const name = (match?.[1] ?? entry).replace(/^\[|\]$/g, '');
  return { name: name.toLowerCase(), port: match?.[2] === undefined ? undefined : Number(match[2]) };
}

function matchesName(host: string, name: string): boolean {
  const bare = name.replace(/^\*?\.|\.$/g, '');
  return bare !== '' && (host === bare || host.endsWith(`.${bare}`));
}

function matchesAddress(host: string, name: string): boolean {
  const address = ipaddr.process(host);
  if (ipaddr.isValid(name)) return ipaddr.process(name).toString() === address.toString();
  if (!ipaddr.isValidCIDR(name)) return false;
  const network = ipaddr.parseCIDR(name);
  return network[0].kind() === address.kind() && address.match(network);
}
