import { inflateRawSync, inflateSync } from 'node:zlib';
import type { ByteReader } from './byte-reader.ts';
import { textDecoder, type TextDecode } from './charset.ts';
import { decimalBytes, readDecimal } from './decode-decimal.ts';
import { decodeJson } from './decode-json.ts';
import { fractionBytes, readDate, readDatetime, readTime, readTimestamp } from './decode-temporal.ts';
import { formatInet4, formatInet6, formatMariadbUuid } from './decode-mariadb-type.ts';
import type { Cell, ColumnKind } from './types.ts';

/** Column type codes of a table map (MySQL include/field_types.h; 140 and 141 are MariaDB's compressed columns). */
export const columnType = {
  tiny: 1,
  short: 2,
  long: 3,
  float: 4,
  double: 5,
  longlong: 8,
  int24: 9,
  date: 10,
  year: 13,
  varchar: 15,
  bit: 16,
  timestamp2: 17,
  datetime2: 18,
  time2: 19,
  blobCompressed: 140,
  varcharCompressed: 141,
  vector: 242,
  json: 245,
  newdecimal: 246,
  enum: 247,
  set: 248,
  tinyBlob: 249,
  mediumBlob: 250,
  longBlob: 251,
  blob: 252,
  varString: 253,
  string: 254,
  geometry: 255,
} as const;

/** A column as the table map describes it. */
export interface ColumnSpec {
  name: string;
  type: number;
  /** The two metadata bytes, first one first; a missing one is 0. */
  meta: readonly [number, number];
  unsigned: boolean;
  /** Character set name; `binary` for bytes; undefined where the type has none. */
  charset: string | undefined;
  /** ENUM and SET members as raw bytes in the column's own character set. */
  labels: readonly Buffer[] | undefined;
  /** What only the data dictionary knows: MariaDB logs these types as plain strings. */
  hint: 'uuid' | 'inet4' | 'inet6' | 'json' | undefined;
}

export interface ColumnDecoder {
  kind: ColumnKind;
  read(reader: ByteReader): Cell;
  skip(reader: ByteReader): void;
}

/** Builds the decoder of a column; undefined when its type or its character set cannot be decoded. */
export function compileColumn(spec: ColumnSpec): ColumnDecoder | undefined {
  switch (spec.type) {
    case columnType.tiny:
      return integer(spec, 1);
    case columnType.short:
      return integer(spec, 2);
    case columnType.int24:
      return integer(spec, 3);
    case columnType.long:
      return integer(spec, 4);
    case columnType.longlong:
      return fixed(
        'integer',
        8,
        spec.unsigned ? (r) => safe(r.uint64()) : (r) => safe(BigInt.asIntN(64, r.uint64())),
      );
    case columnType.float:
      return fixed('float', 4, (r) => shortestFloat(r.buffer.readFloatLE(advance(r, 4))));
    case columnType.double:
      return fixed('float', 8, (r) => r.buffer.readDoubleLE(advance(r, 8)));
    case columnType.newdecimal:
      return fixed('decimal', decimalBytes(...spec.meta), (r) => readDecimal(r, ...spec.meta));
    case columnType.year:
      return fixed('year', 1, (r) => yearOf(r.uint8()));
    case columnType.date:
      return fixed('date', 3, readDate);
    case columnType.time2:
      return fixed('time', 3 + fractionBytes(spec.meta[0]), (r) => readTime(r, spec.meta[0]));
    case columnType.datetime2:
      return fixed('datetime', 5 + fractionBytes(spec.meta[0]), (r) => readDatetime(r, spec.meta[0]));
    case columnType.timestamp2:
      return fixed('timestamp', 4 + fractionBytes(spec.meta[0]), (r) => readTimestamp(r, spec.meta[0]));
    case columnType.bit:
      return bits(spec);
    case columnType.enum:
      return enumeration(spec);
    case columnType.set:
      return set(spec);
    default:
      return variable(spec);
  }
}

function fixed(kind: ColumnKind, bytes: number, read: (reader: ByteReader) => Cell): ColumnDecoder {
  return { kind, read, skip: (r) => r.skip(bytes) };
}

function advance(reader: ByteReader, bytes: number): number {
  const at = reader.offset;
  reader.skip(bytes);
  return at;
}

function integer({ unsigned }: ColumnSpec, bytes: number): ColumnDecoder {
  if (unsigned) return fixed('integer', bytes, (r) => r.uintLE(bytes));
  const half = 2 ** (8 * bytes - 1);
  const whole = 2 ** (8 * bytes);
  return fixed('integer', bytes, (r) => {
    const value = r.uintLE(bytes);
    return value >= half ? value - whole : value;
  });
}

/** A number while it is exact, else decimal text. */
function safe(value: bigint): number | string {
  return value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : String(value);
}

/** The shortest decimal that is this 32-bit float: 0.1, not 0.10000000149011612. */
export function shortestFloat(value: number): number {
  for (let precision = 6; precision <= 9; precision += 1) {
    const short = Number(value.toPrecision(precision));
    if (Math.fround(short) === value) return short;
  }
  return value;
}

/** 0 is MySQL's year 0000, not 1900. */
const yearOf = (byte: number): number => (byte === 0 ? 0 : 1900 + byte);

function bits({ meta }: ColumnSpec): ColumnDecoder {
  const bytes = meta[1] + (meta[0] > 0 ? 1 : 0);
  return fixed('bit', bytes, (r) => {
    if (bytes <= 6) return r.uintBE(bytes);
    let value = 0n;
    for (const byte of r.bytes(bytes)) value = (value << 8n) | BigInt(byte);
    return safe(value);
  });
}

function labelTexts({ labels, charset }: ColumnSpec): string[] | undefined {
  const decode =
    textDecoder(charset ?? 'utf8mb4') ?? (charset === 'binary' ? textDecoder('latin1') : undefined);
  return decode && labels?.map(decode);
}

function enumeration(spec: ColumnSpec): ColumnDecoder | undefined {
  const labels = labelTexts(spec);
  if (!labels) return undefined;
  const bytes = spec.meta[1];
  return fixed('enum', bytes, (r) => {
    const index = r.uintLE(bytes);
    // Index 0 is the empty string that MySQL stores for an invalid value.
    if (index === 0) return '';
    const label = labels[index - 1];
    if (label === undefined) throw new RangeError(`ENUM index ${index} of ${labels.length}`);
    return label;
  });
}

function set(spec: ColumnSpec): ColumnDecoder | undefined {
  const labels = labelTexts(spec);
  if (!labels) return undefined;
  const bytes = spec.meta[1];
  return fixed('set', bytes, (r) => {
    const members: string[] = [];
    const at = advance(r, bytes);
    for (let i = 0; i < labels.length; i += 1)
      if (r.buffer[at + (i >> 3)]! & (1 << (i & 7))) members.push(labels[i]!);
    return members.join(',');
  });
}

/** Everything that is stored behind a length: strings, bytes, JSON, geometry. */
function variable(spec: ColumnSpec): ColumnDecoder | undefined {
  const lengthBytes = lengthBytesOf(spec);
  const content = contentOf(spec);
  if (lengthBytes === undefined || content === undefined) return undefined;
  const inflate = spec.type === columnType.blobCompressed || spec.type === columnType.varcharCompressed;
  return {
    kind: content.kind,
    read: (r) => {
      const bytes = r.bytes(r.uintLE(lengthBytes));
      return content.decode(inflate ? inflateColumn(bytes) : bytes);
    },
    skip: (r) => r.skip(r.uintLE(lengthBytes)),
  };
}

function lengthBytesOf({ type, meta }: ColumnSpec): number | undefined {
  switch (type) {
    case columnType.varchar:
    case columnType.varString:
    case columnType.varcharCompressed:
      return meta[0] + meta[1] * 256 > 255 ? 2 : 1;
    case columnType.string:
      return stringLength(meta) > 255 ? 2 : 1;
    case columnType.tinyBlob:
    case columnType.mediumBlob:
    case columnType.longBlob:
    case columnType.blob:
    case columnType.blobCompressed:
    case columnType.json:
    case columnType.geometry:
    case columnType.vector:
      return meta[0];
    default:
      return undefined;
  }
}

/** A CHAR longer than 255 bytes hides two bits of its length, inverted, in the type byte (MySQL sql/field.h). */
function stringLength(meta: readonly [number, number]): number {
  return (((meta[0] & 0x30) ^ 0x30) << 4) | meta[1];
}

interface Content {
  kind: ColumnKind;
  decode(bytes: Buffer): Cell;
}

function contentOf({ type, charset, hint, meta }: ColumnSpec): Content | undefined {
  if (type === columnType.json) return { kind: 'json', decode: decodeJson };
  if (type === columnType.geometry) return { kind: 'geometry', decode: copy };
  if (type === columnType.vector) return { kind: 'binary', decode: copy };
  if (hint === 'uuid') return { kind: 'uuid', decode: (bytes) => formatMariadbUuid(padded(bytes, 16)) };
  if (hint === 'inet4') return { kind: 'inet', decode: (bytes) => formatInet4(padded(bytes, 4)) };
  if (hint === 'inet6') return { kind: 'inet', decode: (bytes) => formatInet6(padded(bytes, 16)) };
  // A BINARY(n) loses its trailing zero bytes in the log; SELECT shows them.
  if (charset === 'binary') {
    const width = type === columnType.string ? stringLength(meta) : 0;
    return { kind: 'binary', decode: (bytes) => (bytes.length < width ? padded(bytes, width) : copy(bytes)) };
  }
  const decode: TextDecode | undefined = charset === undefined ? undefined : textDecoder(charset);
  return decode && { kind: hint === 'json' ? 'json' : 'text', decode };
}

/** Rows outlive the network buffer that they were read from. */
const copy = (bytes: Buffer): Buffer => Buffer.from(bytes);

function padded(bytes: Buffer, width: number): Buffer {
  const out = Buffer.alloc(width);
  bytes.copy(out);
  return out;
}

/**
 * Undoes MariaDB's column compression. Header byte: high four bits are the method (0 stored, 8 zlib), bit 3 says raw deflate,
 * the low three bits are the bytes of the length that follows (MariaDB sql/field_comp.cc). An empty value has no header.
 */
function inflateColumn(bytes: Buffer): Buffer {
  if (bytes.length === 0) return bytes;
  const header = bytes[0]!;
  const method = header >> 4;
  if (method === 0) return bytes.subarray(1);
  if (method !== 8) throw new RangeError(`column compression method ${method}`);
  const deflated = bytes.subarray(1 + (header & 7));
  return header & 8 ? inflateRawSync(deflated) : inflateSync(deflated);
}
