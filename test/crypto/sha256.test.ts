import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { HmacKey, sha256 } from '../../src/crypto/sha256.ts';

/** Lengths around the block of 64 bytes and around Node's pool of 8 KiB, in characters of one to four bytes. */
const texts = ['', 'a', 'ñ', '\u{1f600}\ud800', '\0', ...[55, 56, 63, 64, 65, 4_096, 8_192, 100_000]].map(
  (text) => (typeof text === 'string' ? text : 'ñ'.repeat(text)),
);
const keys = [0, 1, 24, 32, 63, 64, 65, 200].map((length) => Buffer.alloc(length, 0xa7));

describe('SHA-256 and HMAC', () => {
  it.each(texts)('are those of node:crypto for text %#', (text) => {
    expect(sha256(text)).toEqual(createHash('sha256').update(text).digest());
    expect(sha256(Buffer.from(text))).toEqual(createHash('sha256').update(text).digest());
    for (const key of keys)
      expect(new HmacKey(key).digest(text)).toEqual(createHmac('sha256', key).update(text).digest());
  });
});
