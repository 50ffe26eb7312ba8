import { isDeepStrictEqual } from 'node:util';
import type { AlteredTable } from '../definition/altered-table.ts';
import type { ConversionMode } from '../definition/keeps-values.ts';
import type { Alteration } from '../definition/alter-actions.ts';
import type { CopyDefinition } from '../definition/possible-copies.ts';
import { findValueChange, followAlteration, isConverted } from '../definition/value-change.ts';
import { mergeShown } from '../definition/shown-column.ts';
import { Tripwire } from '../halt.ts';
import { OutgrownError } from './outgrown.ts';
import type { MappedTable, TableMapContext } from '../decode/table-map.ts';
import type { TableDefinitions } from '../statement/statement-policy.ts';
import { changedRemedy, convertedRemedy, keylessRemedy } from '../remedy.ts';
import type { Baseline, ShownColumn } from '../types.ts';

/** What the log has shown of the tables so far, against which each table map and each ALTER TABLE is held. */
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

  /** Throws an OutgrownError when a table has columns that the rules name and that were not known to be there. */
  requireKnown({ schema: { name }, unread, shown }: MappedTable): void {
    const known = this.#baseline[name.toLowerCase()] ?? {};
    const unknown = unread.filter((column) => !Object.hasOwn(known, column));
    if (unknown.length === 0) return;
    throw new OutgrownError(
      name.toLowerCase(),
      Object.fromEntries(unknown.map((column) => [column, shown[column]!])),
    );
  }

  /**
   * Throws a Tripwire when a wanted column that was there is gone, or has changed its kind; also when its type is one that does not keep
   * each value of the former, although no definition in the log said so: an online schema change, a session with `sql_log_bin=0`; and
   * when the table had a key and has none any more. Another key is no fault: its rows come with the key in force when they were written.
   */
  note({ schema: { schema, name, key }, shown }: MappedTable, wanted: ReadonlySet<string>): void {
    const known = this.#baseline[name.toLowerCase()];
    if (known && isDeepStrictEqual(known, shown)) return;
    if (key.length === 0 && Object.values(known ?? {}).some(({ isKey }) => isKey))
      throw keyless(`${schema}.${name}`);
    for (const [column, before] of Object.entries(known ?? {})) {
      const now = shown[column];
      if (!wanted.has(column) && !(now && before.isKey)) continue;
      if (now?.kind !== before.kind && wanted.has(column)) {
        const what = now ? `changed from ${before.kind} to ${now.kind}` : 'is gone';
        throw changed(`${schema}.${name}`, column, `the watched column ${schema}.${name}.${column} ${what}`);
      }
      if (now && isConverted(before, now)) throw converted(`${schema}.${name}`, column, 'was converted');
    }
    const merged = Object.entries(shown).map(([column, now]) => [column, mergeShown(known?.[column], now)]);
    this.#set(name, Object.fromEntries(merged) as Baseline[string]);
  }

  /**
   * Follows a definition. Throws a Tripwire where a watched column may have other values after an ALTER TABLE, or after a RENAME that
   * brings a copy, unless a person accepted the loss of the statement.
   */
  follow(
    { altered, copies }: TableDefinitions,
    { isAccepted, columnsOf }: Pick<TableMapContext, 'columnsOf'> & { isAccepted: boolean },
  ): void {
    for (const each of altered) {
      if (isAccepted) this.forget((name) => name === each.table.toLowerCase());
      else this.#alter(each, columnsOf(each.schema, each.table) ?? new Set());
    }
    if (!copies) return;
    if (copies.altered) this.#alterCopy(copies.altered);
    for (const each of isAccepted ? [] : copies.swapped)
      this.#swap(each, columnsOf(each.schema, each.table) ?? new Set());
    this.#moveCopies(copies);
  }

  /**
   * Follows an ALTER TABLE. Throws a Tripwire when a watched column, or one of the key, may have other values after it than before, for
   * which no row was logged. Of an unknown table nothing was reported.
   */
  #alter(altered: AlteredTable, wanted: ReadonlySet<string>): void {
    const { schema, table, alteration, mode } = altered;
    const known = this.#baseline[table.toLowerCase()];
    if (!known) return;
    const judged = judgedOf(known, wanted);
    const found = findValueChange(alteration, { known, judged, mode });
    if (found?.kind === 'remove') {
      const message = `the watched column ${schema}.${table}.${found.column} ${found.what}`;
      throw changed(`${schema}.${table}`, found.column, message);
    }
    if (found) throw converted(`${schema}.${table}`, found.column, found.what);
    this.#set(table, followAlteration(alteration, known, mode));
  }

  /** Notes in which columns a table that may be a copy has other values after an ALTER TABLE than a watched table has. */
  #alterCopy({ copy, alteration }: NonNullable<CopyDefinition['altered']>): void {
    this.#mapColumns((column, name, known) => {
      if (column.lostIn?.includes(copy)) return column;
      const judgement = { known: { ...known, [name]: proved(column, alteration) }, judged: new Set([name]) };
      if (!findValueChange(alteration, { ...judgement, mode: copyMode })) return column;
      return { ...column, lostIn: [...(column.lostIn ?? []), copy] };
    });
  }

  /** Throws a Tripwire where a table takes the place of a watched one with other values in a watched column, or in one of the key. */
  #swap({ schema, table, copy }: CopyDefinition['swapped'][number], wanted: ReadonlySet<string>): void {
    const known = this.#baseline[table.toLowerCase()] ?? {};
    const column = [...judgedOf(known, wanted)].find((each) => known[each]!.lostIn?.includes(copy));
    if (column === undefined) return;
    const what = `was dropped, renamed or converted in ${copy}, which took the place of the table by RENAME`;
    throw converted(`${schema}.${table}`, column, what);
  }

  /** Follows tables that may be copies to their new names. */
  #moveCopies({ origins, droppedSchema }: CopyDefinition): void {
    if (origins.size === 0 && droppedSchema === null) return;
    this.#mapColumns((column) => {
      const { lostIn, ...rest } = column;
      if (!lostIn) return column;
      const left = lostIn.filter(
        (copy) => !origins.has(copy) && (droppedSchema === null || !copy.startsWith(droppedSchema)),
      );
      const moved = [...origins].flatMap(([now, origin]) =>
        origin !== null && lostIn.includes(origin) ? [now] : [],
      );
      const all = [...left, ...moved];
      return all.length === 0 ? rest : { ...rest, lostIn: all };
    });
  }

  #mapColumns(change: (column: ShownColumn, name: string, known: Baseline[string]) => ShownColumn): void {
    for (const [table, known] of Object.entries(this.#baseline)) {
      const columns = Object.entries(known).map(([name, column]) => [name, change(column, name, known)]);
      this.#set(table, Object.fromEntries(columns) as Baseline[string]);
    }
  }

  /** A person accepted that tables went: what comes under their names later is not held against them. */
  forget(isGone: (table: string) => boolean): void {
    const left = Object.entries(this.#baseline).filter(([name]) => !isGone(name));
    this.#changed ||= left.length < Object.keys(this.#baseline).length;
    this.#baseline = Object.fromEntries(left);
  }

  #set(table: string, columns: Readonly<Record<string, ShownColumn>>): void {
    const lower = table.toLowerCase();
    if (isDeepStrictEqual(this.#baseline[lower], columns)) return;
    this.#baseline = { ...this.#baseline, [lower]: columns };
    this.#changed = true;
  }
}

/** An online schema change fills its copy by INSERT IGNORE, which refuses nothing. */
const copyMode: ConversionMode = { isStrict: false, padsChar: false };

/** A definition without a character set proves as little as the one before: the next row does. */
function proved(column: ShownColumn, { actions }: Pick<Alteration, 'actions'>): ShownColumn {
  const { isUnproved, ...rest } = column;
  const namesCharset = actions.some(
    (action) => action.kind === 'convert' || (action.kind === 'define' && action.definition.charset !== null),
  );
  return isUnproved && namesCharset ? column : rest;
}

const judgedOf = (known: Baseline[string], wanted: ReadonlySet<string>): Set<string> =>
  new Set(Object.keys(known).filter((column) => wanted.has(column) || known[column]!.isKey === true));

function changed(table: string, column: string, message: string): Tripwire {
  return new Tripwire('column-changed', message, {
    table,
    remedy: changedRemedy(`${table.split('.').at(-1)!}.${column}`),
  });
}

function keyless(table: string): Tripwire {
  return new Tripwire(
    'column-changed',
    `the watched table ${table} has no primary key any more: the log does not show which row is which`,
    { table, remedy: keylessRemedy(table) },
  );
}

function converted(table: string, column: string, what: string): Tripwire {
  return new Tripwire(
    'column-changed',
    `the watched column ${table}.${column} ${what}: it may have other values now, which no row of the log shows`,
    { table, remedy: convertedRemedy(`${table.split('.').at(-1)!}.${column}`) },
  );
}
