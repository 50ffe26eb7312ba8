import { createHash } from 'node:crypto';

/*
 * Trees as in RFC 6962: leaves and inner nodes are hashed with different first bytes, so that no node passes for a leaf, and a
 * node without a partner goes up as it is.
 */

/** The hash of one entry. */
export function leafHash(content: string): Buffer {
  return createHash('sha256').update('\0').update(content).digest();
}

/** The root over leaves, in order; at least one. */
export function merkleRoot(leaves: readonly Uint8Array[]): Buffer {
  let level = leaves;
  while (level.length > 1) {
    const above: Uint8Array[] = [];
    for (let index = 0; index < level.length; index += 2) {
      const [left, right] = [level[index]!, level[index + 1]];
      above.push(right ? createHash('sha256').update('\x01').update(left).update(right).digest() : left);
    }
    level = above;
  }
  return Buffer.from(level[0]!);
}
