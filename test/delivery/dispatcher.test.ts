import { afterEach, describe, expect, test } from 'vitest';
import { Dispatcher, type DispatcherOptions } from '../../src/delivery/schedule/dispatcher.ts';
import { createSender, type Sender } from '../../src/delivery/send/send.ts';
import type { Attempted } from '../../src/delivery/types.ts';
import { silentLog } from '../../src/lib/log.ts';
import type { Webhook } from '../../src/outbox/types.ts';
import { waitFor } from '../support/wait-for.ts';
import { MemoryStore, testWebhook } from './memory-store.ts';
import { type Answer, ok, type Receiver, startReceiver, status } from './receiver.ts';

const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function receiver(answer?: Answer): Promise<Receiver> {
  const started = await startReceiver(answer);
  closing.push(() => started.close());
  return started;
}

interface Engine {
  store: MemoryStore;
  dispatcher: Dispatcher;
  attempts: Attempted[];
}

function engine(
  webhooks: readonly Webhook[],
  options: Partial<DispatcherOptions> = {},
  store = new MemoryStore(),
): Engine {
  const attempts: Attempted[] = [];
  const sender: Sender = createSender({
    guard: {
      allowHttp: true,
      allowPrivateNetworks: [{ cidr: '127.0.0.0/8' }],
      allowedPorts: webhooks.map((webhook) => Number(new URL(webhook.url).port)),
      forbidden: [],
    },
  });
  const dispatcher = new Dispatcher({
    verbs: store,
    sender,
    log: silentLog,
    concurrency: 64,
    retryScheduleMs: [20, 20, 20],
    pollMs: 50,
    breaker: { threshold: 1_000 },
    onAttempt: (attempted) => attempts.push(attempted),
    ...options,
  });
  dispatcher.setWebhooks(webhooks);
  dispatcher.start();
  closing.push(async () => {
    await dispatcher.stop();
    await sender.close();
  });
  return { store, dispatcher, attempts };
}

const idsAt = (target: Receiver): number[] =>
  target.received.map(({ body }) => (JSON.parse(body) as { data: { id: number } }).data.id);

/** Lets held requests end, one at a look, until it is done. */
async function endWhile(held: (() => void)[], isDone: () => boolean): Promise<void> {
  await waitFor(
    () => {
      held.shift()?.();
      return isDone();
    },
    { everyMs: 2 },
  );
}

const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i);
const lanesOf = (count: number, lanes: number): string[] =>
  range(1, count).map((n) => `patient:${n % lanes}`);

describe('fresh deliveries', () => {
  test('go out without asking the store, and are settled', async () => {
    const target = await receiver();
    const { store, dispatcher } = engine([testWebhook(1, target.url)], { pollMs: 60_000 });
    await waitFor(() => store.claims === 1, { what: 'the first claim' });
    dispatcher.accept(store.append(1, ['', '', ''], 3));
    await waitFor(() => store.count('delivered') === 3);
    expect(idsAt(target).sort()).toEqual([1, 2, 3]);
    expect(store.claims).toBe(1);
    expect(target.received[0]?.headers['webhook-id']).toMatch(/^evt_\d$/);
  });

  test('a burst shares its settlements, a lone one is settled at once', async () => {
    const target = await receiver();
    const { store, dispatcher } = engine([testWebhook(1, target.url, { maxInFlight: 64 })]);
    store.commitMs = 5;
    dispatcher.accept(store.append(1, lanesOf(500, 500), 500));
    await waitFor(() => store.count('delivered') === 500);
    expect(store.settles).toBeLessThan(200);
    const before = store.settles;
    dispatcher.accept(store.append(1, [''], 1));
    await waitFor(() => store.count('delivered') === 501);
    expect(store.settles).toBe(before + 1);
  });

  test('are in hand until the store knows their end: waiting, under way, refused and unsettled', async () => {
    const target = await receiver();
    const { store, dispatcher } = engine([testWebhook(1, target.url, { maxInFlight: 1 })]);
    store.down = true;
    dispatcher.accept(store.append(1, ['a', 'b', 'c'], 3));
    dispatcher.accept(store.append(2, [''], 1));
    await waitFor(() => target.received.length === 3);
    expect(dispatcher.held()).toEqual(new Set([1, 2, 3, 4]));
    store.down = false;
    await waitFor(() => dispatcher.held().size === 0);
    expect(store.count('delivered')).toBe(3);
  });

  test('for a webhook that is not there go back at once', async () => {
    const target = await receiver();
    const { store, dispatcher } = engine([testWebhook(1, target.url)]);
    dispatcher.accept(store.append(2, ['', ''], 2));
    await waitFor(() => store.count('pending', 2) === 2);
    expect(target.received).toEqual([]);
  });

  test('what capture finds no room for is claimed', async () => {
    const target = await receiver();
    const { store, dispatcher } = engine([testWebhook(1, target.url)]);
    store.append(1, lanesOf(200, 200));
    dispatcher.wake();
    await waitFor(() => store.count('delivered') === 200);
    expect(new Set(idsAt(target)).size).toBe(200);
  });

  test('the room for a webhook grows with what its endpoint can do, and is none for an unknown one', async () => {
    const target = await receiver();
    const { store, dispatcher } = engine([testWebhook(1, target.url)]);
    const first = dispatcher.room().of(1);
    dispatcher.accept(store.append(1, lanesOf(100, 100), 100));
    await waitFor(() => store.count('delivered') === 100);
    expect(dispatcher.room().of(1)).toBeGreaterThan(first);
    expect(dispatcher.room().of(2)).toBe(0);
  });
});

describe('order', () => {
  test('each lane in order, whatever fails in between, and lanes do not wait for each other', async () => {
    const seen = new Set<number>();
    const flaky: Answer = (response, request) => {
      const { id } = (JSON.parse(request.body) as { data: { id: number } }).data;
      const failsFirst = id % 3 === 0 && !seen.has(id);
      seen.add(id);
      response.writeHead(failsFirst ? 500 : 200).end();
    };
    const target = await receiver(flaky);
    const { store, dispatcher, attempts } = engine([testWebhook(1, target.url, { maxInFlight: 16 })]);
    dispatcher.accept(store.append(1, lanesOf(300, 20), 300));
    store.append(1, lanesOf(300, 20));
    dispatcher.wake();
    await waitFor(() => store.count('delivered') === 600, { timeoutMs: 30_000 });
    const byLane = Map.groupBy(
      attempts.filter(({ outcome }) => outcome.kind === 'delivered'),
      ({ delivery }) => delivery.lane,
    );
    expect(byLane.size).toBe(20);
    for (const lane of byLane.values()) {
      const ids = lane.map(({ delivery }) => delivery.id);
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    }
    // The order of first arrivals at the receiver is the order of each lane as well.
    const firsts = [...seen];
    for (const lane of range(0, 19)) {
      const ids = firsts.filter((id) => id % 20 === lane);
      expect(ids).toEqual(ids.toSorted((a, b) => a - b));
    }
  });

  test('what stands behind a failed one in memory goes back and does not overtake it', async () => {
    const target = await receiver((response, _request, index) => {
      response.writeHead(index === 0 ? 503 : 200).end();
    });
    const { store, dispatcher } = engine([testWebhook(1, target.url)]);
    const [first] = store.append(1, ['patient:1'], 1);
    // As if the store had handed out the whole lane at once.
    const rest = store.append(1, ['patient:1', 'patient:1']);
    const claimed =
      rest.length === 0 ? [...store.rows.values()].filter((row) => row.state === 'waiting') : [];
    for (const row of claimed) {
      row.state = 'sending';
      row.delivery.attempt = 1;
    }
    dispatcher.accept([first!, ...claimed.map((row) => row.delivery)]);
    await waitFor(() => store.count('delivered') === 3);
    expect(idsAt(target)).toEqual([1, 1, 2, 3]);
  });

  test('an exhausted one lets the next of its lane go', async () => {
    const target = await receiver((response, request) => {
      response.writeHead(request.body.includes('"id":1,') ? 400 : 200).end();
    });
    const { store, dispatcher, attempts } = engine([testWebhook(1, target.url)], {
      retryScheduleMs: [10, 10],
    });
    dispatcher.accept(store.append(1, ['patient:1', 'patient:1'], 1));
    await waitFor(() => store.count('delivered') === 1);
    expect(store.count('exhausted')).toBe(1);
    expect(attempts.map(({ delivery }) => [delivery.id, delivery.attempt])).toEqual([
      [1, 1],
      [1, 2],
      [1, 3],
      [2, 1],
    ]);
  });
});

describe('limits', () => {
  test('max_in_flight holds for each webhook', async () => {
    const held: (() => void)[] = [];
    const target = await receiver((response) => held.push(() => response.end()));
    const { store, dispatcher } = engine([testWebhook(1, target.url, { maxInFlight: 3 })]);
    dispatcher.accept(store.append(1, lanesOf(9, 9), 9));
    await endWhile(held, () => store.count('delivered') === 9);
    expect(target.busiest).toBe(3);
  });

  test('concurrency holds over all webhooks', async () => {
    const held: (() => void)[] = [];
    const target = await receiver((response) => held.push(() => response.end()));
    const webhooks = range(1, 5).map((id) => testWebhook(id, target.url));
    const { store, dispatcher } = engine(webhooks, { concurrency: 6 });
    for (const { id } of webhooks) dispatcher.accept(store.append(id, lanesOf(4, 4), 4));
    await endWhile(held, () => store.count('delivered') === 20);
    expect(target.busiest).toBeLessThanOrEqual(6);
  });

  test('rate_limit spreads requests over time', async () => {
    const target = await receiver();
    const { store, dispatcher } = engine([testWebhook(1, target.url, { ratePerSecond: 50 })]);
    dispatcher.accept(store.append(1, lanesOf(40, 40), 40));
    await waitFor(() => store.count('delivered') === 40);
    const first = target.received[0]!.atMs;
    const last = target.received.at(-1)!.atMs;
    // 40 at 50/s with a burst of 5: 35 of them wait 20 ms each.
    expect(last - first).toBeGreaterThan(600);
    expect(last - first).toBeLessThan(5_000);
  });

  test('what cannot be sent in time is handed back before its claim expires', async () => {
    const target = await receiver(() => undefined);
    const { store, dispatcher } = engine(
      [testWebhook(1, target.url, { maxInFlight: 1, timeoutMs: 60_000 })],
      {
        holdMs: 50,
        drainMs: 0,
      },
    );
    dispatcher.accept(store.append(1, lanesOf(5, 5), 5));
    await waitFor(() => target.received.length === 1);
    await waitFor(() => store.released >= 4);
    expect(target.received).toHaveLength(1);
  });
});

describe('isolation', () => {
  test('endpoints known to fail hold at most a quarter of the slots, a new one is served at once', async () => {
    const hanging = await receiver(() => undefined);
    const healthy = await receiver();
    const failing = { timeoutMs: 20_000, failingSinceMs: Date.now() - 1_000 };
    const dead = range(1, 20).map((id) => testWebhook(id, hanging.url, failing));
    const { store, dispatcher } = engine([...dead, testWebhook(21, healthy.url)], {
      concurrency: 16,
      drainMs: 0,
    });
    for (const { id } of dead) dispatcher.accept(store.append(id, lanesOf(10, 10), 10));
    await waitFor(() => hanging.received.length === 4, { what: 'a quarter of the slots' });
    dispatcher.accept(store.append(21, lanesOf(50, 50), 50));
    await waitFor(() => store.count('delivered', 21) === 50, { timeoutMs: 5_000 });
    expect(hanging.received).toHaveLength(4);
    await dispatcher.stop();
    expect(store.count('sending')).toBe(0);
  });

  test('a proven endpoint is served at once while dead ones hold all that is open to them', async () => {
    const hanging = await receiver(() => undefined);
    const healthy = await receiver();
    const dead = range(1, 20).map((id) => testWebhook(id, hanging.url, { timeoutMs: 20_000 }));
    const { store, dispatcher } = engine([...dead, testWebhook(21, healthy.url)], {
      concurrency: 16,
      drainMs: 0,
    });
    dispatcher.accept(store.append(21, [''], 1));
    await waitFor(() => store.count('delivered', 21) === 1);
    for (const { id } of dead) dispatcher.accept(store.append(id, lanesOf(10, 10), 10));
    await waitFor(() => hanging.received.length === 12);
    dispatcher.accept(store.append(21, lanesOf(200, 200), 200));
    await waitFor(() => store.count('delivered', 21) === 201, { timeoutMs: 5_000 });
    expect(hanging.received).toHaveLength(12);
  });

  test('an endpoint with room for everything does not crowd the others out of a claim', async () => {
    const target = await receiver();
    const webhooks = range(1, 3).map((id) => testWebhook(id, target.url, { maxInFlight: 64 }));
    const { store, dispatcher } = engine(webhooks);
    // Proven so quick that each alone has room for all that fits into memory.
    for (const { id } of webhooks) dispatcher.accept(store.append(id, lanesOf(200, 200), 200));
    await waitFor(() => store.count('delivered') === 600);
    store.append(3, ['late'], 0);
    await waitFor(() => store.count('delivered') === 601);
  });

  test('the breaker stops asking a failing endpoint and hands back what is parked for it', async () => {
    const target = await receiver(status(500));
    const { store, dispatcher } = engine([testWebhook(1, target.url)], {
      breaker: { threshold: 5, firstMs: 60_000, maxMs: 60_000 },
      retryScheduleMs: [60_000],
    });
    store.append(1, lanesOf(1_000, 1_000));
    dispatcher.wake();
    await waitFor(() => dispatcher.stats().webhooks[0]?.breaker === 'open');
    await waitFor(() => store.count('sending') === 0);
    // Five in a row, and the requests that were under way with them.
    expect(target.received.length).toBeLessThanOrEqual(12);
    expect(store.count('pending')).toBe(1_000);
    expect(dispatcher.room().of(1)).toBe(0);
  });

  test('after its pause one probe goes, and an answer opens the gates', async () => {
    let broken = true;
    const target = await receiver((response) => response.writeHead(broken ? 500 : 200).end());
    const { store, dispatcher } = engine([testWebhook(1, target.url)], {
      breaker: { threshold: 3, firstMs: 30, maxMs: 30 },
      retryScheduleMs: Array.from({ length: 50 }, () => 10),
    });
    store.append(1, lanesOf(100, 100));
    dispatcher.wake();
    await waitFor(() => dispatcher.stats().webhooks[0]?.breaker === 'probing');
    broken = false;
    await waitFor(() => store.count('delivered') === 100);
    expect(dispatcher.stats().webhooks[0]?.breaker).toBe('closed');
  });

  test('webhooks take turns', async () => {
    const held: (() => void)[] = [];
    const target = await receiver((response) => held.push(() => response.end()));
    const big = testWebhook(1, `${target.url}/big`);
    const small = testWebhook(2, `${target.url}/small`);
    const { store, dispatcher } = engine([big, small], { concurrency: 2 });
    dispatcher.accept(store.append(1, lanesOf(50, 50), 50));
    await waitFor(() => held.length > 0);
    dispatcher.accept(store.append(2, lanesOf(3, 3), 3));
    const receivedBy = (end: string): number =>
      target.received.filter(({ path }) => path.endsWith(end)).length;
    await endWhile(held, () => receivedBy('/small') === 3);
    expect(receivedBy('/big')).toBeLessThan(10);
    await endWhile(held, () => store.count('delivered') === 53);
  });
});

describe('retry and disabling', () => {
  test('a failed delivery is sent again after its delay, with the same id and body', async () => {
    const target = await receiver((response, _request, index) =>
      response.writeHead(index < 2 ? 503 : 204).end(),
    );
    const { store, dispatcher, attempts } = engine([testWebhook(1, target.url)]);
    dispatcher.accept(store.append(1, ['patient:1'], 1));
    await waitFor(() => store.count('delivered') === 1);
    expect(attempts.map(({ delivery, outcome }) => [delivery.attempt, outcome.kind])).toEqual([
      [1, 'rejected'],
      [2, 'rejected'],
      [3, 'delivered'],
    ]);
    expect(new Set(target.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
    expect(new Set(target.received.map(({ body }) => body)).size).toBe(1);
  });

  test('Retry-After lengthens the delay', async () => {
    const target = await receiver(status(429, { 'retry-after': '3600' }));
    const { store, dispatcher } = engine([testWebhook(1, target.url)]);
    dispatcher.accept(store.append(1, ['patient:1'], 1));
    await waitFor(() => store.settlements.length === 1);
    expect(store.settlements[0]?.next).toEqual({ kind: 'retry', delayMs: 3_600_000 });
  });

  test('410 disables the webhook once, and its deliveries stay alive', async () => {
    const target = await receiver(status(410));
    const { store, dispatcher } = engine([testWebhook(1, target.url)], { retryScheduleMs: [60_000] });
    dispatcher.accept(store.append(1, lanesOf(20, 20), 20));
    await waitFor(() => store.disabled.length > 0 && store.count('sending') === 0);
    expect(store.disabled).toEqual([1]);
    expect(store.count('pending')).toBe(20);
    const before = target.received.length;
    dispatcher.accept(store.append(1, ['new'], 1));
    await waitFor(() => store.count('pending') === 21);
    expect(target.received).toHaveLength(before);
  });

  test('enabling it again resumes', async () => {
    let gone = true;
    const target = await receiver((response) => response.writeHead(gone ? 410 : 200).end());
    const webhook = testWebhook(1, target.url);
    const { store, dispatcher } = engine([webhook], { retryScheduleMs: [10] });
    dispatcher.accept(store.append(1, ['patient:1', 'patient:1'], 1));
    await waitFor(() => store.disabled.length > 0);
    dispatcher.setWebhooks([{ ...webhook, isActive: false }]);
    gone = false;
    dispatcher.setWebhooks([webhook]);
    await waitFor(() => store.count('delivered') === 2);
    expect(idsAt(target)).toEqual([1, 1, 2]);
  });
});

describe('when the store or the process goes', () => {
  test('outcomes wait for the store and are all recorded', async () => {
    const target = await receiver();
    const { store, dispatcher } = engine([testWebhook(1, target.url)]);
    const fresh = store.append(1, lanesOf(50, 50), 50);
    store.down = true;
    dispatcher.accept(fresh);
    await waitFor(() => target.received.length === 50 && dispatcher.stats().unsettled === 50);
    store.down = false;
    await waitFor(() => store.count('delivered') === 50);
    expect(store.settlements).toHaveLength(50);
  });

  test('stop lets requests underway end and hands back the rest', async () => {
    const held: (() => void)[] = [];
    const target = await receiver((response) => held.push(() => response.end()));
    const { store, dispatcher } = engine([testWebhook(1, target.url, { maxInFlight: 4 })]);
    dispatcher.accept(store.append(1, lanesOf(20, 20), 20));
    await waitFor(() => held.length === 4);
    const stopped = dispatcher.stop();
    await waitFor(() => store.count('pending') === 16);
    for (const end of held) end();
    await stopped;
    expect(store.count('delivered')).toBe(4);
    expect(store.count('sending')).toBe(0);
  });

  test('stop cuts what takes too long, and records it as a failed attempt', async () => {
    const target = await receiver(() => undefined);
    const { store, dispatcher } = engine([testWebhook(1, target.url, { timeoutMs: 60_000 })], {
      drainMs: 20,
    });
    dispatcher.accept(store.append(1, ['a'], 1));
    await waitFor(() => target.received.length === 1);
    await dispatcher.stop();
    expect(store.settlements.map(({ outcome }) => outcome.kind)).toEqual(['failed']);
    expect(store.count('sending')).toBe(0);
  });

  test('start and stop are safe in any order and number', async () => {
    const target = await receiver();
    const { store, dispatcher } = engine([testWebhook(1, target.url)]);
    await dispatcher.stop();
    await dispatcher.stop();
    dispatcher.start();
    dispatcher.start();
    dispatcher.accept(store.append(1, ['a'], 1));
    await waitFor(() => store.count('delivered') === 1);
  });
});

/** A generator with a seed, so that a failure can be repeated. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

test.each([1, 2, 3])(
  'two instances on one store, random trouble, one restarted: all delivered, each lane in order (seed %i)',
  async (seed) => {
    const random = seeded(seed);
    const arrived: { webhook: string; lane: string; id: number }[] = [];
    const target = await receiver((response, { path, body }) => {
      const dice = random();
      if (dice < 0.1) response.destroy();
      else if (dice < 0.2) response.writeHead(500).end();
      else if (dice < 0.25) response.writeHead(429, { 'retry-after': '0' }).end();
      else {
        const { data } = JSON.parse(body) as { data: { id: number; lane: string } };
        arrived.push({ webhook: path, ...data });
        response.writeHead(200).end();
      }
    });
    const webhooks = range(1, 3).map((id) => testWebhook(id, `${target.url}/${id}`, { maxInFlight: 4 * id }));
    const options = { retryScheduleMs: Array.from({ length: 60 }, () => 5), pollMs: 20 };
    const first = engine(webhooks, options);
    const { store } = first;
    const second = engine(webhooks, options, store);
    for (const { id } of webhooks) {
      const fresh = store.append(id, lanesOf(300, 15), 50);
      (id % 2 === 0 ? first : second).dispatcher.accept(fresh);
    }
    await waitFor(() => store.count('delivered') > 200);
    await first.dispatcher.stop();
    // However far the second one has come, this one is under way when the store goes.
    second.dispatcher.accept(store.append(1, ['late'], 1));
    store.down = true;
    await waitFor(() => second.dispatcher.stats().unsettled > 0, { timeoutMs: 30_000 });
    store.down = false;
    first.dispatcher.start();
    await waitFor(() => store.count('delivered') === 901, { timeoutMs: 30_000 });
    expect(store.count('exhausted')).toBe(0);
    const lanes = Map.groupBy(arrived, ({ webhook, lane: name }) => `${webhook} ${name}`);
    expect(lanes.size).toBe(3 * 15 + 1);
    for (const [name, lane] of lanes) {
      const firsts = [...new Set(lane.map(({ id }) => id))];
      expect(firsts).toHaveLength(name.endsWith('late') ? 1 : 20);
      expect(firsts).toEqual(firsts.toSorted((x, y) => x - y));
    }
  },
);

test('an edited webhook is used from the next attempt on', async () => {
  const old = await receiver(status(500));
  const fresh = await receiver();
  const webhook = testWebhook(1, old.url);
  const { store, dispatcher } = engine([webhook, testWebhook(2, fresh.url, { isActive: false })], {
    retryScheduleMs: [10, 10, 10, 10, 10, 10, 10, 10, 10, 10],
  });
  dispatcher.accept(store.append(1, ['a'], 1));
  await waitFor(() => old.received.length > 0);
  dispatcher.setWebhooks([{ ...webhook, url: fresh.url }]);
  await waitFor(() => store.count('delivered') === 1);
  expect(fresh.received).toHaveLength(1);
});

test('idle, it asks the store no more often than its poll', async () => {
  const target = await receiver(ok);
  const { store } = engine([testWebhook(1, target.url)], { pollMs: 100 });
  await waitFor(() => store.claims >= 2);
  const before = store.claims;
  const startMs = performance.now();
  await waitFor(() => performance.now() - startMs > 500);
  expect(store.claims - before).toBeLessThanOrEqual(6);
});
