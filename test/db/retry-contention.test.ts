import { describe, expect, it } from 'vitest';
import { retryContention } from '../../src/db/connection/retry-contention.ts';

const refusal = (errno: number): Error =>
  Object.assign(new Error('refused'), { errno, sqlState: 'HY000', code: 'ER' });

describe('a transaction that the server refused', () => {
  it.each([
    [1020, 'a row that another session changed (MariaDB, innodb_snapshot_isolation)', 2],
    [1213, 'a deadlock', 2],
    [1062, 'a duplicate', 1],
  ])('is tried again after %i, %s: %i tries', async (errno, _, tries) => {
    let done = 0;
    const retried: string[] = [];
    const work = (): Promise<number> => {
      done += 1;
      return done === 1 ? Promise.reject(refusal(errno)) : Promise.resolve(done);
    };
    const result = retryContention(work, {
      after: ['deadlock'],
      onRetry: (contention) => retried.push(contention),
    });
    await (tries === 1 ? expect(result).rejects.toThrow('refused') : expect(result).resolves.toBe(2));
    expect(done).toBe(tries);
    expect(retried).toEqual(tries === 1 ? [] : ['deadlock']);
  });
});
