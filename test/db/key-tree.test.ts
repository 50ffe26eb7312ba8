import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { deriveKey, destroyKey, type KeyTree } from '../../src/crypto/key-tree.ts';

const wayOf = (slot: string): string => BigInt(`0x${slot}`).toString(2).padStart(64, '0');
const fresh = (): KeyTree => new Map([['', randomBytes(32)]]);

describe('a key tree', () => {
  it('loses the keys that are destroyed, and no other, whatever the order', () => {
    const tree = fresh();
    const ends = ['0'.repeat(16), 'f'.repeat(16), '0000000000000001', '8000000000000000'];
    const slots = [...ends, ...Array.from({ length: 40 }, () => randomBytes(8).toString('hex'))];
    const neighbours = slots.map((slot) => (BigInt(`0x${slot}`) ^ 1n).toString(16).padStart(16, '0'));
    const destroyed = new Set(slots.filter((_, index) => index % 2 === 0));
    const left = [...destroyed].reduce(destroyKey, tree);
    for (const slot of new Set([...slots, ...neighbours])) {
      const key = deriveKey(tree, slot)!;
      expect(key).toHaveLength(32);
      expect(deriveKey(left, slot)).toEqual(destroyed.has(slot) ? undefined : key);
    }
    expect([...destroyed].toReversed().reduce(destroyKey, tree)).toEqual(left);
  });

  it('keeps nothing from which a destroyed key follows', () => {
    const tree = fresh();
    const slots = Array.from({ length: 20 }, () => randomBytes(8).toString('hex'));
    const left = slots.reduce(destroyKey, tree);
    for (const slot of slots) {
      expect([...left.keys()].filter((node) => wayOf(slot).startsWith(node))).toEqual([]);
      const lost = Buffer.from(deriveKey(tree, slot)!);
      expect([...left.values()].filter((secret) => lost.equals(secret))).toEqual([]);
    }
    expect(slots.reduce(destroyKey, left)).toBe(left);
  });

  it('gives every slot a key of its own', () => {
    const tree = fresh();
    const keys = Array.from({ length: 500 }, (_, n) =>
      Buffer.from(deriveKey(tree, n.toString(16).padStart(16, '0'))!).toString('hex'),
    );
    expect(new Set(keys).size).toBe(500);
  });
});
