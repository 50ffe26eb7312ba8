/** One page of a list that grows at its beginning. */
export interface Page<T> {
  items: T[];
  /** Cursor of the next page; null on the last page. Rows that arrive meanwhile do not shift later pages. */
  nextCursor: number | null;
}

export interface Paging {
  /** The last id of the previous page. */
  cursor?: number;
  limit: number;
}

/** A WHERE condition with its values. */
export type Condition = readonly [text: string, ...values: unknown[]];

/** Returns a page from rows that were read with one row more than the limit. */
export function toPage<T extends { id: number }>(rows: readonly T[], limit: number): Page<T> {
  const items = rows.slice(0, limit);
  return { items, nextCursor: rows.length > limit ? items.at(-1)!.id : null };
}

/** Matches an exact word, or with `noun.*` every word with that prefix. */
export function matchWord(column: string, word: string): Condition {
  if (!word.endsWith('.*')) return [`${column} = ?`, word];
  return [`${column} LIKE ?`, `${word.slice(0, -1).replace(/[\\%_]/g, '\\$&')}%`];
}

export function whereAll(conditions: readonly Condition[]): { where: string; values: unknown[] } {
  return {
    where: conditions.length > 0 ? `WHERE ${conditions.map(([text]) => text).join(' AND ')}` : '',
    values: conditions.flatMap(([, ...values]) => values),
  };
}
