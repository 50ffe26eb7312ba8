import { hash } from 'node:crypto';

/*
 * Derives 2^64 keys from one secret; each key can be destroyed separately (a puncturable pseudorandom function, GGM tree):
 *
 *            root             a child is the hash of its parent: neither the parent nor the other child can be computed from a child
 *          /      \
 *         0        1          a key is a leaf; its slot, 64 bits, is the way to it
 *       /   \    /   \
 *      00   01  10   11       to destroy 01: the nodes on the way to it (root, 0) go, and their other children (1, 00) are kept
 *                             instead: every other leaf is derived from these as before, and 01 from none of them
 */

/** The stored nodes by path: a text of 0 and 1, '' for the root. No node is an ancestor of another. */
export type KeyTree = ReadonlyMap<string, Uint8Array>;

const depth = 64;

/** The key of a slot (16 hex digits); undefined when it was destroyed. */
export function deriveKey(tree: KeyTree, slot: string): Uint8Array | undefined {
  const way = toWay(slot);
  const from = nodeOnWay(tree, way);
  if (from === undefined) return undefined;
  let secret = tree.get(from)!;
  for (let at = from.length; at < depth; at += 1) secret = childOf(secret, way[at]!);
  return secret;
}

/** Whether a key still exists; cheap, while deriving the key takes 64 hashes. */
export function hasKey(tree: KeyTree, slot: string): boolean {
  return nodeOnWay(tree, toWay(slot)) !== undefined;
}

/** The tree without one key; the same tree when the key was destroyed before. */
export function destroyKey(tree: KeyTree, slot: string): KeyTree {
  const way = toWay(slot);
  const from = nodeOnWay(tree, way);
  if (from === undefined) return tree;
  const kept = new Map(tree);
  let secret = tree.get(from)!;
  kept.delete(from);
  for (let at = from.length; at < depth; at += 1) {
    const [bit, other] = way[at] === '0' ? ['0', '1'] : ['1', '0'];
    kept.set(way.slice(0, at) + other, childOf(secret, other));
    secret = childOf(secret, bit);
  }
  return kept;
}

function childOf(secret: Uint8Array, bit: string): Uint8Array {
  return hash('sha256', Buffer.concat([Buffer.from(bit), secret]), 'buffer');
}

function toWay(slot: string): string {
  return BigInt(`0x${slot}`).toString(2).padStart(depth, '0');
}

/** The stored node on the path; undefined when the key was destroyed. */
function nodeOnWay(tree: KeyTree, way: string): string | undefined {
  for (let length = 0; length <= depth; length += 1) {
    const start = way.slice(0, length);
    if (tree.has(start)) return start;
  }
  return undefined;
}
