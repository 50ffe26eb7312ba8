import { networkInterfaces } from 'node:os';
import ipaddr from 'ipaddr.js';

/** An address as the guard checks it; in its v4 form if it is a v6 notation of a v4 address. */
export type Address = ipaddr.IPv4 | ipaddr.IPv6;

const network = (cidr: string): [Address, number] => ipaddr.parseCIDR(cidr);

/**
 * Addresses where clouds serve credentials. The whole link-local range is refused: providers use various addresses of it (169.254.169.254, .170.2,
 * .170.23, .42.42, .0.23), and no webhook receiver uses one.
 */
const metadataNetworks = [
  '169.254.0.0/16',
  '100.100.100.200/32', // Alibaba
  '168.63.129.16/32', // Azure, a public address
  '192.0.0.192/32', // Oracle, classic
  'fe80::/10',
  'fd00:ec2::/32', // AWS
  'fd20:ce::254/128', // Google
  'fd00:42::42/128', // Scaleway
  'fd00:c1::a9fe:a9fe/128', // Oracle
].map(network);

/** `::a.b.c.d`, which the library classifies as unicast. */
const v4Compatible = network('::/96');
const globalUnicastV6 = network('2000::/3');
const nat64 = network('64:ff9b::/96');

/** Parses an address; undefined for any other text. A zone id (`fe80::1%eth0`) is ignored. */
export function parseAddress(text: string): Address | undefined {
  const bare = text.replace(/%.*$/s, '');
  if (!bare.includes(':')) return ipaddr.IPv4.isValid(bare) ? ipaddr.IPv4.parse(bare) : undefined;
  // The URL parser normalizes it first, because ipaddr.js reads ::8.8.8.8 as ::ffff:8.8.8.8.
  const canonical = URL.parse(`http://[${bare}]/`)?.hostname.slice(1, -1);
  return canonical === undefined ? undefined : ipaddr.IPv6.parse(canonical);
}

/** Whether the address lies in the network; false when they are of different families. */
export function isWithin(address: Address, [base, bits]: [Address, number]): boolean {
  return address.kind() === base.kind() && address.match(base, bits);
}

function v4At(bytes: readonly number[], offset: number, mask = 0): Address {
  return new ipaddr.IPv4(bytes.slice(offset, offset + 4).map((byte) => byte ^ mask));
}

/** The IPv4 addresses embedded in an IPv6 address, for every embedding scheme. */
function embedded(address: ipaddr.IPv6): Address[] {
  const bytes = address.toByteArray();
  const range = address.range();
  if (range === 'ipv4Mapped' || range === 'rfc6145' || range === 'rfc6052') return [v4At(bytes, 12)];
  if (range === '6to4') return [v4At(bytes, 2)];
  // Teredo contains its server's address unchanged and its client's address with every bit inverted.
  if (range === 'teredo') return [v4At(bytes, 4), v4At(bytes, 12, 0xff)];
  if (range === 'unicast' && isWithin(address, v4Compatible)) return [v4At(bytes, 12)];
  const isatap = (bytes[8]! & 0xfd) === 0 && bytes[9] === 0 && bytes[10] === 0x5e && bytes[11] === 0xfe;
  return isatap ? [v4At(bytes, 12)] : [];
}

/**
 * All addresses that an address represents, each of which must be allowed: itself and the v4 addresses embedded in it. A mapped or NAT64 address only
 * leads to its v4 address, so only the v4 address counts.
 */
export function facesOf(address: Address): Address[] {
  if (address.kind() === 'ipv4') return [address];
  const v6 = address as ipaddr.IPv6;
  const inside = embedded(v6);
  const onlySpelling = v6.range() === 'ipv4Mapped' || isWithin(v6, nat64);
  return onlySpelling ? inside : [v6, ...inside];
}

/** Whether it is a metadata service of a cloud, also behind a network-specific NAT64 prefix. */
export function isMetadata(address: Address): boolean {
  const bytes = address.toByteArray();
  return (
    metadataNetworks.some((range) => isWithin(address, range)) ||
    (bytes.length === 16 && bytes[12] === 169 && bytes[13] === 254 && bytes[14] === 169 && bytes[15] === 254)
  );
}

/** The reason why an address is not public; undefined for a public address. */
export function privateRange(address: Address): string | undefined {
  const range = address.range();
  if (range !== 'unicast') return range;
  if (address.kind() === 'ipv4' || isWithin(address, globalUnicastV6)) return undefined;
  return isWithin(address, v4Compatible) ? 'ipv4Compatible' : 'reserved';
}

/** Whether connecting to it reaches this machine: loopback, unspecified, or the address of one of its interfaces. */
export function isThisMachine(address: Address): boolean {
  const range = address.range();
  if (range === 'loopback' || range === 'unspecified') return true;
  const text = address.toString();
  return Object.values(networkInterfaces()).some((list) =>
    list?.some((entry) => parseAddress(entry.address)?.toString() === text),
  );
}
