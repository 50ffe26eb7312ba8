/** Text of the types that MariaDB logs as raw bytes. */

/** Bytes are in the order of the text, whatever the UUID's version: MariaDB reorders the fields in its indexes, but not in its log. */
export function formatMariadbUuid(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

export function formatInet4(bytes: Buffer): string {
  return bytes.join('.');
}

/** The server's own spelling: RFC 5952, with the IPv4 part of mapped and compatible addresses dotted. */
export function formatInet6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2));
  const zeros = groups.findIndex((group) => group !== 0);
  if (zeros === 5 && groups[5] === 0xffff) return `::ffff:${formatInet4(bytes.subarray(12))}`;
  if (zeros === 6) return `::${formatInet4(bytes.subarray(12))}`;
  const run = longestZeroRun(groups);
  if (run.length < 2) return groups.map(hexGroup).join(':');
  return `${groups.slice(0, run.start).map(hexGroup).join(':')}::${groups
    .slice(run.start + run.length)
    .map(hexGroup)
    .join(':')}`;
}

const hexGroup = (group: number): string => group.toString(16);

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start += 1) {
    let length = 0;
    while (groups[start + length] === 0) length += 1;
    if (length > best.length) best = { start, length };
  }
  return best;
}
