import type { Baseline, ShownColumn } from '../types.ts';
import type { Alteration } from './alter-actions.ts';
import type { ConversionMode } from './keeps-values.ts';
import type { CopyDefinition } from './possible-copies.ts';
import { findValueChange, isNamed, keepsDefined } from './value-change.ts';

/**
 * At most this many copies of a table are remembered, the newest ones: an online schema change creates one, minutes or hours before it
 * renames it. Whether a forgotten copy keeps its values is unknown.
 */
const MAX_COPIES = 100;

/** An online schema change fills its copy with INSERT IGNORE, which rejects no values. */
const copyMode: ConversionMode = { isStrict: false, padsChar: false };

type Columns = Baseline[string];

/** Returns the knowledge about copies after a definition; for the state before it, see `findSwapped`. */
export function followCopies(baseline: Baseline, definition: CopyDefinition): Baseline {
  return Object.fromEntries(
    Object.entries(baseline).map(([table, known]) => {
      const moved = mapColumns(known, (column) => moveCopies(column, definition));
      return [table, noteCreated(table, moved, definition)];
    }),
  );
}

/** Notes the columns in which a copy's values may differ from the watched table's after an ALTER TABLE of the copy. */
export function alterCopy(baseline: Baseline, altered: NonNullable<CopyDefinition['altered']>): Baseline {
  const { copy, alteration } = altered;
  return Object.fromEntries(
    Object.entries(baseline).map(([table, known]) => [
      table,
      mapColumns(known, (column, name) => {
        if (!column.keptIn?.includes(copy)) return column;
        const compared = {
          known: { ...known, [name]: proved(column, alteration) },
          compared: new Set([name]),
        };
        return findValueChange(alteration, { ...compared, mode: copyMode }) ? lose(column, copy) : column;
      }),
    ]),
  );
}

/** Returns the first column whose values may differ in a copy that replaces a table, and what was done to the column. */
export function findSwapped(
  known: Columns,
  compared: ReadonlySet<string>,
  copy: string,
): { column: string; what: string } | null {
  const behind = `${copy}, which took the place of the table by RENAME`;
  const columns = [...compared];
  const lost = columns.find((column) => known[column]!.lostIn?.includes(copy));
  if (lost !== undefined) return { column: lost, what: `was dropped, renamed or converted in ${behind}` };
  const unknown = columns.find((column) => !known[column]!.keptIn?.includes(copy));
  if (unknown === undefined) return null;
  return {
    column: unknown,
    what: `is not known to be as it was in ${behind} and of which the log shows no CREATE`,
  };
}

/** Updates the names of renamed copies, and forgets dropped ones. */
function moveCopies(column: ShownColumn, definition: CopyDefinition): ShownColumn {
  const { keptIn, lostIn, ...rest } = column;
  if (!keptIn && !lostIn) return column;
  return withCopies(rest, { keptIn: moveNames(keptIn, definition), lostIn: moveNames(lostIn, definition) });
}

function moveNames(names: readonly string[] = [], { origins, droppedSchema }: CopyDefinition): string[] {
  const left = names.filter(
    (copy) => !origins.has(copy) && (droppedSchema === null || !copy.startsWith(droppedSchema)),
  );
  const moved = [...origins].flatMap(([now, origin]) =>
    origin !== null && names.includes(origin) ? [now] : [],
  );
  return [...left, ...moved];
}

/** A table created like a watched table, or with all its known columns, may become its copy. */
function noteCreated(table: string, known: Columns, { created }: CopyDefinition): Columns {
  if (!created) return known;
  const { copy, like, ofTables, columns } = created;
  if (like !== null && !ofTables.has(table)) {
    return mapColumns(known, (column) => {
      if (column.keptIn?.includes(like)) return keep(column, copy);
      return column.lostIn?.includes(like) ? lose(column, copy) : column;
    });
  }
  const declared = new Map(
    Object.keys(known).map((name) => [name, columns.find((column) => isNamed(column.name, name))]),
  );
  if (!ofTables.has(table) && [...declared.values()].includes(undefined)) return known;
  return mapColumns(known, (column, name) => {
    const definition = declared.get(name)?.definition;
    // The log does not show which column of a key is AUTO_INCREMENT, and keys rarely contain 0.
    const isAutoIncrement = !column.isKey && definition?.isAutoIncrement === true;
    return !definition || keepsDefined(column, { ...definition, isAutoIncrement }, copyMode)
      ? keep(column, copy)
      : lose(column, copy);
  });
}

const keep = ({ keptIn = [], lostIn, ...rest }: ShownColumn, copy: string): ShownColumn =>
  withCopies(rest, { keptIn: [...keptIn, copy], lostIn });

const lose = ({ keptIn = [], lostIn = [], ...rest }: ShownColumn, copy: string): ShownColumn =>
  withCopies(rest, { keptIn: keptIn.filter((each) => each !== copy), lostIn: [...lostIn, copy] });

function withCopies(
  column: ShownColumn,
  { keptIn = [], lostIn = [] }: { [list in 'keptIn' | 'lostIn']: readonly string[] | undefined },
): ShownColumn {
  return {
    ...column,
    ...(keptIn.length > 0 && { keptIn: keptIn.slice(-MAX_COPIES) }),
    ...(lostIn.length > 0 && { lostIn: lostIn.slice(-MAX_COPIES) }),
  };
}

/** Drops `isUnproved` unless the alteration names a character set: without one, the next row proves both definitions. */
function proved(column: ShownColumn, { actions }: Pick<Alteration, 'actions'>): ShownColumn {
  const { isUnproved, ...rest } = column;
  const namesCharset = actions.some(
    (action) => action.kind === 'convert' || (action.kind === 'define' && action.definition.charset !== null),
  );
  return isUnproved && namesCharset ? column : rest;
}

function mapColumns(known: Columns, change: (column: ShownColumn, name: string) => ShownColumn): Columns {
  return Object.fromEntries(Object.entries(known).map(([name, column]) => [name, change(column, name)]));
}
