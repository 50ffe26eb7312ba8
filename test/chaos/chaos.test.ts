import { describe, expect, it } from 'vitest';
import { servers } from '../support/server.ts';
import { runChaos } from './chaos.ts';
import { netTransitions, type RecordedRow } from './history.ts';
import { compare } from './compare.ts';

const modes = [
  ...servers.map((variant) => ({ variant, gtid: true })),
  { variant: 'mysql', gtid: false } as const,
];

describe('the crash test', () => {
  it.each(modes)(
    'on $variant (gtid $gtid): delivers exactly the history, in order, whatever is killed, cut and frozen',
    { timeout: 480_000 },
    async ({ variant, gtid }) => {
      const report = await runChaos({ variant, gtid, seed: 7, durationMs: 20_000, meanPauseMs: 700 });
      expect(report).toMatchObject({ lost: 0, doubled: 0, invented: 0, outOfOrder: 0, examples: [] });
      expect(report).toMatchObject({ unverified: 0, exitCode: 0, delivered: report.expected });
      expect(report.outbox).toEqual({ events: report.expected, ids: report.expected, queued: 0 });
      expect(report.faults['daemon killed']).toBeGreaterThan(0);
      expect(report.transitions).toBeGreaterThan(100);
    },
  );
});

describe('its own validated', () => {
  const row = (
    seq: number,
    transaction: string,
    before: string[] | null,
    after: string[] | null,
  ): RecordedRow => ({
    seq,
    transaction,
    table: 'medical_records',
    before,
    after,
  });

  it('nets a transaction and orders transactions by the locks they held', () => {
    const transitions = netTransitions([
      row(1, 'a', ['7', 'x'], ['7', 'y']),
      row(2, 'b', ['5', 'old'], null),
      // `a` takes key 5 only after `b` has let go of it, though it began before.
      row(3, 'a', ['7', 'y'], ['5', 'y']),
      row(4, 'c', null, ['9', 'gone']),
      row(5, 'c', ['9', 'gone'], null),
      row(6, 'd', ['5', 'y'], null),
      row(7, 'd', null, ['5', 'z']),
    ]);
    expect(transitions).toMatchObject([
      { transaction: 'a', key: '7', before: ['7', 'x'], after: null },
      { transaction: 'b', key: '5', before: ['5', 'old'], after: null },
      { transaction: 'a', key: '5', before: null, after: ['5', 'y'] },
      { transaction: 'd', key: '5', before: ['5', 'y'], after: ['5', 'z'] },
    ]);
  });

  it('tells lost, doubled, invented and out of order apart', () => {
    const expected = new Map([
      ['lost', ['a', 'b']],
      ['doubled', ['a']],
      ['swapped', ['a', 'b']],
    ]);
    const came = (...list: string[]) => list.map((told, i) => ({ id: `${told}${i}`, told }));
    const delivered = new Map([
      ['lost', came('b')],
      ['doubled', came('a', 'a')],
      ['swapped', came('b', 'a')],
      ['invented', came('c')],
    ]);
    expect(compare(expected, delivered)).toMatchObject({ lost: 1, doubled: 1, invented: 1, outOfOrder: 2 });
  });
});
