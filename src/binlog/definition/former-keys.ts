import { quoteName } from '../source/quote-name.ts';
import type { ShownColumn } from '../types.ts';

type Columns = Readonly<Record<string, ShownColumn>>;

/** The columns of a key, whatever their order; empty where there is none. */
export function keyText(columns: Columns): string {
  const names = Object.keys(columns).filter((name) => columns[name]!.isKey);
  return names.map(quoteName).toSorted().join();
}

/** The keys under which rows of a table were written before its present key. */
export function formerKeysOf(known: Columns, shown: Columns): readonly string[] {
  const former = Object.values(known).find(({ formerKeys }) => formerKeys)?.formerKeys ?? [];
  const before = keyText(known);
  return before === '' || before === keyText(shown) ? former : [...former, before];
}

/** The former keys are kept with the present one's columns, which every row shows. */
export function withFormerKeys(columns: Columns, formerKeys: readonly string[]): Columns {
  if (formerKeys.length === 0) return columns;
  return Object.fromEntries(
    Object.entries(columns).map(([name, column]) => [
      name,
      column.isKey ? { ...column, formerKeys } : column,
    ]),
  );
}
