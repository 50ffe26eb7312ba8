import type { ColumnSpec } from '../decode/column-spec.ts';
import { columnType } from '../decode/column-spec.ts';
import { stringLength } from '../decode/column-length.ts';
import { textDecoder } from '../decode/charset.ts';
import { parseLabels, type DictionaryColumn, type DictionaryTable } from '../source/dictionary.ts';
import type { ShownColumn } from '../types.ts';
import { bytesOfCharacter, typeName, type ColumnType } from './column-type.ts';

const namesByCode: ReadonlyMap<number, string> = new Map([
  [columnType.tiny, 'tinyint'],
  [columnType.short, 'smallint'],
  [columnType.int24, 'mediumint'],
  [columnType.long, 'int'],
  [columnType.longlong, 'bigint'],
  [columnType.float, 'float'],
  [columnType.double, 'double'],
  [columnType.year, 'year'],
  [columnType.date, 'date'],
  [columnType.newDate, 'date'],
  [columnType.oldTime, 'time'],
  [columnType.oldDatetime, 'datetime'],
  [columnType.oldTimestamp, 'timestamp'],
  [columnType.json, 'json'],
  [columnType.geometry, 'geometry'],
]);

const lobs = [
  ['tinyblob', 'tinytext'],
  ['blob', 'text'],
  ['mediumblob', 'mediumtext'],
  ['longblob', 'longtext'],
] as const;

const quoteLabel = (label: string): string =>
  `'${label.replaceAll('\\', String.raw`\\`).replaceAll("'", "''")}'`;

/** Returns a column's type in the data dictionary's notation from its table map; undefined if the table map lacks it. */
export function describeType(spec: ColumnSpec): string | undefined {
  const text = describe(spec);
  return text !== undefined && spec.unsigned ? `${text} unsigned` : text;
}

function describe({ type, meta, charset, labels, hint, fraction }: ColumnSpec): string | undefined {
  if (hint !== undefined && hint !== 'json') return hint;
  const isBinary = charset === 'binary';
  switch (type) {
    case columnType.newdecimal:
      return `decimal(${meta[0]},${meta[1]})`;
    case columnType.time2:
      return `time(${meta[0]})`;
    case columnType.datetime2:
      return `datetime(${meta[0]})`;
    case columnType.timestamp2:
      return `timestamp(${meta[0]})`;
    case columnType.oldTime:
    case columnType.oldDatetime:
    case columnType.oldTimestamp:
      return `${namesByCode.get(type)!}(${fraction ?? 0})`;
    case columnType.bit:
      return `bit(${meta[1] * 8 + meta[0]})`;
    case columnType.varchar:
    case columnType.varString: {
      const bytes = meta[0] | (meta[1] << 8);
      return isBinary ? `varbinary(${bytes})` : `varchar(${Math.floor(bytes / bytesOfCharacter(charset))})`;
    }
    case columnType.string: {
      const bytes = stringLength(meta);
      return isBinary ? `binary(${bytes})` : `char(${Math.floor(bytes / bytesOfCharacter(charset))})`;
    }
    case columnType.tinyBlob:
    case columnType.blob:
    case columnType.mediumBlob:
    case columnType.longBlob:
      return lobs[meta[0] - 1]?.[isBinary ? 0 : 1];
    case columnType.enum:
    case columnType.set: {
      const decode = charset === undefined ? undefined : textDecoder(charset);
      if (!labels || !decode) return undefined;
      const quoted = labels.map((label) => quoteLabel(decode(label)));
      return `${type === columnType.enum ? 'enum' : 'set'}(${quoted.join(',')})`;
    }
    default:
      return namesByCode.get(type);
  }
}

/** Reads a type in the data dictionary's notation: `decimal(10,2) unsigned`, `enum('a','b')`. */
export function parseType(text: string): ColumnType {
  const [, word = ''] = /^([a-z0-9]+)/i.exec(text) ?? [];
  const base = typeName(word.toLowerCase());
  const hasLabels = base === 'enum' || base === 'set';
  const [, args = ''] = hasLabels ? [] : (/^[a-z0-9]+\(([\d,]+)\)/i.exec(text) ?? []);
  return {
    base,
    args: args === '' ? [] : args.split(',').map(Number),
    labels: hasLabels ? parseLabels(text) : null,
    isUnsigned: !hasLabels && /\b(unsigned|zerofill)\b/i.test(text),
  };
}

/** Writes a type in the data dictionary's notation; the inverse of `parseType`. */
export function typeText({ base, args, labels, isUnsigned }: ColumnType): string {
  const inner = labels === null ? args.join(',') : labels.map(quoteLabel).join(',');
  return `${base}${inner === '' ? '' : `(${inner})`}${isUnsigned ? ' unsigned' : ''}`;
}

/** Returns a column as the log shows it, completed with known properties that the log does not show. */
export function mergeShown(known: ShownColumn | undefined, now: ShownColumn): ShownColumn {
  if (known?.kind !== now.kind) return now;
  const { keptIn, lostIn, formerKeys } = known;
  return {
    ...now,
    ...(known.isAutoIncrement && { isAutoIncrement: true }),
    ...(known.isGenerated && { isGenerated: true }),
    ...(keptIn && { keptIn }),
    ...(lostIn && { lostIn }),
    ...(formerKeys && { formerKeys }),
  };
}

/** Returns a column as the data dictionary describes it. */
export function showColumn(column: DictionaryColumn, { key }: Pick<DictionaryTable, 'key'>): ShownColumn {
  const { kind, type, charset, nullable, generated, autoIncrement, name } = column;
  return {
    kind,
    type,
    ...(charset !== null && { charset }),
    ...(!nullable && { isNotNull: true }),
    ...(key.includes(name) && { isKey: true }),
    ...(autoIncrement && { isAutoIncrement: true }),
    ...(generated && { isGenerated: true }),
  };
}
