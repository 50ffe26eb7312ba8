/** Column type codes of a table map (MySQL include/field_types.h; 140 and 141 are MariaDB's compressed columns). */
export const columnType = {
  oldDecimal: 0,
  tiny: 1,
  short: 2,
  long: 3,
  float: 4,
  double: 5,
  oldTimestamp: 7,
  longlong: 8,
  int24: 9,
  date: 10,
  oldTime: 11,
  oldDatetime: 12,
  year: 13,
  newDate: 14,
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
  /** The two metadata bytes in log order; a missing one is 0. */
  meta: readonly [number, number];
  unsigned: boolean;
  /** Character set name; `binary` for bytes; undefined where the type has none. */
  charset: string | undefined;
  /** ENUM and SET members as raw bytes in the column's own character set. */
  labels: readonly Buffer[] | undefined;
  /** Type from the data dictionary: MariaDB logs these types as plain strings. */
  hint: 'uuid' | 'inet4' | 'inet6' | 'json' | undefined;
  /** Fraction digits of a temporal column whose table map lacks them; undefined if the data dictionary lacks them, too. */
  fraction?: number | undefined;
}
