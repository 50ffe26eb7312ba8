import { isDeepStrictEqual } from 'node:util';
import type { Name } from '../statement/names.ts';
import type { ShownColumn } from '../types.ts';
import type { Alteration, ColumnAction } from './alter-actions.ts';
import type { ColumnDefinition } from './column-definition.ts';
import { keepsCharacters, keepsValues, type ColumnState, type ConversionMode } from './keeps-values.ts';
import { parseType, typeText } from './shown-column.ts';

type Columns = Readonly<Record<string, ShownColumn>>;

export interface ComparedColumns {
  known: Columns;
  /** Lower-case names: the columns that the rules name, and the key. */
  compared: ReadonlySet<string>;
  mode: ConversionMode;
}

export interface ValueChange {
  kind: ColumnAction['kind'];
  column: string;
  /** What was done to it, for a message. */
  what: string;
}

/** Finds the first action of an ALTER TABLE that may change values of a checked column; null if it provably keeps all values. */
export function findValueChange(
  { actions }: Pick<Alteration, 'actions'>,
  validated: ComparedColumns,
): ValueChange | null {
  for (const action of actions) {
    const column = findChanged(action, validated);
    if (column !== undefined)
      return { kind: action.kind, column, what: describe(action, validated.known[column]!) };
  }
  return null;
}

function describe(action: ColumnAction, { type }: ShownColumn): string {
  if (action.kind === 'remove') return 'lost its name by ALTER TABLE';
  const from = type === undefined ? '' : ` from ${shortText(parseType(type))}`;
  if (action.kind === 'convert') return `was converted${from} to another character set by ALTER TABLE`;
  const to = action.definition.type;
  return `was converted${from} to ${to ? shortText(to) : 'another type'} by ALTER TABLE`;
}

/** Omits the labels, which may be many. */
const shortText = (type: ColumnState['type']): string => typeText({ ...type, labels: null });

function findChanged(action: ColumnAction, { known, compared, mode }: ComparedColumns): string | undefined {
  const columns = [...compared];
  if (action.kind === 'remove') return columns.find((column) => isNamed(action.column, column));
  // The expression of a generated column is unknown, so any change may affect it.
  const generated = columns.find((column) => known[column]!.isGenerated);
  if (action.kind === 'convert') {
    return generated ?? columns.find((column) => !keepsConverted(known[column]!, action.charset, mode));
  }
  const { definition } = action;
  const defined = columns.find((column) => isNamed(action.column, column));
  if (defined === undefined) return generated;
  return keepsDefined(known[defined]!, definition, mode) ? undefined : defined;
}

/** Whether a column with this definition keeps each value of a known column. */
export function keepsDefined(
  column: ShownColumn,
  definition: ColumnDefinition,
  mode: ConversionMode,
): boolean {
  const before = stateOf(column);
  const { type } = definition;
  if (!before || !type || column.isUnproved) return false;
  const after = { ...definition, type: resolve(type, before.type) };
  // The table's default character set is unknown. Outside strict mode assume the former one: the next row shows whether it was kept.
  const charset = after.charset ?? (mode.isStrict ? null : before.charset);
  return keepsValues(before, { ...after, charset }, mode);
}

/** MariaDB's JSON is a LONGTEXT. REAL is FLOAT in a certain SQL mode, so it stays unresolved. */
function resolve(type: ColumnState['type'], before: ColumnState['type']): ColumnState['type'] {
  if (type.base === 'json' && before.base === 'longtext') return { ...type, base: 'longtext' };
  return type;
}

function keepsConverted(column: ShownColumn, charset: string | null, mode: ConversionMode): boolean {
  if (column.charset === undefined && column.kind !== 'text') return true;
  if (column.charset === 'binary') return true;
  if (charset === 'binary' || column.isUnproved) return false;
  if (mode.isStrict || charset === null) return true;
  return keepsCharacters({ from: column.charset ?? null, to: charset });
}

/** Returns the known columns of a table after an ALTER TABLE that keeps its values. */
export function followAlteration(
  { actions }: Pick<Alteration, 'actions'>,
  known: Columns,
  mode: ConversionMode,
): Columns {
  let columns = known;
  for (const action of actions) {
    columns = Object.fromEntries(
      Object.entries(columns).flatMap(([name, column]): [string, ShownColumn][] => {
        if (action.kind === 'convert') return [[name, afterConversion(column, action.charset, mode)]];
        if (!isNamed(action.column, name)) return [[name, column]];
        // No rule names this column: a column that is later added under the name is a different one.
        if (action.kind === 'remove') return [];
        return [[name, afterDefinition(column, action.definition, mode)]];
      }),
    );
  }
  return isDeepStrictEqual(columns, known) ? known : columns;
}

function afterDefinition(
  { kind, isKey, keptIn, lostIn, formerKeys, ...before }: ShownColumn,
  definition: ColumnDefinition,
  mode: ConversionMode,
): ShownColumn {
  const { type, isNotNull, isAutoIncrement, isGenerated } = definition;
  const kept = {
    kind,
    ...(isKey && { isKey }),
    ...(keptIn && { keptIn }),
    ...(lostIn && { lostIn }),
    ...(formerKeys && { formerKeys }),
  };
  if (!type) return kept;
  const now = resolve(type, before.type === undefined ? type : parseType(before.type));
  return {
    ...kept,
    type: typeText(now),
    ...(isNotNull && { isNotNull }),
    ...(isAutoIncrement && { isAutoIncrement }),
    ...(isGenerated && { isGenerated }),
    ...charsetAfter(before, definition.charset, mode),
  };
}

const afterConversion = (column: ShownColumn, charset: string | null, mode: ConversionMode): ShownColumn => {
  const { charset: before, ...rest } = column;
  if (before === 'binary' || (before === undefined && column.kind !== 'text')) return column;
  return { ...rest, ...charsetAfter(column, charset, mode) };
};

/** Returns the character set known after the conversion. If the statement names none, strict mode has kept every character. */
function charsetAfter(
  { charset: before }: Pick<ShownColumn, 'charset'>,
  charset: string | null,
  { isStrict }: ConversionMode,
): Pick<ShownColumn, 'charset' | 'isUnproved'> {
  if (charset !== null) return { charset };
  return isStrict || before === undefined || before === 'binary' ? {} : { charset: before, isUnproved: true };
}

/** Whether a column that the log now shows differently may have lost values in the conversion. */
export function isConverted(before: ShownColumn, now: ShownColumn): boolean {
  const [from, to] = [stateOf(before), stateOf(now)];
  if (!from || !to || before.kind !== now.kind) return false;
  // Ignore what a table map does not show, and what ADD PRIMARY KEY changes.
  const state = { ...to, isNotNull: from.isNotNull, isAutoIncrement: false, isGenerated: false };
  const charset = from.charset === null ? to.charset : from.charset;
  return !keepsValues({ ...from, charset }, state, { isStrict: false, padsChar: false });
}

function stateOf(column: ShownColumn): ColumnState | null {
  if (column.type === undefined) return null;
  return {
    type: parseType(column.type),
    charset: column.charset ?? null,
    isNotNull: column.isNotNull ?? false,
    isAutoIncrement: column.isAutoIncrement ?? false,
    isGenerated: column.isGenerated ?? false,
  };
}

/** Whether a name read from a statement may be that of a column; an unreadable name may be any name. */
export const isNamed = (name: Name, column: string): boolean =>
  name.length === 0 || name.some((reading) => reading.toLowerCase() === column);
