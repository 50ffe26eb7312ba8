import { quoteName } from '../source/quote-name.ts';
import type { ShownColumn } from '../types.ts';

type Columns = Readonly<Record<string, ShownColumn>>;

/** Returns the columns of the key as text, independent of their order; empty if there is no key. */
export function keyText(columns: Columns): string {
  const names = Object.keys(columns).filter((name) => columns[name]!.isKey);
  return names.map(quoteName).toSorted().join();
}

/** Returns the keys under which rows of a table were written before its current key. */
export function formerKeysOf(known: Columns, shown: Columns): readonly string[] {
  const former = Object.values(known).find(({ formerKeys }) => formerKeys)?.formerKeys ?? [];
  const before = keyText(known);
  return before === '' || before === keyText(shown) ? former : [...former, before];
}

/** Former keys are stored in the columns of the current key, which every row shows. */
export function withFormerKeys(columns: Columns, formerKeys: readonly string[]): Columns {
  if (formerKeys.length === 0) return columns;
  return Object.fromEntries(
    Object.entries(columns).map(([name, column]) => [
      name,
      column.isKey ? { ...column, formerKeys } : column,
    ]),
  );
}
