import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';
import { AppError, messageOf } from '../../lib/errors.ts';
import { isExempt, type Proxies } from './proxy.ts';
import { writtenPath } from './written-path.ts';
import {
  type Address,
  facesOf,
  isMetadata,
  isThisMachine,
  isWithin,
  parseAddress,
  privateRange,
} from './address.ts';

/** The rules for targets: the section `delivery` of the configuration, and addresses of this process that are forbidden. */
export interface GuardOptions {
  allowHttp: boolean;
  /** Networks that are allowed although they are not public; with `port`, for that port only. */
  allowPrivateNetworks: readonly { cidr: string; port?: number | undefined }[];
  allowedPorts: readonly number[];
  /**
   * Addresses (or host names) with ports that are never reached: our own HTTP port and the databases. An entry on this machine forbids every address of
   * this machine, in any notation and on any interface.
   */
  forbidden: readonly { address: string; port: number }[];
  /** The proxies that check addresses instead of us (`delivery.proxy_is_guard`); without one we connect directly. */
  proxies?: Proxies | undefined;
}

/** The target of a URL whose form was checked. */
export interface Target {
  /** `https://api.example.com:8443` */
  origin: string;
  /** Path and query. */
  path: string;
  port: number;
}

/** Decides which targets are allowed. It returns problems as sentences for people, with the key that would allow the target. */
export interface Guard {
  /** Checks a URL by its form: scheme, port, name, literal address. */
  checkUrl(url: string): { target: Target } | { problem: string };
  /** Checks an address about to be connected to, or already connected to; undefined when it is allowed. */
  checkAddress(address: string, port: number): string | undefined;
  /** The forbidden host names of a port: their addresses are looked up and passed to `learn` before connecting. */
  forbiddenNames(port: number): string[];
  learn(name: string, addresses: readonly string[]): void;
  /** The URL of the proxy that leads to a target; undefined when we connect to it directly. */
  proxyOf(target: Target): string | undefined;
}

/** The reason why nothing was sent, thrown inside the connection and reported as the outcome `forbidden`. */
export class ForbiddenAddressError extends Error {
  override readonly name = 'ForbiddenAddressError';
  readonly code = 'ERR_FORBIDDEN_ADDRESS';
}

const maximumUrlLength = 2_048;

/** Names of internal networks. They resolve by the search list or a local server. */
const internalSuffixes = [
  'localhost',
  'local',
  'localdomain',
  'internal',
  'intranet',
  'private',
  'lan',
  'home',
  'home.arpa',
  'corp',
  'onion',
];

const metadataNames = [
  'metadata',
  'metadata.google.internal',
  'metadata.goog',
  'metadata.azure.internal',
  'instance-data',
  'instance-data.ec2.internal',
];

interface OpenNetwork {
  range: [Address, number];
  port: number | undefined;
}

interface ForbiddenPlace {
  /** Lower case, without a trailing dot. */
  name: string;
  /** Whether it is a name, whose addresses must be looked up. */
  isName: boolean;
  port: number;
  addresses: Address[];
  onThisMachine: boolean;
}

function parseNetwork({ cidr, port }: { cidr: string; port?: number | undefined }): OpenNetwork {
  try {
    return { range: ipaddr.parseCIDR(cidr), port };
  } catch (error) {
    throw new AppError('ERR_CONFIG', `delivery.allow_private_networks: ${cidr} is not a network`, {
      remedy: 'Write it as 10.0.0.0/8, fd00::/8, or with a port as 10.1.2.3/32:8443.',
      cause: messageOf(error),
    });
  }
}

const plainName = (hostname: string): string => hostname.toLowerCase().replace(/\.+$/, '');

function setAddresses(place: ForbiddenPlace, texts: readonly string[]): void {
  place.addresses = texts.flatMap((text) => parseAddress(text) ?? []);
  place.onThisMachine = place.name === 'localhost' || place.addresses.flatMap(facesOf).some(isThisMachine);
}

function toForbiddenPlace({ address, port }: { address: string; port: number }): ForbiddenPlace {
  const isName = parseAddress(address) === undefined;
  const place = { name: plainName(address), isName, port, addresses: [], onThisMachine: false };
  setAddresses(place, [address]);
  return place;
}

/** The literal address of a URL's host, without brackets; undefined for a name. */
function literalOf(hostname: string): string | undefined {
  const bare = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return isIP(bare) === 0 ? undefined : bare;
}

const portOf = (url: URL): number =>
  url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);

/** The problem of a URL's text, independent of settings. */
function checkText(text: string): string | undefined {
  if (text.length > maximumUrlLength) return `the URL is longer than ${maximumUrlLength} characters`;
  // The parser would drop tabs, line ends and invisible letters and replace backslashes: the checked URL must be the one that a person reads.
  if (/[\p{C}\p{Z}\\]/u.test(text)) return 'the URL has a space, an invisible character or a backslash';
  return undefined;
}

/** The problem of a URL's scheme or user name. */
function checkForm(url: URL, allowHttp: boolean): string | undefined {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'the scheme must be https';
  if (url.protocol === 'http:' && !allowHttp) {
    return 'the scheme must be https: delivery.allow_http is off';
  }
  if (url.username !== '' || url.password !== '') {
    return 'the URL has a user name or password: use a header of the webhook instead';
  }
  return undefined;
}

/** Whether a name belongs to an internal network. */
function isInternal(name: string): boolean {
  return (
    !name.includes('.') || internalSuffixes.some((suffix) => name === suffix || name.endsWith(`.${suffix}`))
  );
}

/** Whether an address is forbidden, regardless of its port. */
function isAt(place: ForbiddenPlace, face: Address): boolean {
  return (
    place.addresses.some((address) => address.toString() === face.toString()) ||
    (place.onThisMachine && isThisMachine(face))
  );
}

/**
 * Builds the guard against server-side request forgery. It checks the URL's form, literal addresses, every DNS answer and the connected peer, at every
 * connection (see connect.ts).
 * @throws AppError ERR_CONFIG when a network cannot be read.
 */
export function createGuard(options: GuardOptions): Guard {
  const opened = options.allowPrivateNetworks.map(parseNetwork);
  const forbidden = options.forbidden.map(toForbiddenPlace);
  const allowedPorts = new Set(options.allowedPorts);

  const isOpened = (face: Address, port: number): boolean =>
    opened.some((entry) => (entry.port === undefined || entry.port === port) && isWithin(face, entry.range));

  const opensPort = (face: Address, port: number): boolean =>
    opened.some((entry) => entry.port === port && isWithin(face, entry.range));

  const isForbidden = (face: Address, port: number): boolean =>
    forbidden.some((place) => place.port === port && isAt(place, face));

  function checkAddress(text: string, port: number): string | undefined {
    const address = parseAddress(text);
    if (address === undefined) return `${text} is not an address`;
    const faces = facesOf(address);
    if ([address, ...faces].some(isMetadata))
      return `${text} may be a cloud's metadata service: never allowed`;
    if (faces.some((face) => isForbidden(face, port))) {
      return `${text}, port ${port}, belongs to odontology-webhooks or its database: never allowed`;
    }
    for (const face of faces) {
      const range = privateRange(face);
      if (range !== undefined && !isOpened(face, port)) {
        return `${text} is not a public address (${range}): delivery.allow_private_networks does not open it`;
      }
    }
    if (!allowedPorts.has(port) && !faces.every((face) => opensPort(face, port))) {
      return `port ${port} is not in delivery.allowed_ports`;
    }
    return undefined;
  }

  function checkName(hostname: string, port: number): string | undefined {
    const name = plainName(hostname);
    if (metadataNames.includes(name)) return `${name} is a cloud's metadata service: never allowed`;
    if (forbidden.some((place) => place.port === port && place.name === name)) {
      return `${name}, port ${port}, belongs to odontology-webhooks or its database: never allowed`;
    }
    // When private networks are allowed, internal names are legitimate: their addresses are checked when connecting.
    if (isInternal(name) && opened.length === 0) {
      return `${name} is a name of an internal network: delivery.allow_private_networks is empty`;
    }
    if (!allowedPorts.has(port) && !opened.some((entry) => entry.port === port)) {
      return `port ${port} is not in delivery.allowed_ports`;
    }
    return undefined;
  }

  function checkParsed(url: URL): string | undefined {
    const port = portOf(url);
    const literal = literalOf(url.hostname);
    return literal === undefined ? checkName(url.hostname, port) : checkAddress(literal, port);
  }

  return {
    checkAddress,
    checkUrl(text) {
      const url = URL.parse(text);
      if (url === null) return { problem: 'the URL cannot be read' };
      const problem = checkText(text) ?? checkForm(url, options.allowHttp) ?? checkParsed(url);
      if (problem !== undefined) return { problem };
      // A URL that was saved before this check existed keeps the path that was sent then: that of the parser.
      const written = writtenPath(text);
      const path = 'path' in written ? written.path : url.pathname + url.search;
      return { target: { origin: url.origin, path, port: portOf(url) } };
    },
    forbiddenNames: (port) =>
      forbidden.filter((place) => place.isName && place.port === port).map(({ name }) => name),
    learn(name, addresses) {
      for (const place of forbidden) if (place.name === name) setAddresses(place, addresses);
    },
    proxyOf({ origin, port }) {
      const { hostname, protocol } = new URL(origin);
      const proxy = options.proxies?.[protocol === 'https:' ? 'https' : 'http'];
      return proxy && !isExempt({ hostname, port }, options.proxies?.exempt ?? []) ? proxy : undefined;
    },
  };
}

/**
 * Returns the problems of a webhook's URL as sentences when it is saved. This only helps the person who types it: the guard checks again at every attempt,
 * after DNS.
 */
export function checkWebhookUrl(url: string, options: GuardOptions): string[] {
  const verdict = createGuard(options).checkUrl(url);
  if ('problem' in verdict) return [verdict.problem];
  const written = writtenPath(url);
  return 'problem' in written ? [written.problem] : [];
}
