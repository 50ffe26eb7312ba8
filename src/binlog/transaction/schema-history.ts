import { isDeepStrictEqual } from 'node:util';
import type { AlteredTable } from '../definition/altered-table.ts';
import { alterCopy, findSwapped, followCopies } from '../definition/follow-copies.ts';
import { formerKeysOf, keyText, withFormerKeys } from '../definition/former-keys.ts';
import type { CopyDefinition } from '../definition/possible-copies.ts';
import { findValueChange, followAlteration, isConverted } from '../definition/value-change.ts';
import { mergeShown } from '../definition/shown-column.ts';
import { CaptureFault } from '../halt.ts';
import { StaleSchemaError } from './stale-schema.ts';
import type { MappedTable, TableMapContext } from '../decode/table-map.ts';
import type { TableDefinitions } from '../statement/statement-policy.ts';
import { changedRemedy, convertedRemedy, keylessRemedy, rekeyedRemedy } from '../remedy.ts';
import type { Baseline, ShownColumn } from '../types.ts';

/** What the log has shown about the tables so far; each table map and each ALTER TABLE is compared with it. */
export class SchemaHistory {
  #baseline: Baseline;
  #changed = false;

  constructor(baseline: Baseline) {
    this.#baseline = baseline;
  }

  get known(): Baseline {
    return this.#baseline;
  }

  /** Returns the whole baseline if it has changed since the last call. */
  takeChange(): Baseline | undefined {
    const changed = this.#changed;
    this.#changed = false;
    return changed ? this.#baseline : undefined;
  }

  /** Throws a StaleSchemaError when a table has columns that the rules name and that were not known to exist. */
  requireKnown({ schema: { name }, unread, shown }: MappedTable): void {
    const known = this.#baseline[name.toLowerCase()] ?? {};
    const unknown = unread.filter((column) => !Object.hasOwn(known, column));
    if (unknown.length === 0) return;
    throw new StaleSchemaError(
      name.toLowerCase(),
      Object.fromEntries(unknown.map((column) => [column, shown[column]!])),
    );
  }

  /**
   * Compares a table map with the known columns and stores it. Throws a CaptureFault in these cases:
   *
   * - A wanted column was removed, or its kind changed.
   * - Its new type does not keep every value of the former type, although no logged definition changed it: an online schema change, a
   *   session with `sql_log_bin=0`.
   * - The table had a key and has none now, or has a key again that it had before rows were written under another one: what happened to
   *   the rows under the former key was not reported.
   *
   * A different key alone is not a fault: rows are reported with the key in force when they were written.
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
    const formerKeys = formerKeysOf(known ?? {}, shown);
    if (formerKeys.includes(keyText(shown))) throw rekeyed(`${schema}.${name}`);
    const merged = Object.entries(shown).map(([column, now]) => [column, mergeShown(known?.[column], now)]);
    this.#set(name, withFormerKeys(Object.fromEntries(merged) as Baseline[string], formerKeys));
  }

  /**
   * Follows a definition. Throws a CaptureFault if a watched column may have other values after an ALTER TABLE, or after a RENAME that
   * swaps in a copy, unless an operator accepted the loss of the statement.
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
    if (copies.altered) this.#setAll(alterCopy(this.#baseline, copies.altered));
    for (const each of isAccepted ? [] : copies.swapped)
      this.#swap(each, columnsOf(each.schema, each.table) ?? new Set());
    this.#setAll(followCopies(this.#baseline, copies));
  }

  /**
   * Follows an ALTER TABLE. Throws a CaptureFault when a watched column or a key column may have other values after it, for which no
   * row was logged. Unknown tables are ignored: nothing was reported about them.
   */
  #alter(altered: AlteredTable, wanted: ReadonlySet<string>): void {
    const { schema, table, alteration, mode } = altered;
    const known = this.#baseline[table.toLowerCase()];
    if (!known) return;
    const compared = comparedOf(known, wanted);
    const found = findValueChange(alteration, { known, compared, mode });
    if (found?.kind === 'remove') {
      const message = `the watched column ${schema}.${table}.${found.column} ${found.what}`;
      throw changed(`${schema}.${table}`, found.column, message);
    }
    if (found) throw converted(`${schema}.${table}`, found.column, found.what);
    this.#set(table, followAlteration(alteration, known, mode));
  }

  /** Throws a CaptureFault if a copy replaces a watched table and a watched column or a key column may have other values. */
  #swap({ schema, table, copy }: CopyDefinition['swapped'][number], wanted: ReadonlySet<string>): void {
    const known = this.#baseline[table.toLowerCase()] ?? {};
    const swapped = findSwapped(known, comparedOf(known, wanted), copy);
    if (swapped) throw converted(`${schema}.${table}`, swapped.column, swapped.what);
  }

  /** Forgets tables whose loss was accepted, so a table that later has the same name starts with no history. */
  forget(isGone: (table: string) => boolean): void {
    const left = Object.entries(this.#baseline).filter(([name]) => !isGone(name));
    this.#changed ||= left.length < Object.keys(this.#baseline).length;
    this.#baseline = Object.fromEntries(left);
  }

  #setAll(baseline: Baseline): void {
    for (const [table, columns] of Object.entries(baseline)) this.#set(table, columns);
  }

  #set(table: string, columns: Readonly<Record<string, ShownColumn>>): void {
    const lower = table.toLowerCase();
    if (isDeepStrictEqual(this.#baseline[lower], columns)) return;
    this.#baseline = { ...this.#baseline, [lower]: columns };
    this.#changed = true;
  }
}

const comparedOf = (known: Baseline[string], wanted: ReadonlySet<string>): Set<string> =>
  new Set(Object.keys(known).filter((column) => wanted.has(column) || known[column]!.isKey === true));

function changed(table: string, column: string, message: string): CaptureFault {
  return new CaptureFault('column-changed', message, {
    table,
    remedy: changedRemedy(`${table.split('.').at(-1)!}.${column}`),
  });
}

function keyless(table: string): CaptureFault {
  return new CaptureFault(
    'column-changed',
    `the watched table ${table} has no primary key any more: the log does not show which row is which`,
    { table, remedy: keylessRemedy(table) },
  );
}

function rekeyed(table: string): CaptureFault {
  return new CaptureFault(
    'column-changed',
    `the watched table ${table} has a key again that it had before: rows that were written in between were reported under another key`,
    { table, remedy: rekeyedRemedy(table) },
  );
}

function converted(table: string, column: string, what: string): CaptureFault {
  return new CaptureFault(
    'column-changed',
    `the watched column ${table}.${column} ${what}: it may have other values now, which no row of the log shows`,
    { table, remedy: convertedRemedy(`${table.split('.').at(-1)!}.${column}`) },
  );
}
