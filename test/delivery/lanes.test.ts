import { describe, expect, test } from 'vitest';
import { Lanes } from '../../src/delivery/schedule/lanes.ts';
import type { ClaimedDelivery } from '../../src/outbox/types.ts';

const delivery = (id: number, lane: string): ClaimedDelivery => ({
  id,
  webhookId: 1,
  eventId: `evt_${id}`,
  eventType: 'payment.received',
  lane,
  body: '0123456789',
  attempt: 1,
  occurredAtMs: 0,
});

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

const ids = (deliveries: readonly ClaimedDelivery[]): number[] => deliveries.map(({ id }) => id);

describe('a lane', () => {
  test('gives one at a time, in the order they came', () => {
    const lanes = new Lanes();
    const [a, b, c] = [delivery(1, 'x'), delivery(2, 'x'), delivery(3, 'y')];
    for (const each of [a, b, c]) lanes.put(each, 0);
    expect([lanes.next(), lanes.next(), lanes.next()]).toEqual([a, c, undefined]);
    lanes.finish(a);
    expect(lanes.next()).toBe(b);
  });

  test('without a name holds up no other', () => {
    const lanes = new Lanes();
    for (const id of [1, 2, 3]) lanes.put(delivery(id, ''), 0);
    expect([lanes.next()?.id, lanes.next()?.id, lanes.next()?.id]).toEqual([1, 2, 3]);
  });

  test('whose head goes back gives up those behind it', () => {
    const lanes = new Lanes();
    for (const id of [1, 2, 3]) lanes.put(delivery(id, 'x'), 0);
    expect(ids(lanes.giveBack(lanes.next()!))).toEqual([2, 3]);
    lanes.put(delivery(1, 'x'), 100);
    lanes.put(delivery(2, 'x'), 100);
    expect([lanes.next()?.id, lanes.next()]).toEqual([1, undefined]);
  });

  test('gives up what waited too long, with all behind it, but not the one underway', () => {
    const lanes = new Lanes();
    lanes.put(delivery(1, 'x'), 0);
    lanes.put(delivery(2, 'x'), 0);
    lanes.put(delivery(3, 'y'), 0);
    lanes.put(delivery(4, 'x'), 500);
    lanes.put(delivery(5, 'z'), 500);
    const underway = lanes.next()!;
    expect(ids(lanes.takeOlder(100)).sort()).toEqual([2, 3, 4]);
    expect(lanes.size).toBe(1);
    lanes.put(delivery(2, 'x'), 500);
    expect([lanes.next()?.id, lanes.next()]).toEqual([5, undefined]);
    lanes.finish(underway);
    expect(lanes.next()?.id).toBe(2);
  });

  test('counts what is here', () => {
    const lanes = new Lanes();
    for (const id of [1, 2, 3]) lanes.put(delivery(id, 'x'), 0);
    expect([lanes.size, lanes.characters, lanes.readyCount]).toEqual([3, 30, 1]);
    lanes.giveBack(lanes.next()!);
    expect([lanes.size, lanes.characters, lanes.readyCount]).toEqual([0, 0, 0]);
  });
});

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'nothing is lost, doubled or overtaken, whatever happens (seed %i)',
  (seed) => {
    const next = random(seed);
    const lanes = new Lanes();
    const underway: ClaimedDelivery[] = [];
    const finished: ClaimedDelivery[] = [];
    let outside = Array.from({ length: 400 }, (_, index) =>
      delivery(index + 1, index % 7 === 0 ? '' : `lane ${index % 5}`),
    );
    for (let nowMs = 0; finished.length < 400; nowMs += 10) {
      const dice = next();
      if (dice < 0.3) {
        // The store hands out the oldest first, as many as it likes.
        for (const handed of outside.splice(0, Math.ceil(next() * 20))) lanes.put(handed, nowMs);
      } else if (dice < 0.6) {
        const started = lanes.next();
        if (started) underway.push(started);
      } else if (dice < 0.98) {
        const [ended] = underway.splice(Math.floor(next() * underway.length), 1);
        if (!ended) continue;
        if (next() < 0.7) {
          lanes.finish(ended);
          finished.push(ended);
        } else {
          outside.push(ended, ...lanes.giveBack(ended));
        }
      } else {
        outside.push(...lanes.takeOlder(nowMs - 200));
      }
      outside = outside.toSorted((a, b) => a.id - b.id);
    }
    expect(new Set(ids(finished)).size).toBe(400);
    expect([lanes.size, lanes.characters, underway.length]).toEqual([0, 0, 0]);
    for (const lane of Map.groupBy(finished, (each) => each.lane)) {
      if (lane[0] !== '') expect(ids(lane[1])).toEqual(ids(lane[1]).toSorted((a, b) => a - b));
    }
  },
);
