/** What a statement of ours can hold as a literal. */
export type Literal = string | number | null;

const special = /['\\\0]/;
const specials = /['\\\0]/g;

/**
 * A value as SQL text, for statements of hundreds of rows. Right only in our own sessions: UTF-8, and without
 * NO_BACKSLASH_ESCAPES (db/client sets both). Half the cost of the driver's general escape on a JSON body, whose
 * every double quote that one escapes too.
 */
export function literal(value: Literal): string {
  if (value === null) return 'NULL';
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError('a number in SQL must be finite');
    return String(value);
  }
  if (!special.test(value)) return `'${value}'`;
  return `'${value.replace(specials, (char) => (char === '\0' ? '\\0' : `\\${char}`))}'`;
}

/** `1,2,3`, in ascending order, so that statements that lock lock in one order; `NULL` when empty, which matches nothing. */
export function idList(ids: Iterable<number>): string {
  const sorted = [...ids].sort((a, b) => a - b);
  return sorted.length === 0 ? 'NULL' : sorted.map(literal).join(',');
}
