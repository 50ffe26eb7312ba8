import { describe, expect, it } from 'vitest';
import { idIn } from '../../src/db/connection/sql-text.ts';

describe('a condition on ids', () => {
  const run = (from: number, to: number): number[] =>
    Array.from({ length: to - from + 1 }, (_, i) => from + i);

  it('lists single ids in ascending order', () => {
    expect(idIn('id', [9, 3, 5])).toBe('id IN (3,5,9)');
  });

  it('writes consecutive ids as a range', () => {
    expect(idIn('q.delivery_id', run(7, 506))).toBe('q.delivery_id BETWEEN 7 AND 506');
  });

  it('mixes both', () => {
    expect(idIn('id', [...run(20, 25), 11, ...run(1, 4), 13, 12])).toBe(
      '(id BETWEEN 1 AND 4 OR id BETWEEN 20 AND 25 OR id IN (11,12,13))',
    );
  });

  it('names each once', () => {
    expect(idIn('id', [4, 4, 2, 3, 3, 1])).toBe('id BETWEEN 1 AND 4');
    expect(idIn('id', [8, 8])).toBe('id IN (8)');
  });

  it('holds for no row when there are none', () => {
    expect(idIn('id', [])).toBe('FALSE');
  });

  it('refuses what is no number', () => {
    expect(() => idIn('id', [NaN])).toThrow('finite');
  });
});
