import { describe, expect, it } from 'vitest';
import { readAhead } from '../../src/lib/read-ahead.ts';

async function* count(to: number, failAfter = Infinity): AsyncGenerator<number, void, undefined> {
  for (let n = 1; n <= to; n += 1) {
    if (n > failAfter) throw new Error(`no plan ${n}`);
    yield await Promise.resolve(n);
  }
}

describe('reading ahead', () => {
  it('gives results in the order of the plans, whichever read ends first', async () => {
    const ends: (() => void)[] = [];
    const results: number[] = [];
    const read = async (n: number): Promise<number> => {
      await new Promise<void>((resolve) => {
        ends[n] = resolve;
        if (n % 2 === 0)
          ends
            .splice(0, n + 1)
            .toReversed()
            .forEach((end) => end?.());
      });
      return n;
    };
    for await (const n of readAhead(count(6), 2, read)) results.push(n);
    expect(results).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('has at most so many reads under way', async () => {
    let [underWay, most] = [0, 0];
    const read = async (n: number): Promise<number> => {
      most = Math.max(most, (underWay += 1));
      for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
      underWay -= 1;
      return n;
    };
    let sum = 0;
    for await (const n of readAhead(count(20), 3, read)) sum += n;
    expect({ sum, most }).toEqual({ sum: 210, most: 3 });
  });

  it('throws what a read or a plan threw once its turn comes', async () => {
    const results: number[] = [];
    const read = (n: number): Promise<number> =>
      n === 3 ? Promise.reject(new Error('no read 3')) : Promise.resolve(n);
    const all = async (plans: AsyncGenerator<number, void, undefined>): Promise<void> => {
      for await (const n of readAhead(plans, 4, read)) results.push(n);
    };
    await expect(all(count(6))).rejects.toThrow('no read 3');
    await expect(all(count(6, 2))).rejects.toThrow('no plan 3');
    expect(results).toEqual([1, 2, 1, 2]);
  });

  it('ends the plans when the caller stops', async () => {
    let isEnded = false;
    async function* plans(): AsyncGenerator<number, void, undefined> {
      try {
        yield* count(9);
      } finally {
        isEnded = true;
      }
    }
    for await (const n of readAhead(plans(), 2, (each) => Promise.resolve(each))) if (n === 2) break;
    expect(isEnded).toBe(true);
  });
});
