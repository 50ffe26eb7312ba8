import { setVariable } from '../../db/connection/set-variable.ts';
import type { ByteReader } from '../protocol/byte-reader.ts';
import { columnType, type ColumnSpec } from './column-spec.ts';
import { compileColumn, compileSkip, type ColumnDecoder, type SkipColumn } from './decode-column.ts';
import { describeType } from '../definition/shown-column.ts';
import { CaptureFault, undecodable } from '../halt.ts';
import { quoteName } from '../source/quote-name.ts';
import { acceptGapCommand, steps } from '../remedy.ts';
import { findRowEnd, type EndOfTime, type PlainColumns } from './system-versioning.ts';
import { readOptional, readShapes, type ColumnShape, type OptionalMetadata } from './table-map-columns.ts';
import type { Column, ColumnKind, Flavour, ShownColumn, TableSchema } from '../types.ts';

/** What the log does not contain about a table, from the source's data dictionary. */
export interface TableHints {
  /** MariaDB types that are logged as plain strings, by lower-case column name. */
  types: ReadonlyMap<string, 'uuid' | 'inet4' | 'inet6' | 'json'>;
  /** Fraction digits of the temporal columns, by lower-case name: the log lacks them for the formats before MariaDB 10.1. */
  fractions: ReadonlyMap<string, number>;
  /** See PlainColumns. */
  plainColumns: PlainColumns;
}

export interface TableMapContext {
  flavour: Flavour;
  /** See SourceIdentity. */
  hasShortTimestamps?: boolean;
  /** Character set name of a collation id. */
  charsetOf(collation: number): string | undefined;
  /** The columns (lower case) to read from a table of the watched schema; undefined when the table is not watched. */
  columnsOf(schema: string, table: string): ReadonlySet<string> | undefined;
  /** The columns (lower case) that rules name, whether the reader reads them or not; undefined when rules name none. */
  namedIn?(schema: string, table: string): ReadonlySet<string> | undefined;
  hintsOf(table: string): TableHints | undefined;
}

/** A table as the log describes it, ready to read rows. */
export interface MappedTable {
  schema: TableSchema;
  /** Whether to read its rows. A table that only rules name is mapped to report the columns that they would miss. */
  isWatched: boolean;
  /** Columns that rules name and that the reader was not opened for, by lower-case name. */
  unread: readonly string[];
  /** All read and unread columns, by lower-case name. */
  shown: Readonly<Record<string, ShownColumn>>;
  columnCount: number;
  /** The read function of each column of the table; undefined for a skipped column. */
  reads: readonly (ColumnDecoder['read'] | undefined)[];
  skips: readonly SkipColumn[];
  /** The index in `schema.columns` of each column of the table, or -1. */
  targets: Int32Array;
  /** Index in `schema.columns` of row_end, or -1. */
  rowEnd: number;
  /** The row_end of a current row in the binlog file of this table map. */
  endOfTime: EndOfTime | undefined;
}

/** Reads the names at the beginning of a TABLE_MAP event's body, from after the table id and flags. */
export function readTableName(reader: ByteReader): { schema: string; table: string } {
  const schema = reader.utf8(reader.uint8());
  reader.skip(1);
  const table = reader.utf8(reader.uint8());
  reader.skip(1);
  return { schema, table };
}

/**
 * Reads a TABLE_MAP event's body, from after the table id and flags, and returns a table that can read its rows; null when the table is
 * neither watched nor named. Throws a CaptureFault if the log does not determine how to read every wanted column. Layout: MySQL
 * libs/mysql/binlog/event/rows_event.h, Table_map_event.
 */
export function readTableMap(
  reader: ByteReader,
  context: TableMapContext,
  endOfTime: EndOfTime | undefined,
): MappedTable | null {
  const { schema, table } = readTableName(reader);
  const wanted = context.columnsOf(schema, table);
  const named = context.namedIn?.(schema, table);
  if (!wanted && !named) return null;
  const name = `${schema}.${table}`;
  const shapes = readShapes(reader);
  const optional = readOptional(
    reader,
    shapes.map(({ type }) => type),
    context.flavour,
  );
  if (optional.names.length !== shapes.length) {
    throw new CaptureFault('metadata-missing', `the log does not name the columns of ${name}`, {
      table: name,
      remedy: steps(
        setVariable('binlog_row_metadata', "'FULL'", context.flavour),
        acceptGapCommand('log without column names', { untilNow: true }),
      ),
    });
  }
  const hints = context.hintsOf(table);
  const specs = specsOf(shapes, { optional, hints, context });
  const missed = specs.filter(({ name: column }) => isMissed(column.toLowerCase(), { wanted, named }));
  const isMariadb = context.flavour === 'mariadb';
  if (isMariadb) requireTypes(name, missed);
  const rowEnd = isMariadb
    ? findRowEnd(name, specs, { key: optional.key, plainColumns: hints?.plainColumns })
    : -1;
  if (rowEnd >= 0 && endOfTime === undefined) {
    throw undecodable(`rows of ${name} came before the description of their log`);
  }
  const mapped = assemble(specs, {
    schema,
    table,
    wanted: wanted ?? new Set(),
    key: optional.key.filter((index) => index !== rowEnd),
    rowEnd,
  });
  const unread = missed.map((spec) => spec.name.toLowerCase());
  const shown = Object.fromEntries(
    specs.flatMap((spec, i) => {
      const lower = spec.name.toLowerCase();
      if (mapped.targets[i]! < 0 && !unread.includes(lower)) return [];
      const isKey = i !== rowEnd && optional.key.includes(i);
      return [[lower, toShown(spec, { kind: decoderOf(name, spec).kind, isKey })]];
    }),
  );
  return { ...mapped, endOfTime, isWatched: wanted !== undefined, unread, shown };
}

function toShown(
  spec: ColumnSpec & ColumnShape,
  { kind, isKey }: { kind: ColumnKind; isKey: boolean },
): ShownColumn {
  const type = describeType(spec);
  return {
    kind,
    ...(type !== undefined && { type }),
    ...(spec.charset !== undefined && { charset: spec.charset }),
    ...(!spec.nullable && { isNotNull: true }),
    ...(isKey && { isKey: true }),
  };
}

function isMissed(
  column: string,
  { wanted, named }: { wanted: ReadonlySet<string> | undefined; named: ReadonlySet<string> | undefined },
): boolean {
  return (named?.has(column) ?? false) && !(wanted?.has(column) ?? false);
}

/**
 * MariaDB's log does not fully describe a column that is no longer in the data dictionary. Throws a CaptureFault if such a column may
 * have a type that is logged as plain strings.
 */
function requireTypes(table: string, missed: readonly ColumnSpec[]): void {
  const untold = missed.find(mayBeHidden);
  if (!untold) return;
  throw new CaptureFault(
    'unsupported-type',
    `the log does not say whether ${table}.${untold.name}, which is gone, was a UUID, an address, JSON, or a plain string`,
    { table, remedy: acceptGapCommand('type of a dropped column not known') },
  );
}

/** BINARY(16) or UUID or INET6, BINARY(4) or INET4, LONGTEXT or JSON. */
function mayBeHidden({ type, meta, charset, hint }: ColumnSpec): boolean {
  if (hint !== undefined) return false;
  if (type === columnType.string) return charset === 'binary' && (meta[1] === 16 || meta[1] === 4);
  return type === columnType.blob && meta[0] === 4 && charset === 'utf8mb4';
}

interface SpecSources {
  optional: OptionalMetadata;
  hints: TableHints | undefined;
  context: TableMapContext;
}

function specsOf(
  shapes: readonly ColumnShape[],
  { optional, hints, context }: SpecSources,
): (ColumnSpec & ColumnShape)[] {
  return shapes.map((shape, i) => {
    const name = optional.names[i]!;
    const collation = optional.collations[i];
    return {
      ...shape,
      name,
      unsigned: optional.unsigned[i] ?? false,
      charset: collation === undefined ? undefined : context.charsetOf(collation),
      labels: optional.labels[i],
      hint: hints?.types.get(name.toLowerCase()),
      // MySQL's old formats never had fractions.
      fraction: context.flavour === 'mysql' ? 0 : hints?.fractions.get(name.toLowerCase()),
    };
  });
}

interface Assembly {
  schema: string;
  table: string;
  wanted: ReadonlySet<string>;
  key: readonly number[];
  rowEnd: number;
}

function assemble(
  specs: readonly ColumnSpec[],
  { schema, table, wanted, key, rowEnd }: Assembly,
): Omit<MappedTable, 'endOfTime' | 'isWatched' | 'unread' | 'shown'> {
  const columns: Column[] = [];
  const indexOf = new Map<string, number>();
  const targets = new Int32Array(specs.length).fill(-1);
  const reads = specs.map((spec, i) => {
    const lower = spec.name.toLowerCase();
    if (!wanted.has(lower) && !key.includes(i) && i !== rowEnd) return undefined;
    const { kind, read } = decoderOf(`${schema}.${table}`, spec);
    targets[i] = columns.length;
    indexOf.set(lower, columns.length);
    columns.push({ name: spec.name, kind });
    return read;
  });
  return {
    schema: {
      schema,
      name: table,
      columns,
      key: key.map((i) => targets[i]!),
      indexOf,
      ...(rowEnd < 0 ? {} : { rowEnd: specs[rowEnd]!.name }),
    },
    columnCount: specs.length,
    reads,
    skips: specs.map((spec) => compileSkip(spec) ?? refuse(`${schema}.${table}`, spec)),
    targets,
    rowEnd: rowEnd < 0 ? -1 : targets[rowEnd]!,
  };
}

/** Types whose format the data dictionary knows: the check `column-formats` fails for them. */
const oldTypes: ReadonlySet<number> = new Set([
  columnType.oldDecimal,
  columnType.oldTime,
  columnType.oldDatetime,
  columnType.oldTimestamp,
]);

const decoderOf = (table: string, spec: ColumnSpec): ColumnDecoder =>
  compileColumn(spec) ?? refuse(table, spec);

function refuse(table: string, spec: ColumnSpec): never {
  const { name, type, charset } = spec;
  throw new CaptureFault(
    'unsupported-type',
    `column ${table}.${name} cannot be decoded (type ${type}, ${charset ?? 'no character set'})`,
    { table, remedy: unsupportedRemedy(table, spec) },
  );
}

function unsupportedRemedy(table: string, { name, type }: ColumnSpec): string {
  const accept = acceptGapCommand('unsupported type');
  if (!oldTypes.has(type)) {
    return steps(
      `Remove ${table}.${name} from the rules: capture then continues, and no change is lost.`,
      'Or convert the column to a type that the README lists, and give up the changes before that:',
      accept,
    );
  }
  if (type === columnType.oldDecimal) {
    return steps(
      'The column has the format of a server of before MySQL 5.0.3. This command prints the statement that converts it:',
      'odontology-webhooks check',
      'Then give up the changes before that:',
      accept,
    );
  }
  const quoted = table.split('.').map(quoteName).join('.');
  return steps(
    'The column has the format of a server of before MariaDB 10.1. Convert it:',
    setVariable('mysql56_temporal_format', 'ON', 'mariadb'),
    `ALTER TABLE ${quoted} FORCE;`,
    accept,
  );
}
