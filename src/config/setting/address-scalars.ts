import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { type DatabaseUrl, parseDatabaseUrl } from '../../db/connection/database-url.ts';
import { AppError } from '../../lib/errors.ts';
import { ifText, scalar } from './scalar.ts';
import type { PrivateNetwork } from '../types.ts';

/** See parseDatabaseUrl; `ssl-ca` is relative to `baseDir`. */
export function databaseUrl(baseDir: string) {
  return scalar<DatabaseUrl>({
    mustBe: 'a database URL: mysql://user:password@host:3306/schema',
    json: { type: 'string', pattern: '^(mysql|mariadb)://' },
    parse: ifText((given) => parseDatabaseUrl(given, { baseDir })),
  });
}

/** `10.0.0.0/8`, `fd00::/8`, one address, each optionally with a port: `10.1.2.3:8443`, `[fd00::/8]:8443`. */
export function network() {
  return scalar<PrivateNetwork>({
    mustBe:
      'a network such as 10.0.0.0/8 or fd00::/8, optionally with a port: 10.1.2.3/32:8443, [fd00::/8]:8443',
    json: { type: 'string' },
    parse: ifText(parseNetwork),
  });
}

function parseNetwork(given: string): PrivateNetwork | undefined {
  const match = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(given) ?? /^([0-9./]+)(?::(\d{1,5}))?$/.exec(given);
  const [, range = given, portText] = match ?? [];
  const cidr = range.includes('/') ? range : `${range}/${isIP(range) === 6 ? 128 : 32}`;
  if (isIP(cidr.split('/')[0] ?? '') === 0 || !ipaddr.isValidCIDR(cidr)) return undefined;
  if (portText === undefined) return { cidr };
  const port = Number(portText);
  return port >= 1 && port <= 65_535 ? { cidr, port } : undefined;
}

/** `127.0.0.1:8377`, `[::1]:8377`, `localhost:0` → host and port. */
export function listenAddress() {
  return scalar<{ host: string; port: number }>({
    mustBe: 'an address and a port, such as 127.0.0.1:8377 or [::1]:8377',
    json: { type: 'string', pattern: ':[0-9]+$' },
    parse: ifText((given) => {
      const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(given);
      const port = Number(match?.[3]);
      const host = match?.[1] ?? match?.[2];
      return host !== undefined && port <= 65_535 ? { host, port } : undefined;
    }),
  });
}

/** `webhooks.clinic.example`, `10.0.0.5` or `[fd00::5]`, without a port → in lower case, without brackets. */
export function hostName() {
  return scalar<string>({
    mustBe: 'a host name or an address without a port, such as webhooks.clinic.example',
    json: { type: 'string', minLength: 1, maxLength: 255 },
    parse: ifText((given) => {
      const bare = given.replace(/^\[(.*)\]$/, '$1');
      if (isIP(bare) !== 0) return bare.toLowerCase();
      return /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(given) && given.length <= 255
        ? given.toLowerCase()
        : undefined;
    }),
  });
}

/** Whether http:// and the target address are allowed is checked later, with the settings of `delivery`. */
export function webhookUrl() {
  return scalar<string>({
    mustBe: 'a URL such as https://api.example.com/webhooks, of at most 2048 characters',
    json: { type: 'string', maxLength: 2_048, pattern: '^[hH][tT][tT][pP][sS]?://[^ @/?#]+[^ @]*$' },
    parse: ifText((given) => {
      if (/[\p{C}\p{Z}]/u.test(given)) {
        throw new AppError(
          'ERR_CONFIG',
          'has a space or an invisible character: leave it out, or write %20 for a space within the path or the query',
        );
      }
      const url = given.length <= 2_048 ? URL.parse(given) : null;
      if (url === null || !['http:', 'https:'].includes(url.protocol)) return undefined;
      if (url.username === '' && url.password === '') return given;
      throw new AppError('ERR_CONFIG', 'has a user or a password: send them as a header, see headers');
    }),
  });
}
