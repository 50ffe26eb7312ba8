import { describe, expect, test } from 'vitest';
import type { RowEvent } from '../../src/binlog/types.ts';
import { netChanges } from '../../src/change/net-changes.ts';
import { insert, partialUpdate, remove, rowOf, tableOf, update } from './rows.ts';

const budgets = tableOf('budgets', ['id', 'total decimal', 'status enum']);
const links = tableOf('doctor_branches', ['doctor_id', 'branch_id', 'active'], ['doctor_id', 'branch_id']);
const codes = tableOf('codes', ['code text', 'part text', 'n'], ['code', 'part']);
const keyless = tableOf('visits', ['patient_id', 'note text'], []);

/** `op key [before] → [after]` of every net change, with the ordinal in front. */
function netOf(...rows: RowEvent[]): string[] {
  return netChanges(rows).map(
    ({ op, key, before, after, ordinal }) =>
      `${ordinal} ${op} ${key} ${JSON.stringify(before)} → ${JSON.stringify(after)}`,
  );
}

const at0 = { id: 1, total: '0.00', status: 'draft' };
const at500 = { id: 1, total: '500.00', status: 'draft' };

describe('the net change of one row', () => {
  const cases: [string, RowEvent[], string[]][] = [
    ['no rows', [], []],
    ['INSERT', [insert(budgets, at0)], ['0 insert 1 null → [1,"0.00","draft"]']],
    ['UPDATE', [update(budgets, at0, at500)], ['0 update 1 [1,"0.00","draft"] → [1,"500.00","draft"]']],
    ['DELETE', [remove(budgets, at0)], ['0 delete 1 [1,"0.00","draft"] → null']],
    [
      'INSERT, UPDATE: one INSERT with the last image',
      [insert(budgets, at0), update(budgets, at0, at500)],
      ['0 insert 1 null → [1,"500.00","draft"]'],
    ],
    [
      'UPDATE, UPDATE: one UPDATE from the first to the last image',
      [update(budgets, at0, at500), update(budgets, at500, { status: 'approved' })],
      ['0 update 1 [1,"0.00","draft"] → [1,"500.00","approved"]'],
    ],
    ['INSERT, DELETE: nothing', [insert(budgets, at0), remove(budgets, at0)], []],
    [
      'INSERT, UPDATE, DELETE: nothing',
      [insert(budgets, at0), update(budgets, at0, at500), remove(budgets, at500)],
      [],
    ],
    [
      'UPDATE, DELETE: a DELETE of the first image',
      [update(budgets, at0, at500), remove(budgets, at500)],
      ['0 delete 1 [1,"0.00","draft"] → null'],
    ],
    [
      'DELETE, INSERT of the same key: an UPDATE',
      [remove(budgets, at0), insert(budgets, at500)],
      ['0 update 1 [1,"0.00","draft"] → [1,"500.00","draft"]'],
    ],
    ['DELETE, INSERT of the same row: nothing', [remove(budgets, at0), insert(budgets, at0)], []],
    [
      'DELETE, INSERT, DELETE: a DELETE of the first image',
      [remove(budgets, at0), insert(budgets, at500), remove(budgets, at500)],
      ['0 delete 1 [1,"0.00","draft"] → null'],
    ],
    [
      'DELETE, INSERT, UPDATE: an UPDATE to the last image',
      [remove(budgets, at0), insert(budgets, at0), update(budgets, at0, at500)],
      ['0 update 1 [1,"0.00","draft"] → [1,"500.00","draft"]'],
    ],
    [
      'INSERT, DELETE, INSERT: one INSERT, where it came back',
      [insert(budgets, at0), remove(budgets, at0), insert(budgets, at500)],
      ['2 insert 1 null → [1,"500.00","draft"]'],
    ],
    ['an UPDATE that changes nothing', [update(budgets, at0, at0)], []],
    ['there and back', [update(budgets, at0, at500), update(budgets, at500, at0)], []],
    [
      'there, back, and there again',
      [update(budgets, at0, at500), update(budgets, at500, at0), update(budgets, at0, at500)],
      ['0 update 1 [1,"0.00","draft"] → [1,"500.00","draft"]'],
    ],
  ];
  test.each(cases)('%s', (_name, rows, expected) => {
    expect(netOf(...rows)).toEqual(expected);
  });
});

describe('rows among others', () => {
  test('changes come in the order in which their rows first appear, tables mixed', () => {
    const two = { id: 2, total: '1.00', status: 'draft' };
    const link = { doctor_id: 7, branch_id: 2, active: 0 };
    expect(
      netOf(
        insert(budgets, at0),
        update(links, link, { active: 1 }),
        update(budgets, two, { total: '2.00' }),
        update(budgets, at0, at500),
      ),
    ).toEqual([
      '0 insert 1 null → [1,"500.00","draft"]',
      '1 update 7,2 [7,2,0] → [7,2,1]',
      '2 update 2 [2,"1.00","draft"] → [2,"2.00","draft"]',
    ]);
  });

  test('the same key in two tables is two rows', () => {
    const other = tableOf('payments', ['id', 'total decimal', 'status enum']);
    expect(netOf(insert(budgets, at0), remove(other, at0))).toHaveLength(2);
  });

  test('ordinals continue from where a part of a huge transaction begins', () => {
    expect(netChanges([insert(budgets, at0)], 40).map((c) => c.ordinal)).toEqual([40]);
    expect(
      netChanges([insert(budgets, at0), insert(budgets, { ...at0, id: 2 })], 40).map((c) => c.ordinal),
    ).toEqual([40, 41]);
  });
});

describe('keys', () => {
  test('a composite key is joined by commas, and its text cannot be mistaken', () => {
    const rows = [
      insert(codes, { code: 'a,b', part: 'c', n: 1 }),
      insert(codes, { code: 'a', part: 'b,c', n: 2 }),
      insert(codes, { code: 'a\\', part: 'b', n: 3 }),
    ];
    const keys = netChanges(rows).map((change) => change.key);
    expect(keys).toEqual(['a\\,b,c', 'a,b\\,c', 'a\\\\,b']);
  });

  test('rows are identified by every part of a composite key', () => {
    const link = { doctor_id: 7, branch_id: 2, active: 0 };
    expect(netOf(insert(links, link), remove(links, { ...link, branch_id: 3 }))).toHaveLength(2);
    expect(netOf(insert(links, link), remove(links, link))).toEqual([]);
  });

  test('a binary key is hex', () => {
    const files = tableOf('files', ['id binary', 'n']);
    expect(netChanges([insert(files, { id: Uint8Array.of(0xca, 0xfe), n: 1 })])[0]?.key).toBe('cafe');
  });

  test('a change of key is a DELETE of the old key and an INSERT of the new one', () => {
    const one = { id: 1, total: '0.00', status: 'draft' };
    const moved = ['0 delete 1 [1,"0.00","draft"] → null', '0 insert 9 null → [9,"0.00","draft"]'];
    expect(netOf(update(budgets, one, { id: 9 }))).toEqual(moved);
    expect(
      netOf(update(budgets, one, { id: 9 }), update(budgets, { ...one, id: 9 }, { total: '5.00' })),
    ).toEqual([moved[0], '0 insert 9 null → [9,"5.00","draft"]']);
    // REPLACE as MySQL logs it: the row of the unique key is gone, and another has come.
    expect(netOf(update(budgets, one, { id: 9, total: '7.00' }))).toEqual([
      moved[0],
      '0 insert 9 null → [9,"7.00","draft"]',
    ]);
  });

  test('every part of a composite key counts, bytes are compared as bytes', () => {
    const link = { doctor_id: 7, branch_id: 2, active: 0 };
    expect(netOf(update(links, link, { branch_id: 3 }))).toEqual([
      '0 delete 7,2 [7,2,0] → null',
      '0 insert 7,3 null → [7,3,0]',
    ]);
    const files = tableOf('files', ['id binary', 'n']);
    const same = update(files, { id: Uint8Array.of(1), n: 1 }, { id: Uint8Array.of(1), n: 2 });
    expect(netChanges([same]).map(({ op }) => op)).toEqual(['update']);
    const other = update(codes, { code: 'a', part: 'b', n: 1 }, { code: 'A' });
    expect(netChanges([other]).map(({ op, key }) => `${op} ${key}`)).toEqual(['delete a,b', 'insert A,b']);
  });

  test('an inserted row whose key changes is one INSERT under the last key', () => {
    expect(netOf(insert(budgets, at0), update(budgets, at0, { id: 9 }))).toEqual([
      '1 insert 9 null → [9,"0.00","draft"]',
    ]);
  });

  test('a row whose key changed and that is then deleted was deleted under its first key', () => {
    expect(netOf(update(budgets, at0, { id: 9 }), remove(budgets, { ...at0, id: 9 }))).toEqual([
      '0 delete 1 [1,"0.00","draft"] → null',
    ]);
  });

  test('a key that changes and changes back is the row that it was', () => {
    const there = update(budgets, at0, { id: 9 });
    const back = update(budgets, { ...at0, id: 9 }, { id: 1 });
    expect(netOf(there, back)).toEqual([]);
    expect(netOf(there, update(budgets, { ...at0, id: 9 }, { id: 1, total: '5.00' }))).toEqual([
      '0 update 1 [1,"0.00","draft"] → [1,"5.00","draft"]',
    ]);
  });

  test('two rows that swap keys are an UPDATE of each key', () => {
    const row = (id: number, total: string) => ({ id, total, status: 'draft' });
    expect(
      netOf(
        update(budgets, row(1, 'a'), { id: 3 }),
        update(budgets, row(2, 'b'), { id: 1 }),
        update(budgets, row(3, 'a'), { id: 2 }),
      ),
    ).toEqual([
      '0 update 1 [1,"a","draft"] → [1,"b","draft"]',
      '1 update 2 [2,"b","draft"] → [2,"a","draft"]',
    ]);
  });

  test('a chain of keys is an UPDATE of each but the ends', () => {
    const row = (id: number) => ({ id, total: `${id}`, status: 'draft' });
    expect(
      netOf(
        update(budgets, row(3), { id: 4 }),
        update(budgets, row(2), { id: 3 }),
        update(budgets, row(1), { id: 2 }),
      ),
    ).toEqual([
      '0 update 3 [3,"3","draft"] → [3,"2","draft"]',
      '0 insert 4 null → [4,"3","draft"]',
      '1 update 2 [2,"2","draft"] → [2,"1","draft"]',
      '2 delete 1 [1,"1","draft"] → null',
    ]);
  });

  test('a key that a row left can be taken by a new row', () => {
    expect(netOf(update(budgets, at0, { id: 9 }), insert(budgets, at500))).toEqual([
      '0 update 1 [1,"0.00","draft"] → [1,"500.00","draft"]',
      '0 insert 9 null → [9,"0.00","draft"]',
    ]);
  });

  test('a row that moves onto a deleted key is an UPDATE of that key', () => {
    const two = { id: 2, total: '2.00', status: 'draft' };
    expect(netOf(remove(budgets, at0), update(budgets, two, { id: 1 }))).toEqual([
      '0 update 1 [1,"0.00","draft"] → [1,"2.00","draft"]',
      '1 delete 2 [2,"2.00","draft"] → null',
    ]);
  });

  test('a change of key under a partial image takes the rest from what the transaction has shown', () => {
    const moved = partialUpdate(budgets, { id: 1 }, { id: 9 });
    expect(netOf(moved)).toEqual(['0 delete 1 [1,null,null] → null', '0 insert 9 null → [9,null,null]']);
    expect(netChanges([moved])[1]?.after).toEqual([9, undefined, undefined]);
    expect(netOf(insert(budgets, at0), moved)).toEqual(['1 insert 9 null → [9,"0.00","draft"]']);
  });
});

describe('tables without a primary key', () => {
  const visit = { patient_id: 45, note: 'a' };

  test('a row is followed by all its columns', () => {
    expect(
      netOf(insert(keyless, visit), update(keyless, visit, { note: 'b' }), insert(keyless, visit)).map(
        (line) => line.replace(/[0-9a-f]{32}/, 'HASH'),
      ),
    ).toEqual(['0 insert HASH null → [45,"b"]', '2 insert HASH null → [45,"a"]']);
  });

  test('rows that are alike are each one row', () => {
    expect(netOf(insert(keyless, visit), insert(keyless, visit))).toHaveLength(2);
    expect(netOf(insert(keyless, visit), insert(keyless, visit), remove(keyless, visit))).toHaveLength(1);
    expect(netOf(remove(keyless, visit), remove(keyless, visit), insert(keyless, visit))).toHaveLength(1);
  });

  test('the key is a hash that depends on the values alone, and tells NULL from empty text', () => {
    const keyOf = (note: string | null) => netChanges([insert(keyless, { patient_id: 45, note })])[0]?.key;
    expect(keyOf('a')).toMatch(/^[0-9a-f]{32}$/);
    expect(keyOf('a')).toBe(keyOf('a'));
    expect(new Set([keyOf('a'), keyOf('b'), keyOf(''), keyOf(null)]).size).toBe(4);
  });
});

describe('partial row images', () => {
  const row = tableOf('patients', ['id', 'phone text', 'status enum']);
  const images = (...rows: RowEvent[]) => netChanges(rows).map(({ before, after }) => ({ before, after }));

  test('an absent after cell is unchanged: taken from before', () => {
    expect(images(partialUpdate(row, { id: 1, phone: 'x', status: 'a' }, { status: 'b' }))).toEqual([
      { before: [1, 'x', 'a'], after: [1, 'x', 'b'] },
    ]);
  });

  test('what no image tells stays unknown', () => {
    expect(images(partialUpdate(row, { id: 1 }, { status: 'b' }))).toEqual([
      { before: [1, undefined, undefined], after: [1, undefined, 'b'] },
    ]);
  });

  test('an update of columns that are not watched is nothing', () => {
    expect(images(partialUpdate(row, { id: 1 }, {}))).toEqual([]);
  });

  test('a written column with an unknown old value is a change', () => {
    expect(images(partialUpdate(row, { id: 1 }, { phone: null }))).toHaveLength(1);
  });

  test('the after images of two updates complete each other', () => {
    expect(
      images(partialUpdate(row, { id: 1 }, { status: 'b' }), partialUpdate(row, { id: 1 }, { phone: 'y' })),
    ).toEqual([{ before: [1, undefined, undefined], after: [1, 'y', 'b'] }]);
  });

  test('an insert is completed by later updates', () => {
    expect(
      images(insert(row, { id: 1, phone: 'x' }), partialUpdate(row, { id: 1 }, { status: 'b' })),
    ).toEqual([{ before: null, after: [1, 'x', 'b'] }]);
  });

  test('a later before image tells what the first one lacked, unless it was changed in between', () => {
    expect(
      images(
        partialUpdate(row, { id: 1 }, { status: 'b' }),
        partialUpdate(row, { id: 1, phone: 'x', status: 'b' }, { status: 'c' }),
      ),
    ).toEqual([{ before: [1, 'x', undefined], after: [1, 'x', 'c'] }]);
  });

  test('a row that is deleted and inserted again does not keep old values in absent cells', () => {
    expect(
      images(remove(row, { id: 1, phone: 'x', status: 'a' }), insert(row, { id: 1, phone: 'x' })),
    ).toEqual([{ before: [1, 'x', 'a'], after: [1, 'x', undefined] }]);
  });
});

test('bytes are compared by content', () => {
  const files = tableOf('files', ['id', 'content binary']);
  const change = (a: number[], b: number[]) =>
    netChanges([
      {
        table: files,
        op: 'update',
        before: rowOf(files, { id: 1, content: Uint8Array.from(a) }),
        after: rowOf(files, { id: 1, content: Uint8Array.from(b) }),
      },
    ]);
  expect(change([1, 2], [1, 2])).toEqual([]);
  expect(change([1, 2], [1, 3])).toHaveLength(1);
  expect(change([1, 2], [1])).toHaveLength(1);
});

test('100,000 rows that are each touched three times are reduced in linear time', () => {
  const rowsOf = (count: number): RowEvent[] => {
    const ids = Array.from({ length: count }, (_, id) => ({ id, total: '0.00', status: 'draft' }));
    return [
      ...ids.map((row) => insert(budgets, row)),
      ...ids.map((row) => update(budgets, row, { total: '1.00' })),
      ...ids.map((row) => update(budgets, { ...row, total: '1.00' }, { total: '2.00' })),
    ];
  };
  const rows = rowsOf(100_000);
  const start = performance.now();
  const changes = netChanges(rows);
  // 300,000 row events take about 0.2 s; a quadratic walk would take minutes.
  expect(performance.now() - start).toBeLessThan(10_000);
  expect(changes).toHaveLength(100_000);
  expect(changes.every(({ op, after }) => op === 'insert' && after?.[1] === '2.00')).toBe(true);
});
