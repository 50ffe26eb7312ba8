import { hash } from 'node:crypto';

/*
 * SHA-256 and HMAC-SHA-256 of short texts; the sealed log computes about ten for each attempt. The same values as `hash` and
 * `createHmac` of node:crypto, at half the cost: an output of type Buffer takes 1.0 µs more than one of type string, and a Hmac object
 * is created and destroyed for each text (Node 24: 1.4 and 2.7 µs, here 0.55 and 1.35).
 */

const hashBytes = 32;
/** Of SHA-256 (RFC 2104 calls it B). */
const blockBytes = 64;

export function sha256(content: string | Uint8Array): Buffer {
  return Buffer.from(hash('sha256', content, 'binary'), 'latin1');
}

/** HMAC-SHA-256 under one key, as in RFC 2104. */
export class HmacKey {
  readonly #inner: Uint8Array;
  readonly #outer: Uint8Array;

  constructor(secret: Uint8Array) {
    const key = secret.length > blockBytes ? sha256(secret) : secret;
    this.#inner = padded(key, 0x36);
    this.#outer = padded(key, 0x5c);
  }

  /** HMAC of a text in UTF-8. */
  digest(text: string): Buffer {
    const textBytes = Buffer.byteLength(text);
    const inner = Buffer.allocUnsafe(blockBytes + textBytes);
    inner.set(this.#inner);
    inner.write(text, blockBytes, textBytes, 'utf8');
    const outer = Buffer.allocUnsafe(blockBytes + hashBytes);
    outer.set(this.#outer);
    outer.write(hash('sha256', inner, 'binary'), blockBytes, hashBytes, 'latin1');
    return sha256(outer);
  }
}

function padded(key: Uint8Array, pad: number): Uint8Array {
  const block = new Uint8Array(blockBytes).fill(pad);
  for (const [at, byte] of key.entries()) block[at] = byte ^ pad;
  return block;
}
