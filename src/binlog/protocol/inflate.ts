import { inflateRawSync, inflateSync } from 'node:zlib';

/** Decompresses events and columns that MariaDB compresses. Both formats contain the uncompressed length. */

/**
 * Decompresses MariaDB's log_bin_compress: one byte 0x80 | algorithm << 4 | bytes of the length that follows big-endian, then a zlib
 * stream (MariaDB sql/log_event.cc, binlog_buf_uncompress).
 */
export function inflateEnvelope(bytes: Buffer): Buffer {
  const header = bytes[0] ?? 0;
  const lengthBytes = header & 7;
  if ((header & 0x80) === 0 || (header & 0x70) !== 0 || lengthBytes === 0 || lengthBytes > 4)
    throw new RangeError(`compression header 0x${header.toString(16)}`);
  if (bytes.length < 1 + lengthBytes) throw new RangeError('compressed event ends in its header');
  const length = bytes.readUIntBE(1, lengthBytes);
  return inflateTo(length, bytes.subarray(1 + lengthBytes), inflateSync);
}

/**
 * Decompresses MariaDB's column compression. Header byte: the high four bits are the method (0 stored, 8 zlib), bit 3 means raw
 * deflate, the low three bits are the bytes of the length that follows (MariaDB sql/field_comp.cc). An empty value has no header.
 */
export function inflateColumn(bytes: Buffer): Buffer {
  if (bytes.length === 0) return bytes;
  const header = bytes[0]!;
  const method = header >> 4;
  if (method === 0) return bytes.subarray(1);
  if (method !== 8) throw new RangeError(`column compression method ${method}`);
  const lengthBytes = header & 7;
  if (lengthBytes === 0 || lengthBytes > 4 || bytes.length < 1 + lengthBytes)
    throw new RangeError('compressed column ends in its header');
  const length = bytes.readUIntBE(1, lengthBytes);
  return inflateTo(length, bytes.subarray(1 + lengthBytes), header & 8 ? inflateRawSync : inflateSync);
}

/** Decompresses at most the declared length: a damaged length cannot exhaust memory. */
function inflateTo(length: number, deflated: Buffer, inflate: typeof inflateSync): Buffer {
  const inflated = inflate(deflated, { maxOutputLength: Math.max(1, length) });
  if (inflated.length !== length) throw new RangeError('what was compressed has another length than it says');
  return inflated;
}
