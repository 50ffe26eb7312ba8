/*
 * Leaves of one log in the store, one after the other:
 *
 *   id       zigzag varint: how far it is from the leaf before, from 0 for the first
 *   flags    1: a hash of the content follows
 *   hash     32 bytes: the leaf
 *   content  32 bytes: salted hash of the payload or the answer, which is a part of the leaf
 *   hints    2 bytes for each field: a checksum that shows which field was edited, and proves nothing
 */

export interface Leaf {
  id: number;
  hash: Buffer;
  content: Buffer | null;
  /** Two bytes for each field of its log. */
  hints: Uint8Array;
}

const hashBytes = 32;
export const hintBytes = 2;

export function packLeaves(leaves: readonly Leaf[]): Buffer {
  const parts: Uint8Array[] = [];
  let previous = 0;
  for (const { id, hash, content, hints } of leaves) {
    parts.push(varint(zigzag(id - previous)), Uint8Array.of(content ? 1 : 0), hash);
    if (content) parts.push(content);
    parts.push(hints);
    previous = id;
  }
  return Buffer.concat(parts);
}

/** Throws RangeError for what was not packed with so many fields. */
export function unpackLeaves(pack: Buffer, fields: number): Leaf[] {
  const leaves: Leaf[] = [];
  let at = 0;
  let previous = 0;
  const take = (bytes: number): Buffer => {
    if (at + bytes > pack.length) throw new RangeError('a pack of leaves ends in the middle of one');
    at += bytes;
    return pack.subarray(at - bytes, at);
  };
  while (at < pack.length) {
    let zigzagged = 0;
    for (let factor = 1, more = true; more; factor *= 128) {
      const byte = take(1)[0]!;
      zigzagged += (byte & 127) * factor;
      more = byte > 127;
    }
    const id = previous + unzigzag(zigzagged);
    const hasContent = take(1)[0] === 1;
    const hash = take(hashBytes);
    const content = hasContent ? take(hashBytes) : null;
    const hints = take(fields * hintBytes);
    leaves.push({ id, hash, content, hints });
    previous = id;
  }
  return leaves;
}

function zigzag(n: number): number {
  return n < 0 ? -2 * n - 1 : 2 * n;
}

function unzigzag(n: number): number {
  return n % 2 === 0 ? n / 2 : -(n + 1) / 2;
}

function varint(n: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = n; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}
