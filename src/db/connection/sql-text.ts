/** A value that one of our statements can contain as a literal. */
export type Literal = string | number | null;

const special = /['\\\0]/;
const specials = /['\\\0]/g;

/**
 * Converts a value to SQL text, for statements of hundreds of rows. Correct only in our own sessions: UTF-8, and without
 * NO_BACKSLASH_ESCAPES (db/client sets both). Half the cost of the driver's general escape on a JSON body, which also escapes every double
 * quote.
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

/** From this many consecutive numbers on, a range is written instead. */
const shortestRange = 4;

/**
 * Returns a condition for rows whose `column` is one of these ids: `(id BETWEEN 1 AND 500 OR id IN (503,507))`, `FALSE` if there are none.
 * Consecutive ids, as most of a batch are, become a range: the server takes 3 to 5 µs for each number of a list (MySQL 9.7, 500 at once).
 * In ascending order, so that locking statements take their locks in one order.
 */
export function idIn(column: string, ids: Iterable<number>): string {
  const sorted = [...new Set(ids)].sort((a, b) => a - b);
  const ranges: string[] = [];
  const single: number[] = [];
  for (let from = 0, to = 0; from < sorted.length; from = to) {
    for (to = from + 1; sorted[to] === sorted[to - 1]! + 1;) to += 1;
    if (to - from < shortestRange) single.push(...sorted.slice(from, to));
    else ranges.push(`${column} BETWEEN ${literal(sorted[from]!)} AND ${literal(sorted[to - 1]!)}`);
  }
  if (single.length > 0) ranges.push(`${column} IN (${single.map(literal).join(',')})`);
  if (ranges.length === 0) return 'FALSE';
  return ranges.length === 1 ? ranges[0]! : `(${ranges.join(' OR ')})`;
}

/** The smallest max_allowed_packet that `check` accepts. */
export const smallestPacketBytes = 2 ** 20;
/** Largest statement of many rows: well within any packet. */
const statementBytes = smallestPacketBytes / 2;

/**
 * Returns INSERTs of these rows, each a text in parentheses; no statement is larger than half of the smallest packet unless a single row
 * is. src/outbox/append/require-fit.ts refuses events whose row does not fit into any packet.
 */
export function insertRows(into: string, rows: readonly string[]): string[] {
  return toBatches(rows, (row) => Buffer.byteLength(row)).map(
    (batch) => `INSERT INTO ${into} VALUES ${batch.join(',')}`,
  );
}

/** Splits a list, in order, so that each part becomes one statement of a bounded size. */
export function toBatches<T>(items: readonly T[], bytesOf: (item: T) => number): T[][] {
  return cut(items, bytesOf, statementBytes);
}

/** Splits a script into packets of at most `maximumBytes`. A larger statement gets its own packet. */
export function toPackets(statements: readonly string[], maximumBytes: number): string[][] {
  return cut(statements, (statement) => Buffer.byteLength(statement) + 1, maximumBytes);
}

function cut<T>(items: readonly T[], bytesOf: (item: T) => number, maximumBytes: number): T[][] {
  const parts: T[][] = [];
  let size = Infinity;
  for (const item of items) {
    const bytes = bytesOf(item);
    if (size + bytes > maximumBytes) {
      parts.push([]);
      size = 0;
    }
    parts.at(-1)!.push(item);
    size += bytes;
  }
  return parts;
}
