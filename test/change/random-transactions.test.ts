import { expect, test } from 'vitest';
import type { Row, RowEvent, TableSchema } from '../../src/binlog/types.ts';
import { keyOf, netChanges } from '../../src/change/net-changes.ts';
import { createRandom, type Random } from '../chaos/random.ts';
import { tableOf } from './rows.ts';

/** The last column is the row's own number: given at its INSERT and never changed. */
const tables: Record<string, TableSchema> = {
  'a key of one column': tableOf('single', ['id', 'value text', 'own']),
  'a key of two columns': tableOf('pair', ['a', 'b', 'value text', 'own'], ['a', 'b']),
  'no key': tableOf('keyless', ['id', 'value text'], []),
};
const text = (row: Row | null): string => JSON.stringify(row);

interface Played {
  before: Row[];
  after: Row[];
  events: RowEvent[];
}

/** A transaction as a server would log it: no two rows of one key at any moment, but keys that are swapped, left and taken again. */
function play(table: TableSchema, random: Random): Played {
  let own = 0;
  const hasKey = table.key.length > 0;
  const fresh = (): Row => [
    random.below(3),
    ...(table.key.length > 1 ? [random.below(2)] : []),
    random.pick(['x', 'y', '']),
    ...(hasKey ? [(own += 1)] : []),
  ];
  const rows: Row[] = [];
  const isFree = (row: Row): boolean =>
    !hasKey || rows.every((other) => keyOf(table, other) !== keyOf(table, row));
  for (let i = random.below(5); i > 0; i -= 1) {
    const row = fresh();
    if (isFree(row)) rows.push(row);
  }
  const before = [...rows];
  const events: RowEvent[] = [];
  for (let i = random.below(12); i > 0; i -= 1) {
    const at = random.below(rows.length);
    const old = rows[at];
    const made = fresh();
    if (old && random.chance(0.3)) {
      rows.splice(at, 1);
      events.push({ table, op: 'delete', before: old, after: null });
    } else if (old && random.chance(0.6)) {
      const next = hasKey ? [...made.slice(0, -1), old.at(-1)] : made;
      if (keyOf(table, next) !== keyOf(table, old) && !isFree(next)) continue;
      rows[at] = next;
      events.push({ table, op: 'update', before: old, after: next });
    } else if (isFree(made)) {
      rows.push(made);
      events.push({ table, op: 'insert', before: null, after: made });
    }
  }
  return { before, after: rows, events };
}

test.each(Object.entries(tables))(
  'random transactions on a table with %s come to what they did',
  (_name, table) => {
    const random = createRandom(17);
    for (let round = 0; round < 2_000; round += 1) {
      const { before, after, events } = play(table, random);
      const changes = netChanges(events);
      // What was there, without what the changes take away, with what they bring, is what is there.
      const left = before.map(text);
      for (const change of changes) {
        if (!change.before) continue;
        expect(left).toContain(text(change.before));
        left.splice(left.indexOf(text(change.before)), 1);
      }
      const brought = changes.flatMap((change) => (change.after ? [text(change.after)] : []));
      expect([...left, ...brought].toSorted()).toEqual(after.map(text).toSorted());
      for (const change of changes) {
        expect(text(change.before)).not.toBe(text(change.after));
        expect(change.op).toBe(!change.before ? 'insert' : change.after ? 'update' : 'delete');
        expect(change.key).toBe(keyOf(table, (change.after ?? change.before)!));
      }
      expect(changes.map(({ ordinal }) => ordinal)).toEqual(
        changes.map(({ ordinal }) => ordinal).toSorted((a, b) => a - b),
      );
      if (table.key.length > 0) expectIdentities({ before, after, events }, changes);
    }
  },
);

/** A row that is there before and after is the same row in one UPDATE, whatever keys it had between. */
function expectIdentities({ before, after }: Played, changes: ReturnType<typeof netChanges>): void {
  const later = new Map(after.map((row) => [row.at(-1), row]));
  for (const row of before) {
    const change = changes.find((each) => text(each.before) === text(row));
    const now = later.get(row.at(-1));
    if (now) expect(text(change?.after ?? row)).toBe(text(now));
    // Else it was deleted, and perhaps another row took its place under its key.
    else expect(change?.op).toBe(change?.after ? 'update' : 'delete');
  }
}
