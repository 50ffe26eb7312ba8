import type { ByteReader } from '../protocol/byte-reader.ts';
import { textDecoder } from './charset.ts';
import type { TextDecode } from './charset/text-decode.ts';
import { fixedBytes, lengthBytesOf, stringLength } from './column-length.ts';
import { columnType, type ColumnSpec } from './column-spec.ts';
import { readDecimal } from './decode-decimal.ts';
import { decodeJson } from './decode-json.ts';
import {
  readDate,
  readDatetime,
  readOldDatetime,
  readOldTime,
  readOldTimestamp,
  readTime,
  readTimestamp,
} from './decode-temporal.ts';
import { formatInet4, formatInet6, formatMariadbUuid } from './decode-mariadb-type.ts';
import { inflateColumn } from '../protocol/inflate.ts';
import type { Cell, ColumnKind } from '../types.ts';

export type SkipColumn = (reader: ByteReader) => void;

export interface ColumnDecoder {
  kind: ColumnKind;
  read(reader: ByteReader): Cell;
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
      return {
        kind: 'integer',
        read: spec.unsigned ? (r) => safe(r.uint64()) : (r) => safe(BigInt.asIntN(64, r.uint64())),
      };
    case columnType.float:
      return { kind: 'float', read: (r) => shortestFloat(r.buffer.readFloatLE(advance(r, 4))) };
    case columnType.double:
      return { kind: 'float', read: (r) => r.buffer.readDoubleLE(advance(r, 8)) };
    case columnType.newdecimal:
      return { kind: 'decimal', read: (r) => readDecimal(r, ...spec.meta) };
    case columnType.year:
      return { kind: 'year', read: (r) => yearOf(r.uint8()) };
    case columnType.date:
    case columnType.newDate:
      return { kind: 'date', read: readDate };
    case columnType.time2:
      return { kind: 'time', read: (r) => readTime(r, spec.meta[0]) };
    case columnType.datetime2:
      return { kind: 'datetime', read: (r) => readDatetime(r, spec.meta[0]) };
    case columnType.timestamp2:
      return { kind: 'timestamp', read: (r) => readTimestamp(r, spec.meta[0]) };
    case columnType.oldTime:
    case columnType.oldDatetime:
    case columnType.oldTimestamp:
      return spec.fraction === 0 ? oldTemporals[spec.type] : undefined;
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

const oldTemporals = {
  [columnType.oldTime]: { kind: 'time', read: readOldTime },
  [columnType.oldDatetime]: { kind: 'datetime', read: readOldDatetime },
  [columnType.oldTimestamp]: { kind: 'timestamp', read: readOldTimestamp },
} as const;

/**
 * Builds a function that skips a column's values, whatever its character set or labels are; undefined when the length of the values
 * cannot be determined. An old TIME or DATETIME is decoded even so: only its value can disprove the assumed length.
 */
export function compileSkip(spec: ColumnSpec): SkipColumn | undefined {
  const bytes = fixedBytes(spec);
  if (bytes !== undefined) return (reader) => reader.skip(bytes);
  const lengthBytes = lengthBytesOf(spec);
  if (lengthBytes !== undefined) return (reader) => reader.skip(reader.uintLE(lengthBytes));
  const decoder = compileColumn(spec);
  return decoder && ((reader) => void decoder.read(reader));
}

function advance(reader: ByteReader, bytes: number): number {
  const at = reader.offset;
  reader.skip(bytes);
  return at;
}

function integer({ unsigned }: ColumnSpec, bytes: number): ColumnDecoder {
  if (unsigned) return { kind: 'integer', read: (r) => r.uintLE(bytes) };
  const half = 2 ** (8 * bytes - 1);
  const whole = 2 ** (8 * bytes);
  return {
    kind: 'integer',
    read: (r) => {
      const value = r.uintLE(bytes);
      return value >= half ? value - whole : value;
    },
  };
}

/** Returns a number if it is exact, otherwise decimal text. */
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
  return {
    kind: 'bit',
    read: (r) => {
      if (bytes <= 6) return r.uintBE(bytes);
      let value = 0n;
      for (const byte of r.bytes(bytes)) value = (value << 8n) | BigInt(byte);
      return safe(value);
    },
  };
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
  return {
    kind: 'enum',
    read: (r) => {
      const index = r.uintLE(bytes);
      // Index 0 is the empty string that MySQL stores for an invalid value.
      if (index === 0) return '';
      const label = labels[index - 1];
      if (label === undefined) throw new RangeError(`ENUM index ${index} of ${labels.length}`);
      return label;
    },
  };
}

function set(spec: ColumnSpec): ColumnDecoder | undefined {
  const labels = labelTexts(spec);
  if (!labels) return undefined;
  const bytes = spec.meta[1];
  return {
    kind: 'set',
    read: (r) => {
      const members: string[] = [];
      const at = advance(r, bytes);
      for (let i = 0; i < labels.length; i += 1)
        if (r.buffer[at + (i >> 3)]! & (1 << (i & 7))) members.push(labels[i]!);
      return members.join(',');
    },
  };
}

/** Decodes values with a length prefix: strings, bytes, JSON, geometry. */
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
  };
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
  // The log omits the trailing zero bytes of a BINARY(n); SELECT shows them.
  if (charset === 'binary') {
    const width = type === columnType.string ? stringLength(meta) : 0;
    return { kind: 'binary', decode: (bytes) => (bytes.length < width ? padded(bytes, width) : copy(bytes)) };
  }
  const decode: TextDecode | undefined = charset === undefined ? undefined : textDecoder(charset);
  return decode && { kind: hint === 'json' ? 'json' : 'text', decode };
}

/** Copies, because rows outlive the network buffer they are read from. */
const copy = (bytes: Buffer): Buffer => Buffer.from(bytes);

function padded(bytes: Buffer, width: number): Buffer {
  const out = Buffer.alloc(width);
  bytes.copy(out);
  return out;
}
