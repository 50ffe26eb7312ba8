/** Text of the types that MariaDB logs as raw bytes. */

/**
 * MariaDB keeps a UUID of versions 1 to 5 with its fields in reverse order, so that an index sorts it by time, and one of
 * version 6 or 7, or of another variant, as it is written (MariaDB plugin/type_uuid/sql_type_uuid.h).
 */
export function formatMariadbUuid(stored: Buffer): string {
  return hyphenated(isSwapped(stored) ? swap(stored) : stored);
}

/** In the swapped form the version nibble stands in byte 8 and the variant in byte 6. */
function isSwapped(stored: Buffer): boolean {
  return !((stored[6]! & 0x80) === 0 && stored[6]! > 0 && (stored[8]! & 0x80) !== 0 && stored[6]! >> 4 >= 6);
}

function swap(stored: Buffer): Buffer {
  return Buffer.concat([
    stored.subarray(12, 16),
    stored.subarray(10, 12),
    stored.subarray(8, 10),
    stored.subarray(6, 8),
    stored.subarray(0, 6),
  ]);
}

function hyphenated(bytes: Buffer): string {
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
