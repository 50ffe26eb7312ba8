import { expect, test } from 'vitest';
import { runHostileResponses } from './memory-run.ts';

test('memory stays flat over hostile responses', async () => {
  const { before, after, outcomes } = await runHostileResponses(300, 1_000);
  // One response of 16 KiB kept for each would be 16 MiB.
  expect(after.heap + after.external).toBeLessThan(before.heap + before.external + 6);
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
