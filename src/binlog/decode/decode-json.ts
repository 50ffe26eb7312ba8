import { isUtf8 } from 'node:buffer';
import { ByteReader } from '../protocol/byte-reader.ts';
import { decimalBytes, readDecimal } from './decode-decimal.ts';
import { doubleText, packedDatetime, packedTime } from './json-scalar.ts';

/**
 * Decodes MySQL's binary JSON to compact JSON text; numbers keep every digit. Layout: MySQL sql-common/json_binary.h. A value is a type
 * byte and either two or four inline bytes or an offset from the start of its container.
 *
 * Throws a RangeError for bytes that no server writes: a value outside its container, a value shared by two containers, a depth beyond
 * the server's own limit. The bytes read, and so the work, never exceed the bytes of the column.
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

/** Column types that an opaque value can have and that MySQL spells as something other than base64. */
const opaqueType = { timestamp: 7, date: 10, time: 11, datetime: 12, newDecimal: 246 } as const;

/** MySQL refuses documents nested more deeply. */
const MAX_DEPTH = 100;

/** Returns a JSON column's bytes as JSON text; zero bytes are the JSON value null, as in MySQL. */
export function decodeJson(bytes: Buffer): string {
  if (bytes.length === 0) return 'null';
  return new JsonReader(bytes).value(bytes[0]!, { at: 1, end: bytes.length, depth: 0 });
}

/** Position of a value, which must end at or before `end`. */
interface Place {
  at: number;
  end: number;
  depth: number;
}

class JsonReader {
  readonly #bytes: Buffer;
  /** Bytes that may still be read: each byte belongs to exactly one value. */
  #unread: number;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#unread = bytes.length;
  }

  value(type: number, place: Place): string {
    switch (type) {
      case jsonType.smallObject:
        return this.#container(place, { wide: false, object: true });
      case jsonType.largeObject:
        return this.#container(place, { wide: true, object: true });
      case jsonType.smallArray:
        return this.#container(place, { wide: false, object: false });
      case jsonType.largeArray:
        return this.#container(place, { wide: true, object: false });
      case jsonType.string:
        return this.#string(this.#sized(place));
      case jsonType.opaque:
        return this.#opaque(place);
      default:
        return this.#scalar(type, place);
    }
  }

  #scalar(type: number, place: Place): string {
    const bytes = this.#bytes;
    switch (type) {
      case jsonType.literal:
        return literalText(bytes[this.#take(place, 1)]!);
      case jsonType.int16:
        return String(bytes.readInt16LE(this.#take(place, 2)));
      case jsonType.uint16:
        return String(bytes.readUInt16LE(this.#take(place, 2)));
      case jsonType.int32:
        return String(bytes.readInt32LE(this.#take(place, 4)));
      case jsonType.uint32:
        return String(bytes.readUInt32LE(this.#take(place, 4)));
      case jsonType.int64:
        return String(bytes.readBigInt64LE(this.#take(place, 8)));
      case jsonType.uint64:
        return String(bytes.readBigUInt64LE(this.#take(place, 8)));
      case jsonType.double:
        return doubleText(bytes.readDoubleLE(this.#take(place, 8)));
      default:
        throw new RangeError(`unknown JSON value type ${type}`);
    }
  }

  /** Claims bytes for one value and returns where they begin. */
  #take({ at, end }: Pick<Place, 'at' | 'end'>, length: number): number {
    if (at + length > end) throw new RangeError('JSON value ends too early');
    this.#unread -= length;
    if (this.#unread < 0) throw new RangeError('JSON values share their bytes');
    return at;
  }

  /** Returns the bytes after a variable-length size: seven bits per byte, low bits first, at most five bytes. */
  #sized({ at, end }: Pick<Place, 'at' | 'end'>): Buffer {
    let length = 0;
    for (let i = 0; i < 5; i += 1) {
      const byte = this.#bytes[this.#take({ at: at + i, end }, 1)]!;
      length += (byte & 0x7f) * 2 ** (7 * i);
      if (byte & 0x80) continue;
      const start = this.#take({ at: at + i + 1, end }, length);
      return this.#bytes.subarray(start, start + length);
    }
    throw new RangeError('JSON value has a size of more than five bytes');
  }

  #string(bytes: Buffer): string {
    const text = bytes.toString('utf8');
    if (text.includes('\ufffd') && !isUtf8(bytes)) throw new RangeError('JSON string is not UTF-8');
    return JSON.stringify(text);
  }

  #container({ at, end, depth }: Place, { wide, object }: { wide: boolean; object: boolean }): string {
    if (depth >= MAX_DEPTH) throw new RangeError('JSON is nested too deeply');
    const width = wide ? 4 : 2;
    const head = this.#take({ at, end }, 2 * width);
    const read = (where: number): number =>
      wide ? this.#bytes.readUInt32LE(where) : this.#bytes.readUInt16LE(where);
    const count = read(head);
    const size = read(head + width);
    if (size > end - at) throw new RangeError('JSON container ends too early');
    const inner = { at, end: at + size };
    const keysAt = at + 2 * width;
    const valuesAt = keysAt + (object ? count * (width + 2) : 0);
    const dataAt = valuesAt + count * (1 + width);
    this.#take({ at: keysAt, end: inner.end }, dataAt - keysAt);
    const placeOf = (offset: number): Place => {
      if (at + offset < dataAt) throw new RangeError('JSON value lies before its container');
      return { at: at + offset, end: inner.end, depth: depth + 1 };
    };
    const parts: string[] = [];
    for (let i = 0; i < count; i += 1) {
      const entry = valuesAt + i * (1 + width);
      const type = this.#bytes[entry]!;
      const value = isInline(type, wide)
        ? inlineText(this.#bytes, type, entry + 1)
        : this.value(type, placeOf(read(entry + 1)));
      if (!object) {
        parts.push(value);
        continue;
      }
      const keyEntry = keysAt + i * (width + 2);
      const keyLength = this.#bytes.readUInt16LE(keyEntry + width);
      const keyAt = this.#take(placeOf(read(keyEntry)), keyLength);
      parts.push(`${this.#string(this.#bytes.subarray(keyAt, keyAt + keyLength))}:${value}`);
    }
    return object ? `{${parts.join(',')}}` : `[${parts.join(',')}]`;
  }

  #opaque(place: Place): string {
    const type = this.#bytes[this.#take(place, 1)]!;
    const data = this.#sized({ at: place.at + 1, end: place.end });
    switch (type) {
      case opaqueType.newDecimal:
        return decimalText(data);
      case opaqueType.date:
      case opaqueType.datetime:
      case opaqueType.timestamp:
        return JSON.stringify(packedDatetime(packedValue(data), type === opaqueType.date));
      case opaqueType.time:
        return JSON.stringify(packedTime(packedValue(data)));
      default:
        return JSON.stringify(`base64:type${type}:${data.toString('base64')}`);
    }
  }
}

function isInline(type: number, wide: boolean): boolean {
  if (type === jsonType.literal || type === jsonType.int16 || type === jsonType.uint16) return true;
  return wide && (type === jsonType.int32 || type === jsonType.uint32);
}

/** A value stored in the two or four bytes of its entry; the container has already claimed these bytes. */
function inlineText(bytes: Buffer, type: number, at: number): string {
  switch (type) {
    case jsonType.literal:
      return literalText(bytes[at]!);
    case jsonType.int16:
      return String(bytes.readInt16LE(at));
    case jsonType.uint16:
      return String(bytes.readUInt16LE(at));
    case jsonType.int32:
      return String(bytes.readInt32LE(at));
    default:
      return String(bytes.readUInt32LE(at));
  }
}

function literalText(byte: number): string {
  const text = literals[byte];
  if (text === undefined) throw new RangeError(`unknown JSON literal ${byte}`);
  return text;
}

/** Precision, scale, then the digits as in a DECIMAL column. */
function decimalText(data: Buffer): string {
  const reader = new ByteReader(data);
  const precision = reader.uint8();
  const scale = reader.uint8();
  if (reader.remaining !== decimalBytes(precision, scale))
    throw new RangeError('DECIMAL in JSON of a wrong size');
  return readDecimal(reader, precision, scale);
}

function packedValue(data: Buffer): bigint {
  if (data.length !== 8) throw new RangeError(`a time in JSON of ${data.length} bytes`);
  return data.readBigInt64LE(0);
}
