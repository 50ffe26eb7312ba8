import { ByteReader } from './byte-reader.ts';
import { columnType, compileColumn, type ColumnDecoder, type ColumnSpec } from './decode-column.ts';
import { Tripwire } from './halt.ts';
import type { Column, Flavour, TableSchema } from './types.ts';

/** What the log does not say about a table, from the source's data dictionary. */
export interface TableHints {
  /** MariaDB types that are logged as plain strings, by lower-case column name. */
  types: ReadonlyMap<string, 'uuid' | 'inet4' | 'inet6' | 'json'>;
  /** The row_end column of a MariaDB system-versioned table, lower case; undefined where nobody knows: the table is gone. */
  rowEnd: string | null | undefined;
}

export interface TableMapContext {
  flavour: Flavour;
  /** Character set name of a collation id. */
  charsetOf(collation: number): string | undefined;
  /** The columns (lower case) to read of a table of the watched schema; undefined when it is not watched. */
  columnsOf(schema: string, table: string): ReadonlySet<string> | undefined;
  /** The columns (lower case) that rules name, whether the reader is told to read them or not; undefined when they name none. */
  namedIn?(schema: string, table: string): ReadonlySet<string> | undefined;
  hintsOf(table: string): TableHints | undefined;
}

/** A table as the log describes it, ready to read rows. */
export interface MappedTable {
  schema: TableSchema;
  /** Whether its rows are to be read: of one that rules only name it is known what they would miss. */
  isWatched: boolean;
  /** Columns that rules name and that the reader was not told to read. */
  unread: readonly Column[];
  columnCount: number;
  decoders: readonly ColumnDecoder[];
  /** For each column of the table, its index in `schema.columns`, or -1: it is passed over. */
  targets: Int32Array;
  /** Index in `schema.columns` of row_end, or -1. */
  rowEnd: number;
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
  0,
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

/** Types that a flavour counts among its character columns, and the other does not (measured: MySQL 9.7.4, MariaDB 10.11.18). */
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

/** Reads the names at the beginning of a TABLE_MAP event's body, from behind the table id and flags. */
export function readTableName(reader: ByteReader): { schema: string; table: string } {
  const schema = reader.utf8(reader.uint8());
  reader.skip(1);
  const table = reader.utf8(reader.uint8());
  reader.skip(1);
  return { schema, table };
}

/**
 * Reads a TABLE_MAP event's body, from behind the table id and flags, into a table that can read its rows; null when the
 * table is neither watched nor named. Throws a Tripwire where the log does not say enough to read every wanted column for certain.
 * Layout: MySQL libs/mysql/binlog/event/rows_event.h, Table_map_event.
 */
export function readTableMap(reader: ByteReader, context: TableMapContext): MappedTable | null {
  const { schema, table } = readTableName(reader);
  const wanted = context.columnsOf(schema, table);
  const named = context.namedIn?.(schema, table);
  if (!wanted && !named) return null;
  const name = `${schema}.${table}`;
  const count = reader.lengthEncoded();
  const types = [...reader.bytes(count)];
  const metaEnd = reader.lengthEncoded() + reader.offset;
  const metas = types.map((type) => readMeta(reader, type));
  reader.offset = metaEnd;
  reader.skip((count + 7) >> 3);
  const optional = readOptional(reader, realTypes(types, metas), context.flavour);
  if (optional.names.length !== count) {
    throw new Tripwire('metadata-missing', `the log does not name the columns of ${name}`, {
      table: name,
      remedy:
        "SET PERSIST binlog_row_metadata = 'FULL'; -- MariaDB: SET GLOBAL, and the same line in the server's configuration file",
    });
  }
  const hints = context.hintsOf(table);
  const specs = specsOf(types, metas, { optional, hints, charsetOf: context.charsetOf });
  const missed = specs.filter(({ name: column }) => isMissed(column.toLowerCase(), { wanted, named }));
  if (context.flavour === 'mariadb') requireTold(name, specs, { missed, hints, key: optional.key });
  const mapped = assemble(specs, {
    schema,
    table,
    wanted: wanted ?? new Set(),
    key: optional.key,
    rowEnd: hints?.rowEnd ?? null,
  });
  const unread = missed.map((spec) => ({ name: spec.name, kind: compileColumn(spec)!.kind }));
  return { ...mapped, isWatched: wanted !== undefined, unread };
}

function isMissed(
  column: string,
  { wanted, named }: { wanted: ReadonlySet<string> | undefined; named: ReadonlySet<string> | undefined },
): boolean {
  return (named?.has(column) ?? false) && !(wanted?.has(column) ?? false);
}

interface Untold {
  missed: readonly ColumnSpec[];
  hints: TableHints | undefined;
  key: readonly number[];
}

/**
 * Of what is not in the data dictionary any more MariaDB's log does not say everything. Throws a Tripwire where a column may be
 * one of those types that are logged as plain strings, or the table one that keeps its past.
 */
function requireTold(table: string, specs: readonly ColumnSpec[], { missed, hints, key }: Untold): void {
  const untold = missed.find(mayBeHidden);
  const keepsPast = ({ type, meta }: ColumnSpec, index: number): boolean =>
    type === columnType.timestamp2 && meta[0] === 6 && (key.length === 0 || key.includes(index));
  if (!untold && (hints?.rowEnd !== undefined || !specs.some(keepsPast))) return;
  throw new Tripwire(
    'unsupported-type',
    untold
      ? `the log does not say whether ${table}.${untold.name}, which is gone, was a UUID, an address, JSON, or a plain string`
      : `the log does not say whether ${table}, which is gone, was system-versioned`,
    { table, remedy: 'odontology-webhooks resume --accept-gap --reason "…"' },
  );
}

/** BINARY(16) or UUID or INET6, BINARY(4) or INET4, LONGTEXT or JSON. */
function mayBeHidden({ type, meta, charset, hint }: ColumnSpec): boolean {
  if (hint !== undefined) return false;
  if (type === columnType.string) return charset === 'binary' && (meta[1] === 16 || meta[1] === 4);
  return type === columnType.blob && meta[0] === 4 && charset === 'utf8mb4';
}

function readMeta(reader: ByteReader, type: number): [number, number] {
  if (twoByteMeta.has(type)) return [reader.uint8(), reader.uint8()];
  return [oneByteMeta.has(type) ? reader.uint8() : 0, 0];
}

/** ENUM and SET hide behind STRING: their true type is the first metadata byte. */
function realTypes(types: readonly number[], metas: readonly [number, number][]): number[] {
  return types.map((type, i) => {
    const hidden = metas[i]![0];
    return type === columnType.string && (hidden === columnType.enum || hidden === columnType.set)
      ? hidden
      : type;
  });
}

interface Optional {
  names: string[];
  unsigned: boolean[];
  collations: number[];
  labels: (Buffer[] | undefined)[];
  /** Column indices of the primary key. */
  key: number[];
}

function readOptional(reader: ByteReader, types: readonly number[], flavour: Flavour): Optional {
  const result: Optional = { names: [], unsigned: [], collations: [], labels: [], key: [] };
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
        indices((type) => numericTypes.has(type)).forEach((column, i) => {
          result.unsigned[column] = (part.buffer[part.offset + (i >> 3)]! & (0x80 >> (i & 7))) !== 0;
        });
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
        // Geometry types, visibility, vector dimensions and what later servers add: not needed to read a row.
        break;
    }
  }
  return result;
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
  return Array.from({ length: part.lengthEncoded() }, () => Buffer.from(part.bytes(part.lengthEncoded())));
}

interface SpecSources {
  optional: Optional;
  hints: TableHints | undefined;
  charsetOf(collation: number): string | undefined;
}

function specsOf(
  types: readonly number[],
  metas: readonly [number, number][],
  sources: SpecSources,
): ColumnSpec[] {
  const { optional, hints, charsetOf } = sources;
  return realTypes(types, metas).map((type, i) => {
    const name = optional.names[i]!;
    const collation = optional.collations[i];
    return {
      name,
      type,
      meta: metas[i]!,
      unsigned: optional.unsigned[i] ?? false,
      charset: collation === undefined ? undefined : charsetOf(collation),
      labels: optional.labels[i],
      hint: hints?.types.get(name.toLowerCase()),
    };
  });
}

interface Assembly {
  schema: string;
  table: string;
  wanted: ReadonlySet<string>;
  key: readonly number[];
  rowEnd: string | null;
}

function assemble(
  specs: readonly ColumnSpec[],
  { schema, table, wanted, key, rowEnd }: Assembly,
): Omit<MappedTable, 'isWatched' | 'unread'> {
  const columns: Column[] = [];
  const indexOf = new Map<string, number>();
  const targets = new Int32Array(specs.length).fill(-1);
  const decoders = specs.map((spec, i) => {
    const decoder = compileColumn(spec);
    const lower = spec.name.toLowerCase();
    if (!decoder) {
      throw new Tripwire(
        'unsupported-type',
        `column ${schema}.${table}.${spec.name} has a type or character set that cannot be decoded (type ${spec.type}, ${spec.charset ?? 'no character set'})`,
        {
          table: `${schema}.${table}`,
          remedy: `ALTER TABLE \`${schema}\`.\`${table}\` FORCE; -- or convert the column to a supported type, then: odontology-webhooks resume --accept-gap --reason "…"`,
        },
      );
    }
    if (wanted.has(lower) || key.includes(i) || lower === rowEnd) {
      targets[i] = columns.length;
      indexOf.set(lower, columns.length);
      columns.push({ name: spec.name, kind: decoder.kind });
    }
    return decoder;
  });
  return {
    schema: { schema, name: table, columns, key: key.map((i) => targets[i]!), indexOf },
    columnCount: specs.length,
    decoders,
    targets,
    rowEnd: rowEnd === null ? -1 : (indexOf.get(rowEnd) ?? -1),
  };
}
