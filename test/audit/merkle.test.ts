import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { leafHash, MerkleTree, merkleRoot } from '../../src/audit/seal/merkle.ts';
import { packLeaves, unpackLeaves } from '../../src/audit/seal/pack.ts';

const sha256 = (...parts: (string | Uint8Array)[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** MTH of RFC 6962, section 2.1, as it is written there, over leaves that are hashes already. */
function treeHash(leaves: readonly Uint8Array[]): Uint8Array {
  if (leaves.length === 1) return leaves[0]!;
  let split = 1;
  while (split * 2 < leaves.length) split *= 2;
  return sha256('\x01', treeHash(leaves.slice(0, split)), treeHash(leaves.slice(split)));
}

describe('a Merkle tree', () => {
  const leaves = Array.from({ length: 70 }, (_, index) => leafHash(`entry ${index} ñ 😷`));

  it('hashes a leaf as RFC 6962 does', () => {
    expect(leafHash('entry ñ 😷')).toEqual(sha256('\0', 'entry ñ 😷'));
  });

  it('has the root of RFC 6962, whatever the number of its leaves', () => {
    const tree = new MerkleTree();
    for (const [index, leaf] of leaves.entries()) {
      tree.add(leaf);
      const expected = treeHash(leaves.slice(0, index + 1));
      expect(tree.root()).toEqual(expected);
      expect(merkleRoot(leaves.slice(0, index + 1))).toEqual(expected);
    }
  });

  it('has another root when leaves change places', () => {
    const [first, second, ...rest] = leaves;
    expect(merkleRoot([second!, first!, ...rest])).not.toEqual(merkleRoot(leaves));
  });
});

describe('a pack of leaves', () => {
  it('returns every id, however far it is from the one before', () => {
    const ids = [1, 2, 65, 130, 20_000, 3, 2 ** 40, 2 ** 50, 1];
    const leaves = ids.map((id) => ({
      id,
      hash: leafHash(`entry ${id}`),
      content: id % 2 === 0 ? leafHash(`content ${id}`) : null,
      hints: Buffer.from([id % 256, 7]),
    }));
    expect(unpackLeaves(packLeaves(leaves), 1)).toEqual(leaves);
  });
});
