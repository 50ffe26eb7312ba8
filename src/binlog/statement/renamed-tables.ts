import { quoteName } from '../source/quote-name.ts';
import type { Name, ObjectName } from './names.ts';

/** One step of a RENAME TABLE. */
export interface Move {
  from: ObjectName;
  to: ObjectName;
}

/** A name whose table is another one after a statement that renames. */
export interface RenamedTable {
  name: ObjectName;
  /** The table that has the name now; null where there is none. */
  replacement: ObjectName | null;
}

/** Equal for names by which the server finds the same table (see WatchedNames). */
export type FoldName = (name: string) => string;

/** The names of a RENAME TABLE that stand for another table afterwards than before, or for none: its steps are done in order. */
export function findRenamed(moves: readonly Move[], fold: FoldName): RenamedTable[] {
  const names = new Map<string, ObjectName>();
  /** By present name, the name that the table had before the statement. */
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

/** By its first reading: a statement spells a name twice in the same bytes. */
function keyOf({ schema, object }: ObjectName, fold: FoldName): string {
  return [schema, object].map((name) => quoteName(fold(name?.[0] ?? ''))).join('.');
}

/**
 * Whether the table that took a name has the same rows: it is the copy that an online schema change made (gh-ost, pt-online-schema-change,
 * spirit, LHM, OSC, Vitess), which is known by how these tools name it. Any other swap may bring other rows.
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

/** Whether a table has the name, in lower case, of the copy of another one; those of Vitess do not name theirs. */
function isCopyOf(copy: string, table: string): boolean {
  if (copy === `lhmn_${table}` || copy === `__osc_new_${table}`) return true;
  const stem = copy.replace(/^_+/, '');
  return stem !== copy && (stem === `${table}_gho` || stem === `${table}_new`);
}
