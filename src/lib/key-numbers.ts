import { hash } from 'node:crypto';

/** Number of 32-bit hash words stored for a key: with a million keys, two keys collide in one of 10^17 transactions. */
const WORDS = 3;
const EMPTY = 0;
/** A deleted key (tombstone): keys that were inserted after it in the probe sequence must still be found. */
const LEFT = 0xffff_ffff;
/** The maximum load factor. */
const FULLEST = 0.7;

/**
 * A number below 2^32 - 2 by key, for millions of keys: a slot takes 16 bytes outside the heap, where an entry of a Map takes a
 * hundred within it. An open hash table with linear probing.
 */
export class KeyNumbers {
  #hashes = new Uint32Array(64 * WORDS);
  /** The number + 1, EMPTY or LEFT. */
  #values = new Uint32Array(64);
  /** Number of slots that are not empty. */
  #used = 0;
  #digestOf = '';
  #digest = new Uint32Array(WORDS);

  get(key: string): number | undefined {
    if (this.#used === 0) return undefined;
    const value = this.#values[this.#slotOf(this.#hash(key))]!;
    return value === EMPTY || value === LEFT ? undefined : value - 1;
  }

  set(key: string, number: number): void {
    const digest = this.#hash(key);
    let slot = this.#slotOf(digest);
    if (this.#values[slot] === EMPTY) {
      if (this.#used >= this.#values.length * FULLEST) {
        this.#grow();
        slot = this.#slotOf(digest);
      }
      this.#used += 1;
      this.#hashes.set(digest, slot * WORDS);
    }
    this.#values[slot] = number + 1;
  }

  delete(key: string): void {
    if (this.#used === 0) return;
    const slot = this.#slotOf(this.#hash(key));
    if (this.#values[slot] !== EMPTY) this.#values[slot] = LEFT;
  }

  /** The slot of a key, or the empty slot for it. */
  #slotOf(digest: Uint32Array): number {
    const mask = this.#values.length - 1;
    let slot = digest[0]! & mask;
    while (this.#values[slot] !== EMPTY && !this.#isAt(slot, digest)) slot = (slot + 1) & mask;
    return slot;
  }

  #isAt(slot: number, digest: Uint32Array): boolean {
    for (let word = 0; word < WORDS; word += 1)
      if (this.#hashes[slot * WORDS + word] !== digest[word]) return false;
    return true;
  }

  #grow(): void {
    const [hashes, values] = [this.#hashes, this.#values];
    this.#hashes = new Uint32Array(hashes.length * 2);
    this.#values = new Uint32Array(values.length * 2);
    this.#used = 0;
    const digest = new Uint32Array(WORDS);
    for (let slot = 0; slot < values.length; slot += 1) {
      const value = values[slot]!;
      if (value === EMPTY || value === LEFT) continue;
      for (let word = 0; word < WORDS; word += 1) digest[word] = hashes[slot * WORDS + word]!;
      const to = this.#slotOf(digest);
      this.#hashes.set(digest, to * WORDS);
      this.#values[to] = value;
      this.#used += 1;
    }
    // Freed at once, because the garbage collector frees memory outside the heap late.
    hashes.buffer.transfer(0);
    values.buffer.transfer(0);
  }

  /** The last lookup is cached, because a key is looked up and then deleted. */
  #hash(key: string): Uint32Array {
    if (key === this.#digestOf) return this.#digest;
    // The hash is read as text, because a buffer for each key would be memory outside the heap as well.
    const hex = hash('sha1', key, 'hex');
    for (let word = 0; word < WORDS; word += 1)
      this.#digest[word] = parseInt(hex.slice(word * 8, (word + 1) * 8), 16);
    this.#digestOf = key;
    return this.#digest;
  }
}
