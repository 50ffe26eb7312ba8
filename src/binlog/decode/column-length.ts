import { columnType, type ColumnSpec } from './column-spec.ts';
import { decimalBytes } from './decode-decimal.ts';
import { fractionBytes } from './decode-temporal.ts';

/** Bytes of every value of the column; undefined if values have a length prefix, or if the table map does not determine the length. */
export function fixedBytes({ type, meta }: ColumnSpec): number | undefined {
  switch (type) {
    case columnType.tiny:
    case columnType.year:
      return 1;
    case columnType.short:
      return 2;
    case columnType.int24:
    case columnType.date:
    case columnType.newDate:
      return 3;
    case columnType.long:
    case columnType.float:
      return 4;
    case columnType.longlong:
    case columnType.double:
      return 8;
    case columnType.newdecimal:
      return decimalBytes(...meta);
    case columnType.time2:
      return 3 + fractionBytes(meta[0]);
    case columnType.datetime2:
      return 5 + fractionBytes(meta[0]);
    case columnType.timestamp2:
      return 4 + fractionBytes(meta[0]);
    case columnType.bit:
      return meta[1] + (meta[0] > 0 ? 1 : 0);
    case columnType.enum:
    case columnType.set:
      return meta[1];
    default:
      return undefined;
  }
}

/** Bytes of the length prefix of a value; undefined if the type has no prefix or is unknown. */
export function lengthBytesOf({ type, meta }: ColumnSpec): number | undefined {
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

/** A CHAR longer than 255 bytes stores two bits of its length, inverted, in the type byte (MySQL sql/field.h). */
export function stringLength(meta: readonly [number, number]): number {
  return (((meta[0] & 0x30) ^ 0x30) << 4) | meta[1];
}
