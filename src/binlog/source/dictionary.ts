import { AppError } from '../../lib/errors.ts';
import { quoteName } from './quote-name.ts';
import { isAtLeast } from './server-version.ts';
import type { Source, SourceIdentity, SourceRow } from './source.ts';
import type { ColumnKind, SourceColumn, SourceTable } from '../types.ts';

/** A column in the data dictionary, including properties that the rules do not need. */
export interface DictionaryColumn extends SourceColumn {
  /** The type in the server's notation: `decimal(10,2)`, `enum('a','b')`. */
  type: string;
  unsigned: boolean;
  /** Character set name; null if the type has none. */
  charset: string | null;
  generated: boolean;
  autoIncrement: boolean;
  /** Excluded from SELECT *. */
  invisible: boolean;
  /** In a MariaDB system-versioned table: whether the column was declared as the start or the end of the period. */
  period: 'start' | 'end' | null;
}

export interface DictionaryTable extends SourceTable {
  columns: readonly DictionaryColumn[];
  /** By lower-case name. */
  columnOf: ReadonlyMap<string, DictionaryColumn>;
  isView: boolean;
  /** `InnoDB`; null for a view. */
  engine: string | null;
  /** The row_end column of a MariaDB system-versioned table: `row_end` unless declared under another name. Null for other tables. */
  rowEnd: string | null;
}

/** The source's current schema: the tables that our user may see. The rules are compiled against `tables`. */
export interface Dictionary {
  /** The schema as the server spells it. */
  schema: string;
  /** By lower-case name. If names differ only in letter case, this is the table that the rules spell. */
  tables: ReadonlyMap<string, DictionaryTable>;
  /** The tables' names as the rules spell them. */
  spelled: ReadonlySet<string>;
  /** Character set name by the collation id in a table map. */
  charsets: ReadonlyMap<number, string>;
}

const kinds: Readonly<Record<string, ColumnKind>> = {
  tinyint: 'integer',
  smallint: 'integer',
  mediumint: 'integer',
  int: 'integer',
  bigint: 'integer',
  decimal: 'decimal',
  float: 'float',
  double: 'float',
  bit: 'bit',
  year: 'year',
  date: 'date',
  time: 'time',
  datetime: 'datetime',
  timestamp: 'timestamp',
  char: 'text',
  varchar: 'text',
  tinytext: 'text',
  text: 'text',
  mediumtext: 'text',
  longtext: 'text',
  binary: 'binary',
  varbinary: 'binary',
  tinyblob: 'binary',
  blob: 'binary',
  mediumblob: 'binary',
  longblob: 'binary',
  vector: 'binary',
  enum: 'enum',
  set: 'set',
  json: 'json',
  uuid: 'uuid',
  inet4: 'inet',
  inet6: 'inet',
};

/**
 * Reads the dictionary of the schema in the source's URL. Requires only SELECT on the tables. `names` are the tables' names as the
 * rules spell them: they decide between tables whose names differ only in letter case.
 */
export async function readDictionary(
  source: Source,
  identity: SourceIdentity,
  names: Iterable<string> = [],
): Promise<Dictionary> {
  const spelled = new Set(names);
  const schema = await currentSchema(source);
  const [tableRows, columnRows, keyRows, charsets] = await Promise.all([
    source.query(
      'SELECT table_name AS name, table_type AS type, engine AS engine FROM information_schema.tables WHERE table_schema = ?',
      [schema],
    ),
    source.query(
      'SELECT table_name AS tableName, column_name AS name, data_type AS dataType, column_type AS type,' +
        ' is_nullable AS nullable, character_set_name AS charset, collation_name AS collation, extra AS extra,' +
        ' generation_expression AS expression' +
        ' FROM information_schema.columns WHERE table_schema = ? ORDER BY table_name, ordinal_position',
      [schema],
    ),
    source.query(
      'SELECT table_name AS tableName, column_name AS name FROM information_schema.statistics' +
        " WHERE table_schema = ? AND index_name = 'PRIMARY' ORDER BY table_name, seq_in_index",
      [schema],
    ),
    readCharsets(source, identity),
  ]);
  const columns = Map.groupBy(columnRows, (row) => String(row['tableName']));
  const keys = Map.groupBy(keyRows, (row) => String(row['tableName']));
  const tables = await Promise.all(
    tableRows.map(async (row) => {
      const table = toTable(row, columns.get(String(row['name'])) ?? [], keys.get(String(row['name'])) ?? []);
      return identity.flavour === 'mariadb' ? refineMariadb(source, table, row) : table;
    }),
  );
  return { schema, tables: byLowerName(tables, spelled), spelled, charsets };
}

/**
 * Reads the character set name of each collation id. From MariaDB 10.10 on, one name, uca1400_ai_ci, stands for a collation of every
 * Unicode character set, and only collation_character_set_applicability has the ids.
 */
export async function readCharsets(
  source: Source,
  { flavour, version }: SourceIdentity,
): Promise<ReadonlyMap<number, string>> {
  const list =
    flavour === 'mariadb' && isAtLeast(version, '10.10.1')
      ? 'collation_character_set_applicability'
      : 'collations';
  const rows = await source.query(
    `SELECT id AS id, character_set_name AS charset FROM information_schema.${list}`,
  );
  return new Map(rows.map((row) => [Number(row['id']), String(row['charset'])]));
}

async function currentSchema(source: Source): Promise<string> {
  const [row] = await source.query('SELECT DATABASE() AS name');
  if (typeof row?.['name'] === 'string') return row['name'];
  throw new AppError('ERR_SOURCE_ACCESS', 'source.url names no schema.', {
    remedy:
      'Write the schema of the application at the end of source.url: mysql://user:password@host:3306/ontology_db',
  });
}

function toTable(
  row: SourceRow,
  columnRows: readonly SourceRow[],
  keyRows: readonly SourceRow[],
): DictionaryTable {
  const columns = columnRows.map(toColumn);
  return {
    name: String(row['name']),
    isView: String(row['type']).includes('VIEW'),
    engine: row['engine'] === null ? null : String(row['engine']),
    columns,
    columnOf: new Map(columns.map((column) => [column.name.toLowerCase(), column])),
    key: keyRows.map((each) => String(each['name'])),
    rowEnd: null,
  };
}

function toColumn(row: SourceRow): DictionaryColumn {
  const type = String(row['type']);
  const dataType = String(row['dataType']).toLowerCase();
  const extra = String(row['extra']).toUpperCase();
  const charset = row['charset'] === null ? null : String(row['charset']);
  return {
    name: String(row['name']),
    kind:
      kinds[dataType] ??
      (/point|linestring|polygon|geom/.test(dataType) ? 'geometry' : charset ? 'text' : 'binary'),
    type,
    nullable: row['nullable'] === 'YES',
    ...(/^(tinyint|bit)\b/i.test(type) && { mayBeFlag: true as const }),
    unsigned: /\bunsigned\b/.test(type),
    charset,
    labels: dataType === 'enum' || dataType === 'set' ? parseLabels(type) : null,
    // MySQL calls a default that is an expression DEFAULT_GENERATED.
    generated: /\b(VIRTUAL|STORED|PERSISTENT) GENERATED\b/.test(extra) || /^ROW (START|END)$/.test(extra),
    autoIncrement: /\bAUTO_INCREMENT\b/.test(extra),
    invisible: /\bINVISIBLE\b/.test(extra),
    period: periodOf(row['expression']),
  };
}

function periodOf(expression: unknown): DictionaryColumn['period'] {
  if (expression === 'ROW START') return 'start';
  return expression === 'ROW END' ? 'end' : null;
}

/** Fraction digits of a temporal column from its type as the server prints it: 3 for `datetime(3)`. */
export function fractionOf(type: string): number {
  return Number(/^(?:time|datetime|timestamp)\((\d)\)/i.exec(type)?.[1] ?? 0);
}

/** Members of `enum('a','it''s','b\\c')`: the dictionary doubles quotes and backslashes. */
export function parseLabels(type: string): string[] {
  const labels: string[] = [];
  for (const [, text = ''] of type.matchAll(/'((?:[^'\\]|''|\\.)*)'/gs)) {
    labels.push(text.replace(/''|\\(.)/gs, (whole, escaped: string | undefined) => escapes(whole, escaped)));
  }
  return labels;
}

function escapes(whole: string, escaped: string | undefined): string {
  if (whole === "''") return "'";
  switch (escaped) {
    case 'n':
      return '\n';
    case 'r':
      return '\r';
    case '0':
      return '\0';
    default:
      return escaped ?? whole;
  }
}

/**
 * Determines which LONGTEXT columns of MariaDB are JSON (a check constraint, which only SHOW CREATE TABLE shows) and which column ends
 * the period of a system-versioned table (not listed if the server named it).
 */
async function refineMariadb(
  source: Source,
  table: DictionaryTable,
  row: SourceRow,
): Promise<DictionaryTable> {
  const versioned = row['type'] === 'SYSTEM VERSIONED';
  const mayHoldJson = table.columns.some(({ type, charset }) => type === 'longtext' && charset === 'utf8mb4');
  if (!versioned && !mayHoldJson) return table;
  const definition = mayHoldJson ? await readDefinition(source, table.name) : '';
  const isJson = (name: string): boolean => definition.includes(`json_valid(${quoteName(name)})`);
  const columns = table.columns.map((column) =>
    column.type === 'longtext' && isJson(column.name) ? { ...column, kind: 'json' as const } : column,
  );
  const named = table.columns.find(({ period }) => period === 'end')?.name;
  const rowEnd = versioned ? (named ?? 'row_end') : null;
  return {
    ...table,
    columns,
    columnOf: new Map(columns.map((column) => [column.name.toLowerCase(), column])),
    // The server adds a declared row_end to the key; without it, the key identifies one current row.
    key: table.key.filter((name) => name !== rowEnd),
    rowEnd,
  };
}

/** Returns CREATE TABLE in the server's format; empty when our user may read only some columns of the table. */
async function readDefinition(source: Source, table: string): Promise<string> {
  try {
    const [row] = await source.query(`SHOW CREATE TABLE ${quoteName(table)}`);
    return String(row?.['Create Table'] ?? '');
  } catch {
    return '';
  }
}

/** A table that the rules spell exactly is chosen. Tables with namesakes list all names: the rules must then spell the name exactly. */
function byLowerName(
  tables: readonly DictionaryTable[],
  spelled: ReadonlySet<string>,
): Map<string, DictionaryTable> {
  const groups = Map.groupBy(tables, ({ name }) => name.toLowerCase());
  return new Map(
    [...groups].map(([lower, group]) => {
      const chosen = group.find(({ name }) => spelled.has(name)) ?? group[0]!;
      const namesakes = group.map(({ name }) => name).toSorted();
      return [lower, group.length === 1 ? chosen : { ...chosen, namesakes }];
    }),
  );
}
