/** A part of a list that grows at its beginning. */
export interface Page<T> {
  items: T[];
  /** Where the next page begins; null after the last. Rows that arrive meanwhile move no later page. */
  nextCursor: number | null;
}

export interface Paging {
  /** The last id of the page before. */
  cursor?: number;
  limit: number;
}

/** A condition of a WHERE, with its values. */
export type Condition = readonly [text: string, ...values: unknown[]];

/** A page of a list that was read one row beyond its limit. */
export function toPage<T extends { id: number }>(rows: readonly T[], limit: number): Page<T> {
  const items = rows.slice(0, limit);
  return { items, nextCursor: rows.length > limit ? items.at(-1)!.id : null };
}

/** An exact word, or `noun.*` for all that begin so. */
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
