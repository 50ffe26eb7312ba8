import { quoteName } from '../source/quote-name.ts';
import type { Name, ObjectName } from './names.ts';

/** One step of a RENAME TABLE. */
export interface Move {
  from: ObjectName;
  to: ObjectName;
}

/** A name that belongs to another table, or to none, after a statement that renames. */
export interface RenamedTable {
  name: ObjectName;
  /** The former name of the table that has the name now; null if there is none. */
  replacement: ObjectName | null;
}

/** Maps names of the same table to equal strings (see WatchedNames). */
export type FoldName = (name: string) => string;

/** Returns the names of a RENAME TABLE that belong to another table afterwards, or to none: the server executes its steps in order. */
export function findRenamed(moves: readonly Move[], fold: FoldName): RenamedTable[] {
  const names = new Map<string, ObjectName>();
  /** Maps a current name to the table's name before the statement. */
  const origins = new Map<string, ObjectName | null>();
  for (const { from, to } of moves) {
    const [fromKey, toKey] = [keyOf(from, fold), keyOf(to, fold)];
    names.set(fromKey, from).set(toKey, to);
    origins.set(toKey, origins.get(fromKey) ?? from);
    origins.set(fromKey, null);
  }
  return [...names].flatMap(([key, name]) => {
    const replacement = origins.get(key) ?? null;
    return replacement !== null && keyOf(replacement, fold) === key ? [] : [{ name, replacement }];
  });
}

/** By its first reading: a statement spells a name with the same bytes each time. */
function keyOf({ schema, object }: ObjectName, fold: FoldName): string {
  return [schema, object].map((name) => quoteName(fold(name?.[0] ?? ''))).join('.');
}

/**
 * Whether the table that took a name has the same rows: it is the copy made by an online schema change (gh-ost,
 * pt-online-schema-change, spirit, LHM, OSC, Vitess), which is recognised by the name these tools give it. Any other swap may bring
 * other rows.
 */
export function isUntouched({ name, replacement }: RenamedTable): boolean {
  if (replacement?.object == null || name.object === null) return false;
  return isSomeCopy(replacement.object, name.object);
}

function isSomeCopy(copies: Name, tables: Name): boolean {
  return copies.some((copy) =>
    tables.some((table) => isUntouchedCopy(copy.toLowerCase(), table.toLowerCase())),
  );
}

const isUntouchedCopy = (copy: string, table: string): boolean =>
  copy.startsWith('_vt_') || isCopyOf(copy, table);

/** Whether a lower-case name is that of another table's copy. Names of Vitess copies do not contain the table's name. */
function isCopyOf(copy: string, table: string): boolean {
  if (copy === `lhmn_${table}` || copy === `__osc_new_${table}`) return true;
  const stem = copy.replace(/^_+/, '');
  return stem !== copy && (stem === `${table}_gho` || stem === `${table}_new`);
}
