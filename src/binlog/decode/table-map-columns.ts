import { ByteReader } from '../protocol/byte-reader.ts';
import { columnType } from './column-spec.ts';
import type { Flavour } from '../types.ts';

/** What a table map contains about each column in every row metadata mode. */
export interface ColumnShape {
  /** Type code; ENUM and SET have their own. */
  type: number;
  /** The two metadata bytes in log order; a missing one is 0. */
  meta: readonly [number, number];
  nullable: boolean;
}

const field = {
  signedness: 1,
  defaultCharset: 2,
  columnCharset: 3,
  columnName: 4,
  setLabels: 5,
  enumLabels: 6,
  simplePrimaryKey: 8,
  prefixedPrimaryKey: 9,
  enumSetDefaultCharset: 10,
  enumSetColumnCharset: 11,
} as const;

const numericTypes: ReadonlySet<number> = new Set([
  columnType.oldDecimal,
  columnType.tiny,
  columnType.short,
  columnType.int24,
  columnType.long,
  columnType.longlong,
  columnType.float,
  columnType.double,
  columnType.newdecimal,
  columnType.year,
]);

const characterTypes: ReadonlySet<number> = new Set([
  columnType.varchar,
  columnType.varString,
  columnType.string,
  columnType.tinyBlob,
  columnType.blob,
  columnType.mediumBlob,
  columnType.longBlob,
  columnType.blobCompressed,
  columnType.varcharCompressed,
]);

/** Types that one flavour counts among its character columns and the other does not (measured: MySQL 9.7.4, MariaDB 10.11.18). */
const alsoCharacter: Readonly<Record<Flavour, number>> = {
  mysql: columnType.vector,
  mariadb: columnType.geometry,
};

const oneByteMeta: ReadonlySet<number> = new Set([
  columnType.float,
  columnType.double,
  columnType.tinyBlob,
  columnType.blob,
  columnType.mediumBlob,
  columnType.longBlob,
  columnType.blobCompressed,
  columnType.json,
  columnType.geometry,
  columnType.vector,
  columnType.time2,
  columnType.datetime2,
  columnType.timestamp2,
]);

const twoByteMeta: ReadonlySet<number> = new Set([
  columnType.varchar,
  columnType.varString,
  columnType.string,
  columnType.enum,
  columnType.set,
  columnType.newdecimal,
  columnType.bit,
  columnType.varcharCompressed,
]);

/** Reads the columns, from after the table's name to the optional metadata. Throws a RangeError if the parts do not add up. */
export function readShapes(reader: ByteReader): ColumnShape[] {
  const count = reader.lengthEncoded();
  const types = [...reader.bytes(count)];
  const metaBytes = reader.lengthEncoded();
  const metaEnd = reader.offset + metaBytes;
  const metas = types.map((type) => readMeta(reader, type));
  // A type with unknown metadata shifts the metadata of the columns after it.
  if (reader.offset !== metaEnd) throw new RangeError('column metadata of another length than it says');
  const nullable = reader.bytes((count + 7) >> 3);
  return realTypes(types, metas).map((type, i) => ({
    type,
    meta: metas[i]!,
    nullable: (nullable[i >> 3]! & (1 << (i & 7))) !== 0,
  }));
}

/** Reads the metadata bytes of a column; none for a type without metadata. */
function readMeta(reader: ByteReader, type: number): [number, number] {
  if (twoByteMeta.has(type)) return [reader.uint8(), reader.uint8()];
  if (oneByteMeta.has(type)) return [reader.uint8(), 0];
  return [0, 0];
}

/** ENUM and SET are logged as STRING: the first metadata byte is their real type. */
function realTypes(types: readonly number[], metas: readonly [number, number][]): number[] {
  return types.map((type, i) => {
    const hidden = metas[i]![0];
    return type === columnType.string && (hidden === columnType.enum || hidden === columnType.set)
      ? hidden
      : type;
  });
}

/** What binlog_row_metadata=FULL adds to a table map. */
export interface OptionalMetadata {
  names: string[];
  unsigned: boolean[];
  collations: number[];
  labels: (Buffer[] | undefined)[];
  /** Column indices of the primary key. */
  key: number[];
}

export function readOptional(
  reader: ByteReader,
  types: readonly number[],
  flavour: Flavour,
): OptionalMetadata {
  const result: OptionalMetadata = { names: [], unsigned: [], collations: [], labels: [], key: [] };
  const indices = (wanted: (type: number) => boolean): number[] =>
    types.flatMap((type, i) => (wanted(type) ? [i] : []));
  const character = indices((type) => characterTypes.has(type) || type === alsoCharacter[flavour]);
  const enumSet = indices((type) => type === columnType.enum || type === columnType.set);
  while (reader.remaining > 0) {
    const kind = reader.uint8();
    const length = reader.lengthEncoded();
    const part = new ByteReader(reader.buffer, reader.offset, reader.offset + length);
    reader.skip(length);
    switch (kind) {
      case field.signedness:
        readSignedness(
          part,
          indices((type) => numericTypes.has(type)),
          result.unsigned,
        );
        break;
      case field.defaultCharset:
        readDefaultCharset(part, character, result.collations);
        break;
      case field.enumSetDefaultCharset:
        readDefaultCharset(part, enumSet, result.collations);
        break;
      case field.columnCharset:
        for (const column of character) result.collations[column] = part.lengthEncoded();
        break;
      case field.enumSetColumnCharset:
        for (const column of enumSet) result.collations[column] = part.lengthEncoded();
        break;
      case field.columnName:
        while (part.remaining > 0) result.names.push(part.utf8(part.lengthEncoded()));
        break;
      case field.setLabels:
        for (const column of indices((type) => type === columnType.set))
          result.labels[column] = readLabels(part);
        break;
      case field.enumLabels:
        for (const column of indices((type) => type === columnType.enum))
          result.labels[column] = readLabels(part);
        break;
      case field.simplePrimaryKey:
        while (part.remaining > 0) result.key.push(part.lengthEncoded());
        break;
      case field.prefixedPrimaryKey:
        while (part.remaining > 0) {
          result.key.push(part.lengthEncoded());
          part.lengthEncoded();
        }
        break;
      default:
        // Geometry types, visibility, vector dimensions and additions of later servers are not needed to read a row.
        break;
    }
  }
  return result;
}

function readSignedness(part: ByteReader, columns: readonly number[], unsigned: boolean[]): void {
  const bits = part.bytes((columns.length + 7) >> 3);
  columns.forEach((column, i) => {
    unsigned[column] = (bits[i >> 3]! & (0x80 >> (i & 7))) !== 0;
  });
}

function readDefaultCharset(part: ByteReader, columns: readonly number[], collations: number[]): void {
  const standard = part.lengthEncoded();
  for (const column of columns) collations[column] = standard;
  while (part.remaining > 0) {
    const column = columns[part.lengthEncoded()];
    const collation = part.lengthEncoded();
    if (column !== undefined) collations[column] = collation;
  }
}

function readLabels(part: ByteReader): Buffer[] {
  const labels: Buffer[] = [];
  for (let left = part.lengthEncoded(); left > 0; left -= 1)
    labels.push(Buffer.from(part.bytes(part.lengthEncoded())));
  return labels;
}
