import { expect, test } from 'vitest';
import { runHostileResponses } from './memory-run.ts';

test('memory stays flat over hostile responses', async () => {
  const { samples, outcomes } = await runHostileResponses(300, 1_000);
  const [before, after] = samples.map(({ heap, external }) => heap + external);
  // One response of 16 KiB kept for each would be 16 MiB.
  expect(after).toBeLessThan(before! + 6);
  expect(Object.keys(outcomes)).toEqual(
    expect.arrayContaining([
      'delivered',
      'rejected',
      'gone',
      'failed: protocol',
      'failed: reset',
      'failed: timeout',
    ]),
  );
});
