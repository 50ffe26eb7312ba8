import { isDeepStrictEqual } from 'node:util';
import { Tripwire } from './halt.ts';
import { OutgrownError } from './outgrown.ts';
import type { MappedTable } from './table-map.ts';
import { changedRemedy } from './remedy.ts';
import type { Baseline, Column } from './types.ts';

/** What the log has shown of the tables so far, against which each table map is held. */
export class ShownColumns {
  #baseline: Baseline;
  #changed = false;

  constructor(baseline: Baseline) {
    this.#baseline = baseline;
  }

  get known(): Baseline {
    return this.#baseline;
  }

  /** All of it, where it has changed since it was asked for last. */
  takeChange(): Baseline | undefined {
    const changed = this.#changed;
    this.#changed = false;
    return changed ? this.#baseline : undefined;
  }

  /** Throws an OutgrownError when a table has columns that the rules name and of which nobody has known that they are there. */
  requireKnown({ schema: { name }, unread }: MappedTable): void {
    const known = this.#baseline[name.toLowerCase()] ?? {};
    const unknown = unread.filter((column) => !Object.hasOwn(known, column.name.toLowerCase()));
    if (unknown.length > 0) throw new OutgrownError(name.toLowerCase(), kindsOf(unknown));
  }

  /** Throws a Tripwire when a wanted column that was there is gone, or has changed its kind. */
  note({ schema: { schema, name, columns }, unread }: MappedTable, wanted: ReadonlySet<string>): void {
    const kinds = kindsOf([...columns, ...unread]);
    const known = this.#baseline[name.toLowerCase()];
    if (known && isDeepStrictEqual(known, kinds)) return;
    for (const [column, kind] of Object.entries(known ?? {})) {
      const now = kinds[column];
      if (!wanted.has(column) || now === kind) continue;
      throw new Tripwire(
        'column-changed',
        `the watched column ${schema}.${name}.${column} ${now ? `changed from ${kind} to ${now}` : 'is gone'}`,
        {
          table: `${schema}.${name}`,
          remedy: changedRemedy(`${name}.${column}`),
        },
      );
    }
    this.#baseline = { ...this.#baseline, [name.toLowerCase()]: kinds };
    this.#changed = true;
  }

  /** A person accepted that tables went: what comes under their names later is not held against them. */
  forget(isGone: (table: string) => boolean): void {
    const left = Object.entries(this.#baseline).filter(([name]) => !isGone(name));
    this.#changed ||= left.length < Object.keys(this.#baseline).length;
    this.#baseline = Object.fromEntries(left);
  }
}

function kindsOf(columns: readonly Column[]): Baseline[string] {
  return Object.fromEntries(columns.map(({ name, kind }) => [name.toLowerCase(), kind]));
}
