import { ByteReader } from './byte-reader.ts';
import { readDecimal } from './decode-decimal.ts';

/**
 * MySQL's binary JSON as compact JSON text; numbers keep every digit. Layout: MySQL sql-common/json_binary.h.
 * A value is a type byte and either two or four inline bytes or an offset from the start of its container.
 */

const jsonType = {
  smallObject: 0x00,
  largeObject: 0x01,
  smallArray: 0x02,
  largeArray: 0x03,
  literal: 0x04,
  int16: 0x05,
  uint16: 0x06,
  int32: 0x07,
  uint32: 0x08,
  int64: 0x09,
  uint64: 0x0a,
  double: 0x0b,
  string: 0x0c,
  opaque: 0x0f,
} as const;

const literals = ['null', 'true', 'false'] as const;

/** Column types that an opaque value can have. */
const opaqueType = { timestamp: 7, date: 10, time: 11, datetime: 12, newDecimal: 246 } as const;

/** JSON text of a JSON column's bytes; no bytes at all are the JSON value null, as MySQL reads them. */
export function decodeJson(bytes: Buffer): string {
  if (bytes.length === 0) return 'null';
  return valueAt(bytes, bytes[0]!, 1);
}

function valueAt(bytes: Buffer, type: number, at: number): string {
  switch (type) {
    case jsonType.smallObject:
      return container(bytes, { at, wide: false, object: true });
    case jsonType.largeObject:
      return container(bytes, { at, wide: true, object: true });
    case jsonType.smallArray:
      return container(bytes, { at, wide: false, object: false });
    case jsonType.largeArray:
      return container(bytes, { at, wide: true, object: false });
    case jsonType.literal:
      return literals[bytes[at] as 0 | 1 | 2];
    case jsonType.int16:
      return String(bytes.readInt16LE(at));
    case jsonType.uint16:
      return String(bytes.readUInt16LE(at));
    case jsonType.int32:
      return String(bytes.readInt32LE(at));
    case jsonType.uint32:
      return String(bytes.readUInt32LE(at));
    case jsonType.int64:
      return String(bytes.readBigInt64LE(at));
    case jsonType.uint64:
      return String(bytes.readBigUInt64LE(at));
    case jsonType.double:
      return doubleText(bytes.readDoubleLE(at));
    case jsonType.string:
      return JSON.stringify(sized(bytes, at).toString('utf8'));
    case jsonType.opaque:
      return opaque(bytes[at]!, sized(bytes, at + 1));
    default:
      throw new RangeError(`unknown JSON value type ${type}`);
  }
}

/** A whole double keeps a fraction digit, as MySQL prints it: 1.0 is not the integer 1. */
function doubleText(value: number): string {
  const text = JSON.stringify(value);
  return Number.isInteger(value) && !/[e.]/.test(text) ? `${text}.0` : text;
}

/** Bytes behind a variable-length size: seven bits a byte, low ones first. */
function sized(bytes: Buffer, at: number): Buffer {
  let length = 0;
  let shift = 0;
  let byte: number;
  do {
    byte = bytes[at]!;
    length += (byte & 0x7f) * 2 ** shift;
    shift += 7;
    at += 1;
  } while (byte & 0x80);
  if (at + length > bytes.length) throw new RangeError('JSON value ends too early');
  return bytes.subarray(at, at + length);
}

interface Container {
  at: number;
  /** Offsets and counts of four bytes instead of two. */
  wide: boolean;
  object: boolean;
}

function container(bytes: Buffer, { at, wide, object }: Container): string {
  const width = wide ? 4 : 2;
  const read = (offset: number): number =>
    wide ? bytes.readUInt32LE(at + offset) : bytes.readUInt16LE(at + offset);
  const count = read(0);
  const keysAt = 2 * width;
  const valuesAt = keysAt + (object ? count * (width + 2) : 0);
  const parts: string[] = [];
  for (let i = 0; i < count; i += 1) {
    const entry = valuesAt + i * (1 + width);
    const type = bytes[at + entry]!;
    const value = isInline(type, wide)
      ? valueAt(bytes, type, at + entry + 1)
      : valueAt(bytes, type, at + read(entry + 1));
    if (!object) {
      parts.push(value);
      continue;
    }
    const keyEntry = keysAt + i * (width + 2);
    const keyAt = at + read(keyEntry);
    const keyLength = bytes.readUInt16LE(at + keyEntry + width);
    parts.push(`${JSON.stringify(bytes.toString('utf8', keyAt, keyAt + keyLength))}:${value}`);
  }
  return object ? `{${parts.join(',')}}` : `[${parts.join(',')}]`;
}

function isInline(type: number, wide: boolean): boolean {
  if (type === jsonType.literal || type === jsonType.int16 || type === jsonType.uint16) return true;
  return wide && (type === jsonType.int32 || type === jsonType.uint32);
}

function opaque(type: number, data: Buffer): string {
  switch (type) {
    case opaqueType.newDecimal: {
      const reader = new ByteReader(data);
      return readDecimal(reader, reader.uint8(), reader.uint8());
    }
    case opaqueType.date:
    case opaqueType.datetime:
    case opaqueType.timestamp:
      return JSON.stringify(packedDatetime(data.readBigInt64LE(0), type === opaqueType.date));
    case opaqueType.time:
      return JSON.stringify(packedTime(data.readBigInt64LE(0)));
    default:
      return JSON.stringify(`base64:type${type}:${data.toString('base64')}`);
  }
}

const digits = (value: bigint, width: number): string => String(value).padStart(width, '0');

function packedDatetime(packed: bigint, dateOnly: boolean): string {
  const seconds = packed >> 24n;
  const days = seconds >> 17n;
  const months = days >> 5n;
  const date = `${digits(months / 13n, 4)}-${digits(months % 13n, 2)}-${digits(days & 31n, 2)}`;
  return dateOnly ? date : `${date} ${clockText(seconds & 0x1ffffn)}.${digits(packed & 0xffffffn, 6)}`;
}

function packedTime(packed: bigint): string {
  const magnitude = packed < 0n ? -packed : packed;
  return `${packed < 0n ? '-' : ''}${clockText(magnitude >> 24n)}.${digits(magnitude & 0xffffffn, 6)}`;
}

function clockText(clock: bigint): string {
  return `${digits(clock >> 12n, 2)}:${digits((clock >> 6n) & 63n, 2)}:${digits(clock & 63n, 2)}`;
}
