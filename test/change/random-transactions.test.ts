import { describe, expect, it } from 'vitest';
import type { Row, RowEvent, TableSchema } from '../../src/binlog/types.ts';
import { keyOf, netChanges } from '../../src/change/net-changes.ts';
import type { Change } from '../../src/change/types.ts';
import { SpilledTransaction } from '../../src/capture/transaction/spilled-transaction.ts';
import { createRandom, type Random } from '../chaos/random.ts';
import { tableOf } from './rows.ts';

const tables: Record<string, TableSchema> = {
  'a key of one column': tableOf('single', ['id', 'value text']),
  'a key of two columns': tableOf('pair', ['a', 'b', 'value text'], ['a', 'b']),
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
  const hasKey = table.key.length > 0;
  const fresh = (): Row => [
    random.below(3),
    ...(table.key.length > 1 ? [random.below(2)] : []),
    random.pick(['x', 'y', '']),
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
      if (keyOf(table, made) !== keyOf(table, old) && !isFree(made)) continue;
      rows[at] = made;
      events.push({ table, op: 'update', before: old, after: made });
    } else if (isFree(made)) {
      rows.push(made);
      events.push({ table, op: 'insert', before: null, after: made });
    }
  }
  return { before, after: rows, events };
}

describe.each(Object.entries(tables))('random transactions on a table with %s', (_name, table) => {
  it('come to what they did', () => {
    const random = createRandom(17);
    for (let round = 0; round < 2_000; round += 1) {
      const played = play(table, random);
      expectTold(table, played, netChanges(played.events));
    }
  });

  it('come to what they did through files', async () => {
    const random = createRandom(23);
    for (let round = 0; round < 60; round += 1) {
      const played = play(table, random);
      expectTold(table, played, await spill(played.events));
    }
  });
});

/** What was there, without what the changes take away, with what they bring, is what is there. */
function expectTold(table: TableSchema, played: Played, changes: readonly Change[]): void {
  const left = played.before.map(text);
  for (const change of changes) {
    expect(text(change.before)).not.toBe(text(change.after));
    expect(change.op).toBe(!change.before ? 'insert' : change.after ? 'update' : 'delete');
    expect(change.key).toBe(keyOf(table, (change.after ?? change.before)!));
  }
  const ordinals = changes.map(({ ordinal }) => ordinal);
  expect(ordinals).toEqual(ordinals.toSorted((a, b) => a - b));
  if (table.key.length > 0) {
    expect(told(changes)).toEqual(netByKey(table, played));
    return;
  }
  const brought = changes.flatMap((change) => (change.after ? [text(change.after)] : []));
  const taken = changes.flatMap((change) => (change.before ? [text(change.before)] : []));
  expect([...left, ...brought].toSorted()).toEqual([...played.after.map(text), ...taken].toSorted());
}

async function spill(events: readonly RowEvent[]): Promise<Change[]> {
  const spilled = await SpilledTransaction.open();
  try {
    for (const event of events) await spilled.add([event]);
    const all: Change[] = [];
    for await (const changes of spilled.changes()) all.push(...changes);
    return all;
  } finally {
    await spilled.discard();
  }
}

const told = (changes: readonly Change[]): string[] =>
  changes.map(({ op, key, before, after, ordinal }) =>
    [ordinal, op, key, text(before), text(after)].join(' '),
  );

/**
 * For each key what was there before and what is there after, where they differ: an oracle that looks at no event but to see in
 * which order the keys first appear, the old key of a row before its new one.
 */
function netByKey(table: TableSchema, { before, after, events }: Played): string[] {
  const byKey = (rows: readonly Row[]): Map<string, Row> =>
    new Map(rows.map((row) => [keyOf(table, row), row]));
  const [was, is] = [byKey(before), byKey(after)];
  const lines: string[] = [];
  const appeared = new Map<string, number>();
  // A key that comes and goes again before it comes to stay is a new row then.
  const there = new Set(was.keys());
  events.forEach((event, ordinal) => {
    const [from, to] = [event.before, event.after].map((row) => row && keyOf(table, row));
    for (const key of new Set([from, to])) {
      if (key === null || key === undefined) continue;
      if (!appeared.has(key) || (!was.has(key) && !there.has(key))) {
        appeared.delete(key);
        appeared.set(key, ordinal);
      }
      if (key === to) there.add(key);
      else there.delete(key);
    }
  });
  for (const [key, ordinal] of appeared) {
    const [old, now] = [was.get(key) ?? null, is.get(key) ?? null];
    if (text(old) === text(now)) continue;
    const op = !old ? 'insert' : now ? 'update' : 'delete';
    lines.push([ordinal, op, key, text(old), text(now)].join(' '));
  }
  return lines;
}
