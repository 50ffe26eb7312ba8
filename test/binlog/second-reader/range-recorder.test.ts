import { describe, expect, it } from 'vitest';
import { RangeRecorder } from '../../../src/binlog/second-reader/range-recorder.ts';
import type { RowEvent, TransactionPart } from '../../../src/binlog/types.ts';

const file = 'binlog.000001';
const at = (offset: number) => ({ file, offset });
const row: RowEvent = {
  table: { schema: 's', name: 't', columns: [], key: [] } as unknown as RowEvent['table'],
  op: 'insert',
  before: null,
  after: [],
};

/** The transaction that ends at an offset: so many watched rows, of so many bytes. */
const transaction = (offset: number, { rows = 1, bytes = 1 } = {}): TransactionPart => ({
  id: `t${offset}`,
  rows: Array.from({ length: rows }, () => row),
  firstOrdinal: 0,
  commit: { position: { gtid: null, ...at(offset) }, committedAtMs: 0, isEstimated: false, passedMs: 0 },
  bytes,
  ddl: [],
});
const tooLarge = { rows: 3, bytes: 101 };

function record(parts: readonly TransactionPart[]): RangeRecorder {
  const recorder = new RangeRecorder({ gtid: null, ...at(4) }, { rows: 1_000, bytes: 100 });
  for (const part of parts) recorder.add(part);
  return recorder;
}

describe('the range that both readers read', () => {
  it('has no transaction at its ends that does not fit: the other reader would decode it for nothing', () => {
    const recorder = record([
      transaction(10, tooLarge),
      transaction(20),
      transaction(30, { rows: 0 }),
      transaction(40, tooLarge),
      transaction(50, { rows: 0 }),
      transaction(60, tooLarge),
    ]);
    expect([recorder.from, recorder.until]).toEqual([at(10), at(30)]);
    expect(recorder.transactions.map(({ offset }) => offset)).toEqual([20]);
    expect(recorder.passedOverRows).toBe(9);
  });

  it('passes over one between two that fit', () => {
    const recorder = record([transaction(10), transaction(20, tooLarge), transaction(30)]);
    expect([recorder.from, recorder.until]).toEqual([at(4), at(30)]);
    expect(recorder.passedOver).toEqual([at(20)]);
  });

  it('reaches to the last transaction without watched rows', () => {
    const recorder = record([transaction(10), transaction(20, { rows: 0 })]);
    expect([recorder.from, recorder.until]).toEqual([at(4), at(20)]);
  });

  it('is empty when nothing fits', () => {
    const recorder = record([transaction(10, tooLarge), transaction(20, tooLarge)]);
    expect([recorder.from, recorder.until, recorder.passedOver]).toEqual([at(20), at(20), []]);
  });
});
