import type { ColumnDefinition } from './column-definition.ts';
import {
  bytesOfCharacter,
  completeCharsets,
  integerBytes,
  lobBytes,
  type ColumnType,
} from './column-type.ts';

/** A column before or after a definition. */
export interface ColumnState extends ColumnDefinition {
  type: ColumnType;
}

export interface ConversionMode {
  /** STRICT_TRANS_TABLES or STRICT_ALL_TABLES: the server refuses values that do not fit, except as listed at `keepsValues`. */
  isStrict: boolean;
  /** PAD_CHAR_TO_FULL_LENGTH: a CHAR is padded with spaces when it is copied. */
  padsChar: boolean;
}

/**
 * Whether a conversion keeps each value of a column, including its text except for trailing zeros of a fraction. In strict mode both
 * servers refuse numbers out of range, text that is too long, characters missing from the character set, removed labels, and NULL. They
 * never refuse to round (DECIMAL, fractions of a second, DOUBLE to FLOAT), to trim spaces, or to pad (measured on MySQL 9.7, MariaDB
 * 10.11 and 11.8).
 */
export function keepsValues(before: ColumnState, after: ColumnState, mode: ConversionMode): boolean {
  if (after.isGenerated || (after.isAutoIncrement && !before.isAutoIncrement)) return false;
  if (after.isNotNull && !before.isNotNull && !(mode.isStrict && after.type.base !== 'timestamp'))
    return false;
  const pair = { from: before.type, to: after.type, mode };
  const [from, to] = [before.type.base, after.type.base];
  if (from in integerBytes) return to in integerBytes && keepsIntegers(pair);
  if (isText(from)) return isText(to) && keepsText(pair, { from: before.charset, to: after.charset });
  if (isBytes(from)) return isBytes(to) && keepsBytes(pair);
  if (from !== to && !(from === 'float' && to === 'double')) return false;
  switch (from) {
    case 'decimal':
      return keepsDecimals(pair);
    case 'float':
    case 'double':
      return keepsFloats(pair);
    case 'time':
    case 'datetime':
    case 'timestamp':
      return (pair.to.args[0] ?? 0) >= (pair.from.args[0] ?? 0);
    case 'bit':
      return mode.isStrict || (pair.to.args[0] ?? 1) >= (pair.from.args[0] ?? 1);
    case 'enum':
      return indicesOf(pair).every((index) => index >= 0);
    case 'set':
      // A value lists its members in the order of the definition.
      return indicesOf(pair).every((index, i, all) => index >= 0 && (i === 0 || index > all[i - 1]!));
    case 'vector':
      return pair.to.args[0] === pair.from.args[0];
    default:
      return true;
  }
}

interface Pair {
  from: ColumnType;
  to: ColumnType;
  mode: ConversionMode;
}

const textTypes: ReadonlySet<string> = new Set([
  'char',
  'varchar',
  'tinytext',
  'text',
  'mediumtext',
  'longtext',
]);
const isText = (base: string): boolean => textTypes.has(base);
const byteTypes: ReadonlySet<string> = new Set([
  'binary',
  'varbinary',
  'tinyblob',
  'blob',
  'mediumblob',
  'longblob',
]);
const isBytes = (base: string): boolean => byteTypes.has(base);

const keepsSign = ({ from, to }: Pair): boolean => from.isUnsigned || !to.isUnsigned;

function keepsIntegers(pair: Pair): boolean {
  const { from, to, mode } = pair;
  if (mode.isStrict) return true;
  const [before, after] = [integerBytes[from.base]!, integerBytes[to.base]!];
  return keepsSign(pair) && (from.isUnsigned && !to.isUnsigned ? after > before : after >= before);
}

function keepsDecimals(pair: Pair): boolean {
  const [precision, scale] = digitsOf(pair.to);
  const [formerPrecision, formerScale] = digitsOf(pair.from);
  if (scale < formerScale) return false;
  return pair.mode.isStrict || (keepsSign(pair) && precision - scale >= formerPrecision - formerScale);
}

const digitsOf = ({ args }: ColumnType): readonly [precision: number, scale: number] => [
  args[0] ?? 10,
  args[1] ?? 0,
];

/** The table map does not contain the digits of FLOAT(M,D), to which the server rounds. */
function keepsFloats(pair: Pair): boolean {
  const { from, to, mode } = pair;
  const isSameRounding =
    to.args.length === 0 || (from.base === to.base && to.args.join() === from.args.join());
  return isSameRounding && (mode.isStrict || keepsSign(pair));
}

function keepsText({ from, to, mode }: Pair, charset: { from: string | null; to: string | null }): boolean {
  if (charset.to === 'binary') return false;
  if (to.base === 'char' && from.base !== 'char') return false;
  if (from.base === 'char' && to.base !== 'char' && mode.padsChar) return false;
  if (!mode.isStrict && !keepsCharacters(charset)) return false;
  return holds(from, to, charset);
}

/** Whether a character set has each character of another set: outside strict mode the server replaces missing ones with `?`. */
export function keepsCharacters({ from, to }: { from: string | null; to: string | null }): boolean {
  if (to === from && to !== null) return true;
  return to !== null && completeCharsets.has(to);
}

/** Whether the new type has room for every old value, including trailing spaces. */
function holds(
  from: ColumnType,
  to: ColumnType,
  charset: { from: string | null; to: string | null },
): boolean {
  const formerLob = lobBytes[from.base];
  const lob = lobBytes[to.base];
  const length = from.args[0] ?? 1;
  if (lob === undefined) return (to.args[0] ?? 1) >= (formerLob ?? length);
  if (formerLob !== undefined) return lob >= formerLob;
  return lob >= length * (charset.to === null ? 4 : bytesOfCharacter(charset.to));
}

/** BINARY pads with zeros; a conversion from BINARY keeps them. */
function keepsBytes({ from, to }: Pair): boolean {
  const length = from.args[0] ?? 1;
  if (to.base === 'binary') return from.base === 'binary' && (to.args[0] ?? 1) === length;
  const room = lobBytes[to.base] ?? to.args[0] ?? 1;
  return room >= (lobBytes[from.base] ?? length);
}

/** Returns the new index of each former member; -1 for a member that was removed or is spelled differently. */
function indicesOf({ from, to }: Pair): number[] {
  const now = to.labels ?? [];
  return (from.labels ?? []).map((label) => now.indexOf(label));
}
