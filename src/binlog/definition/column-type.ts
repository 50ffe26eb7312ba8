/** A type in a definition, with the data dictionary's names: `int` for INTEGER. */
export interface ColumnType {
  base: string;
  /** Length, precision and scale, or fraction digits, as written. */
  args: readonly number[];
  /** Members of an ENUM or SET; null for any other type. */
  labels: readonly string[] | null;
  isUnsigned: boolean;
}

const synonyms: Readonly<Record<string, string>> = {
  bool: 'tinyint',
  boolean: 'tinyint',
  int1: 'tinyint',
  int2: 'smallint',
  int3: 'mediumint',
  middleint: 'mediumint',
  int4: 'int',
  integer: 'int',
  int8: 'bigint',
  dec: 'decimal',
  numeric: 'decimal',
  fixed: 'decimal',
  number: 'decimal',
  float4: 'float',
  float8: 'double',
  'double precision': 'double',
  character: 'char',
  nchar: 'char',
  'national char': 'char',
  'national character': 'char',
  'char varying': 'varchar',
  'character varying': 'varchar',
  'nchar varying': 'varchar',
  'national char varying': 'varchar',
  'national character varying': 'varchar',
  'national varchar': 'varchar',
  'nchar varchar': 'varchar',
  nvarchar: 'varchar',
  varcharacter: 'varchar',
  'national varcharacter': 'varchar',
  varchar2: 'varchar',
  'char byte': 'binary',
  raw: 'varbinary',
  clob: 'longtext',
  long: 'mediumtext',
  'long varchar': 'mediumtext',
  'long char varying': 'mediumtext',
  'long character varying': 'mediumtext',
  'long varcharacter': 'mediumtext',
  'long varbinary': 'mediumblob',
  serial: 'bigint',
  point: 'geometry',
  linestring: 'geometry',
  polygon: 'geometry',
  multipoint: 'geometry',
  multilinestring: 'geometry',
  multipolygon: 'geometry',
  geometrycollection: 'geometry',
  geomcollection: 'geometry',
};

/** Returns the data dictionary's name of a type; REAL remains, because its meaning depends on the SQL mode. */
export const typeName = (words: string): string => synonyms[words] ?? words;

/** Sizes of the integer types, in bytes. */
export const integerBytes: Readonly<Record<string, number>> = {
  tinyint: 1,
  smallint: 2,
  mediumint: 3,
  int: 4,
  bigint: 8,
};

/** Capacity of the TEXT and BLOB types, in bytes. */
export const lobBytes: Readonly<Record<string, number>> = {
  tinytext: 255,
  text: 65_535,
  mediumtext: 16_777_215,
  longtext: 4_294_967_295,
  tinyblob: 255,
  blob: 65_535,
  mediumblob: 16_777_215,
  longblob: 4_294_967_295,
};

/** Bytes of the longest character of a character set; 1 for a set that is not listed (`maxlen` of information_schema.character_sets). */
const characterBytes: Readonly<Record<string, number>> = {
  big5: 2,
  cp932: 2,
  euckr: 2,
  gb2312: 2,
  gbk: 2,
  sjis: 2,
  ucs2: 2,
  eucjpms: 3,
  ujis: 3,
  utf8: 3,
  utf8mb3: 3,
  gb18030: 4,
  utf16: 4,
  utf16le: 4,
  utf32: 4,
  utf8mb4: 4,
};

export const bytesOfCharacter = (charset: string | undefined): number => characterBytes[charset ?? ''] ?? 1;

/** Character sets that contain every character of all other sets. */
export const completeCharsets: ReadonlySet<string> = new Set([
  'utf8mb4',
  'utf16',
  'utf16le',
  'utf32',
  'gb18030',
]);
