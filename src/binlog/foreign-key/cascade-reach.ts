import type { ForeignKey } from './foreign-key.ts';
import { tableKey, type DefinedTable, type KeyGraph } from './read-keys.ts';
import { triggerName } from './trigger-script.ts';

/** What happened to a row: it was deleted, or the columns named here (lower case) changed. */
export type RowChange = 'delete' | ReadonlySet<string>;

/** A table whose changes the server propagates through foreign keys to a watched table. */
export interface Parent {
  /** Whether deleting its rows changes a watched table. */
  deletes: boolean;
  /** Its columns (lower case) whose changes reach a watched table. */
  columns: ReadonlySet<string>;
  rowEnd: string | null;
}

/** Computes which tables the server changes through foreign keys. */
export class CascadeReach {
  readonly #graph: KeyGraph;
  readonly #watched: ReadonlySet<string>;
  readonly #foldsNames: boolean;
  /** Keys by their parent. */
  readonly #down: ReadonlyMap<string, readonly ForeignKey[]>;

  /** `watched`: by `tableKey`. */
  constructor(graph: KeyGraph, watched: ReadonlySet<string>, foldsNames: boolean) {
    this.#graph = graph;
    this.#watched = watched;
    this.#foldsNames = foldsNames;
    const keys = Object.values(graph).flatMap((table) => table.keys);
    this.#down = Map.groupBy(keys, ({ parent }) => tableKey(parent, foldsNames));
  }

  /**
   * Returns the watched tables, by `tableKey`, whose rows may have been deleted or changed together with a row of this table. Keys of
   * the table itself are ignored if their trigger is among `triggers`: the trigger's statement ran first, and is logged. InnoDB's own
   * changes fire no triggers, so triggers of tables further down do not count.
   */
  reached(table: string, change: RowChange, triggers: ReadonlySet<string> = new Set()): Set<string> {
    const reached = new Set<string>();
    const seen = new Set<string>();
    const visit = (at: string, what: RowChange, isTop: boolean): void => {
      // Triggers count only at the top, so the same table is visited again if a key leads back to it.
      const step = `${String(isTop)}\0${at}\0${what === 'delete' ? what : [...what].toSorted().join('\0')}`;
      if (seen.has(step)) return;
      seen.add(step);
      for (const key of this.#down.get(at) ?? []) {
        const effect = effectOf(key, what);
        if (effect === null) continue;
        if (isTop && what === 'delete' && triggers.has(triggerName(key))) continue;
        const child = tableKey(key.child, this.#foldsNames);
        if (this.#watched.has(child)) reached.add(child);
        visit(child, effect, false);
      }
    };
    visit(table, change, true);
    return reached;
  }

  /** Returns every table, by `tableKey`, that is referenced by a key whose action reaches a watched table. */
  parents(): Map<string, Parent> {
    const parents = new Map<string, Parent>();
    for (const [table, keys] of this.#down) {
      const columns = keys.flatMap(({ referenced }) => referenced.map((column) => column.toLowerCase()));
      const parent = {
        deletes: this.reached(table, 'delete').size > 0,
        columns: new Set(columns.filter((column) => this.reached(table, new Set([column])).size > 0)),
        rowEnd: this.#graph[table]?.rowEnd ?? null,
      };
      if (parent.deletes || parent.columns.size > 0) parents.set(table, parent);
    }
    return parents;
  }

  /** Returns every key whose action reaches a watched table. */
  keys(): ForeignKey[] {
    const isReaching = (key: ForeignKey, what: RowChange): boolean => {
      const effect = effectOf(key, what);
      const child = tableKey(key.child, this.#foldsNames);
      return effect !== null && (this.#watched.has(child) || this.reached(child, effect).size > 0);
    };
    return [...this.#down.values()]
      .flat()
      .filter(
        (key) =>
          isReaching(key, 'delete') ||
          isReaching(key, new Set(key.referenced.map((column) => column.toLowerCase()))),
      );
  }

  /** Whether a key is part of a cycle: a trigger in its place would change a table that is in use, error 1442. */
  isCircular({ child, parent }: ForeignKey): boolean {
    const target = tableKey(parent, this.#foldsNames);
    const seen = new Set<string>();
    const visit = (at: string): boolean => {
      if (at === target) return true;
      if (seen.has(at)) return false;
      seen.add(at);
      return (this.#down.get(at) ?? []).some(
        (key) => key.onDelete !== null && visit(tableKey(key.child, this.#foldsNames)),
      );
    };
    return visit(tableKey(child, this.#foldsNames));
  }

  /** Returns the definition of a table, if it was read. */
  table(key: string): DefinedTable | undefined {
    return this.#graph[key];
  }
}

/** Returns what happens to a row that references a changed row; null for nothing. */
function effectOf(key: ForeignKey, change: RowChange): RowChange | null {
  const columns = key.columns.map((column) => column.toLowerCase());
  if (change === 'delete') {
    if (key.onDelete === null) return null;
    return key.onDelete === 'cascade' ? 'delete' : new Set(columns);
  }
  const changed = key.referenced.map((column) => change.has(column.toLowerCase()));
  if (key.onUpdate === null || !changed.includes(true)) return null;
  return new Set(key.onUpdate === 'cascade' ? columns.filter((_, index) => changed[index]) : columns);
}
