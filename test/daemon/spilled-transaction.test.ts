import { describe, expect, it } from 'vitest';
import type { Row, RowEvent, TableSchema } from '../../src/binlog/types.ts';
import { netChanges } from '../../src/change/net-changes.ts';
import type { Change } from '../../src/change/types.ts';
import { KeyNumbers } from '../../src/lib/key-numbers.ts';
import { SpilledTransaction } from '../../src/capture/transaction/spilled-transaction.ts';

const table: TableSchema = {
  schema: 'clinic',
  name: 't',
  columns: [
    { name: 'id', kind: 'integer' },
    { name: 'v', kind: 'text' },
    { name: 'b', kind: 'binary' },
  ],
  key: [0],
  indexOf: new Map([
    ['id', 0],
    ['v', 1],
    ['b', 2],
  ]),
};

/** A random but valid history of rows: deterministic by seed. */
function history(seed: number, steps: number): RowEvent[] {
  let state = seed;
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state % below;
  };
  const live = new Map<number, Row>();
  const events: RowEvent[] = [];
  for (let step = 0; step < steps; step += 1) {
    const id = random(200);
    const before = live.get(id) ?? null;
    if (!before) {
      const after: Row = [id, `v${step}`, Buffer.from([step & 255])];
      events.push({ table, op: 'insert', before: null, after });
      live.set(id, after);
    } else if (random(4) === 0) {
      events.push({ table, op: 'delete', before, after: null });
      live.delete(id);
    } else {
      // Now and then the key itself changes, to one that is free.
      const moved = random(3) === 0 ? random(200) : id;
      const key = moved === id || live.has(moved) ? id : moved;
      const after: Row = [key, random(5) === 0 ? before[1] : `v${step}`, null];
      events.push({ table, op: 'update', before, after });
      live.delete(id);
      live.set(key, after);
    }
  }
  return events;
}

async function spill(events: readonly RowEvent[], partRows: number): Promise<Change[]> {
  const spilled = await SpilledTransaction.open();
  try {
    for (let at = 0; at < events.length; at += partRows) await spilled.add(events.slice(at, at + partRows));
    const changes: Change[] = [];
    for await (const batch of spilled.changes()) changes.push(...batch);
    return changes;
  } finally {
    await spilled.discard();
  }
}

const plain = (changes: readonly Change[]): unknown[] =>
  changes.map(({ op, key, before, after, ordinal }) => [
    op,
    key,
    before?.map(String),
    after?.map(String),
    ordinal,
  ]);

describe('a transaction that does not fit into memory', () => {
  it.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'has the net changes that it would have in memory, in the same order (seed %i)',
    async (seed) => {
      const events = history(seed, 3_000);
      const expected = netChanges(events);
      expect(expected.length).toBeGreaterThan(100);
      expect(plain(await spill(events, 700))).toEqual(plain(expected));
    },
  );

  it('remembers where each of very many keys went', () => {
    const [moved, expected] = [new KeyNumbers(), new Map<string, number>()];
    for (let step = 0; step < 50_000; step += 1) {
      const key = `t\0${(step * 7_919) % 20_011}`;
      if (step % 3 === 0) {
        moved.delete(key);
        expected.delete(key);
      } else {
        moved.set(key, step % 256);
        expected.set(key, step % 256);
      }
    }
    for (let id = 0; id < 20_011; id += 1) expect(moved.get(`t\0${id}`)).toBe(expected.get(`t\0${id}`));
  });

  it('keeps bytes, NULL and absent cells apart', async () => {
    const events: RowEvent[] = [
      { table, op: 'insert', before: null, after: [1, null, Buffer.from([0, 255])] },
      { table, op: 'update', before: [2, undefined, undefined], after: [undefined, 'x', undefined] },
    ];
    const [first, second] = await spill(events, 10);
    expect(first!.after![1]).toBeNull();
    expect(Buffer.from(first!.after![2] as Uint8Array)).toEqual(Buffer.from([0, 255]));
    expect(second!.after).toEqual([2, 'x', undefined]);
  });
});
