import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { claim, readQueueDepths } from '../../src/outbox/queue/claim.ts';
import { release, releaseForgotten, rescueExpired } from '../../src/outbox/queue/release-claims.ts';
import { promoteLanes, sweepLanes } from '../../src/outbox/queue/promote.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import type { Claimant, ClaimedDelivery } from '../../src/outbox/types.ts';
import { servers } from '../support/server.ts';
import {
  addWebhook,
  claimant,
  delivered,
  emptyTables,
  eventOf,
  failed,
  muchRoom,
  noRoom,
  openTestAppender,
  openTestStore,
  readQueue,
  type TestAppender,
  type TestStore,
} from './support.ts';

describe.each(servers)('claim and settle on %s', (variant) => {
  let test: TestStore;
  let webhookId: number;
  let me: Claimant;
  let outbox: TestAppender;

  beforeAll(async () => {
    test = await openTestStore(variant);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await emptyTables(test);
    webhookId = await addWebhook(test.vault);
    me = claimant(test.store);
    outbox = await openTestAppender(me, test.vault);
  });

  const claimAll = async (who: Claimant = me): Promise<ClaimedDelivery[]> =>
    (await claim(who, [{ webhookId, room: 100 }])).deliveries;
  const logRow = async (id: number) =>
    (await test.schema.query('SELECT * FROM webhook_deliveries WHERE id = ?', [id]))[0]!;
  const attempts = () =>
    test.schema.query(
      'SELECT delivery_id, number, outcome, response_status, reason, duration_ms, started_at FROM attempts ORDER BY id',
    );

  it('records a success, in the log and in the columns of the seed', async () => {
    const { fresh } = await outbox.append([eventOf('a')], { room: muchRoom });
    const [delivery] = fresh;
    expect(await settle(me, [delivered(delivery!)])).toEqual({ settled: 1, lost: 0, promoted: 0, begun: [] });

    expect(await logRow(delivery!.id)).toMatchObject({
      status: 'delivered',
      response_status: 200,
      response_body: 'ok',
      retry_count: 0,
      failed_at: null,
      next_attempt_at: null,
      claimed_by: null,
    });
    expect((await logRow(delivery!.id))['delivered_at']).toMatch(/^\d{4}-/);
    expect(await attempts()).toEqual([
      {
        delivery_id: delivery!.id,
        number: 1,
        outcome: 'delivered',
        response_status: 200,
        reason: null,
        duration_ms: 12,
        started_at: '2026-03-07 15:30:00.988',
      },
    ]);
    expect(await readQueue(test.store)).toEqual([]);
  });

  it('retries later, counts, and gives up on record', async () => {
    const { fresh } = await outbox.append([eventOf('a')], { room: muchRoom });
    await settle(me, [failed(fresh[0]!, { kind: 'retry', delayMs: 3_600_000 })]);
    expect(await claimAll()).toEqual([]);
    const { nextDueInMs } = await claim(me, [{ webhookId, room: 1 }]);
    expect(nextDueInMs).toBeGreaterThan(3_590_000);
    expect(nextDueInMs).toBeLessThanOrEqual(3_600_000);
    expect(await logRow(1)).toMatchObject({
      status: 'pending',
      response_status: null,
      retry_count: 0,
      delivered_at: null,
      claimed_by: null,
    });

    await test.schema.query('UPDATE queue SET due_at = UTC_TIMESTAMP(3)');
    const [second] = await claimAll();
    expect(second).toMatchObject({ id: 1, attempt: 2, body: eventOf('a').body });
    await settle(me, [failed(second!, { kind: 'exhausted' })]);

    const row = await logRow(1);
    expect(row).toMatchObject({ status: 'exhausted', retry_count: 1, delivered_at: null });
    expect(row['failed_at']).toBe(row['exhausted_at']);
    expect((await attempts()).map(({ number, outcome, reason }) => ({ number, outcome, reason }))).toEqual([
      { number: 1, outcome: 'failed', reason: 'timeout' },
      { number: 2, outcome: 'failed', reason: 'timeout' },
    ]);
  });

  it('settles many with different ends in one transaction', async () => {
    const events = Array.from({ length: 30 }, (_, index) => eventOf(`e${index}`, { key: String(index) }));
    const { fresh } = await outbox.append(events, { room: muchRoom });
    const ends = fresh.map((delivery, index) =>
      index % 3 === 0
        ? delivered(delivery)
        : failed(
            delivery,
            index % 3 === 1 ? { kind: 'exhausted' } : { kind: 'retry', delayMs: index * 1_000 },
          ),
    );
    ends[0] = {
      ...delivered(fresh[0]!),
      outcome: { kind: 'delivered', status: 204, responseBody: "it's \\ 😷", durationMs: 3 },
    };
    expect(await settle(me, ends)).toMatchObject({ settled: 30 });
    const counts = await test.schema.query(
      'SELECT status, COUNT(*) AS n FROM webhook_deliveries GROUP BY status ORDER BY status',
    );
    expect(counts).toEqual([
      { status: 'delivered', n: 10 },
      { status: 'exhausted', n: 10 },
      { status: 'pending', n: 10 },
    ]);
    expect(await logRow(fresh[0]!.id)).toMatchObject({ response_status: 204, response_body: "it's \\ 😷" });
    const gaps = await test.schema.query(
      'SELECT ROUND(TIMESTAMPDIFF(MICROSECOND, d.failed_at, d.next_attempt_at) / 1000) AS ms FROM webhook_deliveries d WHERE next_attempt_at IS NOT NULL ORDER BY id',
    );
    expect(gaps.map(({ ms }) => Number(ms))).toEqual(
      [2, 5, 8, 11, 14, 17, 20, 23, 26, 29].map((index) => index * 1_000),
    );
  });

  it('keeps the order of a lane: the next is due only at the end of the one before', async () => {
    await outbox.append([eventOf('a1'), eventOf('a2'), eventOf('b1', { key: 'b' })]);
    const first = await claimAll();
    expect(first.map(({ id }) => id)).toEqual([1, 3]);
    await settle(me, [failed(first[0]!, { kind: 'retry', delayMs: 0 })]);
    const again = await claimAll();
    expect(again).toMatchObject([{ id: 1, attempt: 2 }]);
    expect(await settle(me, [failed(again[0]!, { kind: 'exhausted' })])).toMatchObject({ promoted: 1 });
    expect(await claimAll()).toMatchObject([{ id: 2, attempt: 1 }]);
  });

  it('does not let a lost claim overwrite what the rescuer did', async () => {
    const hasty = { ...me, claimMs: 0 };
    await outbox.append([eventOf('a')]);
    const [mine] = await claimAll(hasty);
    expect(await rescueExpired(claimant(test.store))).toBe(1);
    const other = claimant(test.another());
    const [theirs] = await claimAll(other);
    expect(theirs).toMatchObject({ id: 1, attempt: 2 });

    expect(await settle(me, [failed(mine!, { kind: 'exhausted' })])).toEqual({
      settled: 0,
      lost: 1,
      promoted: 0,
      begun: [],
    });
    expect(await settle(other, [delivered(theirs!)])).toMatchObject({ settled: 1 });
    expect((await attempts()).map(({ outcome }) => outcome)).toEqual(['lost', 'delivered']);
    expect(await logRow(1)).toMatchObject({ status: 'delivered', retry_count: 1 });
  });

  it('knows an attempt from the next one of the same process', async () => {
    await outbox.append([eventOf('a')]);
    const [first] = await claimAll({ ...me, claimMs: 0 });
    await rescueExpired(claimant(test.store));
    const [second] = await claimAll();
    expect(await settle(me, [delivered(first!)])).toMatchObject({ lost: 1 });
    expect(await settle(me, [delivered(second!)])).toMatchObject({ settled: 1 });
  });

  it('names the first failure of a series, for one of several processes, and the next one after a success', async () => {
    const { fresh } = await outbox.append(
      ['a', 'b', 'c', 'd', 'e'].map((name) => eventOf(name, { key: name })),
      { room: muchRoom },
    );
    const [a, b, c, d, e] = fresh.map((each) => failed(each, { kind: 'exhausted' }));
    expect(await settle(me, [a!, b!])).toMatchObject({ begun: [{ delivery: { id: a!.delivery.id } }] });
    expect(await settle(claimant(test.another(), { owner: me.owner }), [c!])).toMatchObject({ begun: [] });
    await settle(me, [delivered(d!.delivery)]);
    const [begun] = (await settle(me, [e!])).begun;
    expect(begun).toMatchObject({
      delivery: { id: e!.delivery.id },
      explanation: 'no complete answer within 15000 ms',
    });
  });

  it('does no harm when a settlement is repeated because its answer was lost', async () => {
    const { fresh } = await outbox.append([eventOf('a')], { room: muchRoom });
    await settle(me, fresh.map(delivered));
    expect(await settle(me, fresh.map(delivered))).toEqual({ settled: 0, lost: 1, promoted: 0, begun: [] });
    expect(await attempts()).toHaveLength(1);
  });

  it('rescues a beginning of a lane as one due and the others behind it', async () => {
    const dead = await openTestAppender({ ...me, claimMs: 0 }, test.vault);
    await dead.append([eventOf('a1'), eventOf('a2'), eventOf('a3')], { room: { total: 2, of: () => 2 } });
    expect(await readQueue(test.store)).toEqual(['1:sending', '2:sending', '3:waiting']);
    expect(await rescueExpired(claimant(test.store))).toBe(2);
    expect(await readQueue(test.store)).toEqual(['1:pending', '2:waiting', '3:waiting']);
    expect(await rescueExpired(claimant(test.store))).toBe(0);
  });

  it('takes back its own claims of which it never heard, and no others', async () => {
    await outbox.append([eventOf('theirs', { key: 'theirs' })]);
    await claimAll(claimant(test.another()));
    // The answers of these two were lost, so that no process holds them; the third one is in hand.
    await outbox.append([eventOf('a1'), eventOf('a2')], { room: muchRoom });
    const { fresh } = await outbox.append([eventOf('b1', { key: 'b' })], { room: muchRoom });
    const held = (): Set<number> => new Set(fresh.map(({ id }) => id));

    expect(await releaseForgotten(me, { held, afterMs: 60_000 })).toBe(0);
    expect(await releaseForgotten(me, { held, afterMs: 0 })).toBe(2);
    expect(await readQueue(test.store)).toEqual(['1:sending', '2:pending', '3:waiting', '4:sending']);
    expect(await releaseForgotten(me, { held, afterMs: 0 })).toBe(0);
    // They were never sent: no attempt is on record, and none is counted.
    expect(await attempts()).toEqual([]);
    expect(await claimAll()).toMatchObject([{ id: 2, attempt: 1 }]);
  });

  it('leaves valid claims alone', async () => {
    await outbox.append([eventOf('a')], { room: muchRoom });
    expect(await rescueExpired(claimant(test.store))).toBe(0);
    expect(await readQueue(test.store)).toEqual(['1:sending']);
  });

  it('takes back what was not sent, without an attempt on record, in its place', async () => {
    const { fresh } = await outbox.append([eventOf('a1'), eventOf('a2'), eventOf('b1', { key: 'b' })], {
      room: muchRoom,
    });
    await settle(me, [failed(fresh[0]!, { kind: 'retry', delayMs: 60_000 })]);
    await release(me, fresh.slice(1));
    expect(await readQueue(test.store)).toEqual(['1:pending', '2:waiting', '3:pending']);
    expect(await claimAll()).toMatchObject([{ id: 3, attempt: 1 }]);
    expect(await attempts()).toHaveLength(1);
    await release(me, fresh);
    expect(await readQueue(test.store)).toEqual(['1:pending', '2:waiting', '3:pending']);
  });

  it('heals what a process left waiting when it died', async () => {
    await outbox.append([
      eventOf('a1'),
      eventOf('a2'),
      eventOf('b1', { key: 'b' }),
      eventOf('b2', { key: 'b' }),
    ]);
    await test.schema.query('DELETE FROM queue WHERE delivery_id = 1');
    const whole = await sweepLanes(test.store, { afterLane: -1, lanes: 100 });
    expect(whole).toEqual({ promoted: 1, nextLane: null });
    expect(await readQueue(test.store)).toEqual(['2:pending', '3:pending', '4:waiting']);
    const steps: unknown[] = [];
    for (let lane: number | null = -1; lane !== null;) {
      const step: Awaited<ReturnType<typeof sweepLanes>> = await sweepLanes(test.store, {
        afterLane: lane,
        lanes: 1,
      });
      steps.push(step.promoted);
      lane = step.nextLane;
    }
    expect(steps).toEqual([0, 0, 0]);
    expect(await promoteLanes(test.store, new Set())).toBe(0);
  });

  it('shares the work between processes without giving anything twice', async () => {
    const events = Array.from({ length: 400 }, (_, index) => eventOf(`e${index}`, { key: String(index) }));
    await outbox.append(events);
    const workers = [test.store, test.another(), test.another()].map((store) => claimant(store));
    const taken: number[] = [];
    await Promise.all(
      workers.map(async (worker) => {
        for (;;) {
          const { deliveries } = await claim(worker, [{ webhookId, room: 17 }]);
          if (deliveries.length === 0) return;
          taken.push(...deliveries.map(({ id }) => id));
          await settle(worker, deliveries.map(delivered));
        }
      }),
    );
    expect(taken.sort((a, b) => a - b)).toEqual(Array.from({ length: 400 }, (_, index) => index + 1));
    expect(await test.schema.query('SELECT COUNT(*) AS n FROM attempts')).toEqual([{ n: 400 }]);
  });

  it('claims only for the named webhooks, as many as they have room for', async () => {
    const other = await addWebhook(test.vault);
    outbox = await openTestAppender(me, test.vault);
    await outbox.append(['a', 'b', 'c'].map((name) => eventOf(name, { key: name })));
    expect(
      (await claim(me, [{ webhookId: other, room: 2 }])).deliveries.map(({ webhookId: id }) => id),
    ).toEqual([other, other]);
    expect(await claim(me, [])).toEqual({ deliveries: [], nextDueInMs: undefined, refused: [] });
    expect(await claim(me, [{ webhookId, room: 0 }])).toMatchObject({ deliveries: [], nextDueInMs: 0 });
    expect(await readQueueDepths(test.store)).toMatchObject([
      { webhookId, pending: 3, waiting: 0, sending: 0 },
      { webhookId: other, pending: 1, sending: 2 },
    ]);
  });

  it('claims for the hungry without a look before, and knows what is due next unless all got what they wanted', async () => {
    await outbox.append(['a', 'b', 'c'].map((name) => eventOf(name, { key: name })));
    const hungry = (room: number) => claim(me, [{ webhookId, room, hungry: true }]);
    const first = await hungry(2);
    expect(first).toMatchObject({ deliveries: [{ id: 1 }, { id: 2 }], nextDueInMs: 0 });
    expect(await hungry(2)).toMatchObject({ deliveries: [{ id: 3 }], nextDueInMs: undefined });
    await settle(me, [failed(first.deliveries[0]!, { kind: 'retry', delayMs: 3_600_000 })]);
    const later = await hungry(2);
    expect(later.deliveries).toEqual([]);
    expect(later.nextDueInMs).toBeGreaterThan(3_590_000);
  });

  it('takes what another process is claiming for gone, and says when the next one is due', async () => {
    await outbox.append([eventOf('a'), eventOf('b', { key: '2' })], { room: noRoom });
    await test.schema.query(
      'UPDATE queue SET due_at = UTC_TIMESTAMP(3) + INTERVAL 1 HOUR WHERE delivery_id = 2',
    );
    const other = await test.schema.connect();
    await other.query('BEGIN');
    await other.query('SELECT * FROM queue WHERE delivery_id = 1 FOR UPDATE');
    const { deliveries, nextDueInMs } = await claim(me, [{ webhookId, room: 10 }]);
    await other.query('ROLLBACK');
    expect(deliveries).toEqual([]);
    expect(nextDueInMs).toBeGreaterThan(3_590_000);
    expect(await claimAll()).toMatchObject([{ id: 1 }]);
  });

  it('ends on record what has lost its payload', async () => {
    await outbox.append([eventOf('a'), eventOf('b', { key: 'b' })]);
    await test.schema.query('UPDATE event_log SET body = NULL WHERE seq = 1');
    expect(await claimAll()).toMatchObject([{ id: 2 }]);
    expect(await logRow(1)).toMatchObject({ status: 'exhausted', payload: null });
    expect(await attempts()).toMatchObject([{ delivery_id: 1, outcome: 'failed', reason: 'no-payload' }]);
  });

  it('notes since when a webhook has had no success', async () => {
    const failingSince = async () =>
      (await test.schema.query('SELECT failing_since AS since, updated_at AS edited FROM webhooks'))[0]!;
    const before = await failingSince();
    const { fresh } = await outbox.append(
      ['a', 'b', 'c'].map((name) => eventOf(name, { key: name })),
      { room: muchRoom },
    );
    await settle(me, [failed(fresh[0]!, { kind: 'exhausted' })]);
    const first = await failingSince();
    expect(first['since']).not.toBeNull();
    await settle(me, [failed(fresh[1]!, { kind: 'exhausted' })]);
    expect(await failingSince()).toEqual({ ...first, edited: before['edited'] });
    await settle(me, [delivered(fresh[2]!)]);
    expect(await failingSince()).toEqual({ since: null, edited: before['edited'] });
  });
});
