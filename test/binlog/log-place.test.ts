import { describe, expect, it } from 'vitest';
import { endsBefore } from '../../src/binlog/position/log-place.ts';

describe('a log that ends before what was read of it', () => {
  it.each([
    { end: 'binlog.000001:500', read: 'binlog.000001:900', isBefore: true },
    { end: 'binlog.000001:900', read: 'binlog.000002:4', isBefore: true },
    { end: 'binlog.999999:900', read: 'binlog.1000000:4', isBefore: true },
    { end: 'binlog.000001:900', read: 'binlog.000001:900', isBefore: false },
    { end: 'binlog.000001:901', read: 'binlog.000001:900', isBefore: false },
    { end: 'binlog.000002:4', read: 'binlog.000001:900', isBefore: false },
    { end: 'other.000001:4', read: 'binlog.000002:900', isBefore: false },
  ])('$end, read up to $read: $isBefore', ({ end, read, isBefore }) => {
    expect(endsBefore(placeOf(end), placeOf(read))).toBe(isBefore);
  });
});

function placeOf(text: string): { file: string; offset: number } {
  const [file, offset] = text.split(':');
  return { file: file!, offset: Number(offset) };
}
