import { describe, expect, it } from 'vitest';
import type { RowEvent, TableSchema, TransactionPart } from '../../src/binlog/types.ts';
import { readTransactions } from '../../src/capture/transaction/read-transactions.ts';

const table: TableSchema = {
  schema: 'clinic',
  name: 't',
  columns: [{ name: 'id', kind: 'integer' }],
  key: [0],
  indexOf: new Map([['id', 0]]),
};
const insert = (id: number): RowEvent => ({ table, op: 'insert', before: null, after: [id] });

interface Piece {
  id?: string;
  rows?: number[];
  from?: number;
  bytes?: number;
  isUndone?: true;
}

function piece({ id = 'a:1', rows = [], from = 0, bytes = 100 }: Piece): TransactionPart {
  return { id, rows: rows.map(insert), firstOrdinal: from, commit: null, ddl: [], bytes };
}

function last({ isUndone, ...rest }: Piece): TransactionPart {
  const position = { gtid: null, file: 'binlog.000001', offset: 4 };
  const commit = { position, committedAtMs: 1, isEstimated: false, passedMs: null };
  return { ...piece(rest), commit, ...(isUndone && { isUndone }) };
}

async function* arriving(...batches: TransactionPart[][]): AsyncGenerator<TransactionPart[]> {
  for (const batch of batches) yield await Promise.resolve(batch);
}

/** The keys of each transaction's net changes, and whether they came in parts; null where all that had arrived was given. */
async function read(...batches: TransactionPart[][]) {
  const found: unknown[] = [];
  for await (const transaction of readTransactions(arriving(...batches))) {
    if (!transaction) {
      found.push(null);
      continue;
    }
    const keys: string[] = [];
    for await (const changes of transaction.changes()) keys.push(...changes.map(({ key }) => key));
    found.push([transaction.id, transaction.isPart ? 'in parts' : 'at once', ...keys.map(Number)]);
  }
  return found;
}

const huge = 9 * 1024 * 1024;

describe('whole transactions', () => {
  it('are given one by one, then null where more must arrive', async () => {
    const found = await read([last({ rows: [1] }), last({ id: 'a:2', rows: [2] })], [piece({ rows: [3] })]);
    expect(found).toEqual([['a:1', 'at once', 1], ['a:2', 'at once', 2], null, null]);
  });

  it('are put together from their parts, in memory or in files', async () => {
    for (const [bytes, how] of [
      [100, 'at once'],
      [huge, 'in parts'],
    ] as const) {
      const parts = [
        piece({ rows: [1, 2], bytes }),
        last({ rows: [3], from: 2 }),
        last({ id: 'a:2', rows: [4] }),
      ];
      expect(await read(parts)).toEqual([['a:1', how, 1, 2, 3], ['a:2', 'at once', 4], null]);
    }
  });

  it('have only the rows of the last try where one was cut off', async () => {
    for (const bytes of [100, huge]) {
      const found = await read([piece({ rows: [1, 2], bytes })], [last({ rows: [1] })]);
      expect(found).toEqual([null, ['a:1', 'at once', 1], null]);
    }
  });

  it('have no row where they were undone', async () => {
    for (const bytes of [100, huge]) {
      const parts = [piece({ rows: [1], bytes }), last({ from: 1, isUndone: true })];
      expect(await read(parts)).toEqual([['a:1', 'at once'], null]);
    }
  });
});
