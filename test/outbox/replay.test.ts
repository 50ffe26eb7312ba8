import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { claim } from '../../src/outbox/queue/claim.ts';
import { release } from '../../src/outbox/queue/release-claims.ts';
import { retryDelivery } from '../../src/outbox/queue/reopen.ts';
import { cancelReplay, createReplay, getReplay, previewReplay } from '../../src/outbox/replay/replay.ts';
import { stepReplay } from '../../src/outbox/replay/replay-step.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import type { Claimant, ClaimedDelivery } from '../../src/outbox/types.ts';
import { deleteWebhook, type NewWebhook } from '../../src/outbox/webhook/webhook-registry.ts';
import { servers } from '../support/server.ts';
import {
  addWebhook,
  claimant,
  delivered,
  emptyTables,
  eventOf,
  failed,
  muchRoom,
  openTestAppender,
  openTestStore,
  readQueue,
  type TestAppender,
  type TestStore,
} from './support.ts';

const always = { sinceMs: 0, untilMs: Date.parse('2100-01-01T00:00:00Z') };
const who = { requestedBy: 'ana', reason: 'the receiver lost them', ratePerSecond: null };

describe.each(servers)('sending again, on %s', (variant) => {
  let test: TestStore;
  let webhookId: number;
  let me: Claimant;
  let outbox: TestAppender;

  beforeAll(async () => {
    test = await openTestStore(variant);
  });
  afterAll(() => test.close());

  async function begin(webhook: Partial<NewWebhook> = {}): Promise<void> {
    await emptyTables(test);
    webhookId = await addWebhook(test.vault, webhook);
    me = claimant(test.store);
    outbox = await openTestAppender(me, test.vault);
  }
  beforeEach(() => begin());

  const claimAll = async (): Promise<ClaimedDelivery[]> =>
    (await claim(me, [{ webhookId, room: 1_000 }])).deliveries;
  const deliverFresh = async (...names: string[]): Promise<void> => {
    const { fresh } = await outbox.append(
      names.map((name) => eventOf(name, { key: name })),
      { room: muchRoom },
    );
    await settle(me, fresh.map(delivered));
  };
  /** Delivers all that is due until nothing is, and gives the ids in the order in which they went. */
  async function drain(): Promise<number[]> {
    const order: number[] = [];
    for (;;) {
      const claimed = await claimAll();
      if (claimed.length === 0) return order;
      order.push(...claimed.map(({ id }) => id));
      await settle(me, claimed.map(delivered));
    }
  }
  const statusOf = async (id: number): Promise<unknown> =>
    (await test.schema.query('SELECT status FROM webhook_deliveries WHERE id = ?', [id]))[0]?.['status'];

  describe('one delivery', () => {
    it('keeps id and body, counts its attempts on, and has the whole schedule before it', async () => {
      const { fresh } = await outbox.append([eventOf('a')], { room: muchRoom });
      await settle(me, [failed(fresh[0]!, { kind: 'exhausted' })]);
      expect(await retryDelivery(test.store, 1)).toBe('reopened');
      expect(await statusOf(1)).toBe('pending');
      const [again] = await claimAll();
      expect(again).toMatchObject({ id: 1, eventId: fresh[0]!.eventId, body: fresh[0]!.body, attempt: 1 });
      await settle(me, [delivered(again!)]);
      expect(await statusOf(1)).toBe('delivered');
      expect(await test.schema.query('SELECT number, outcome FROM attempts ORDER BY id')).toEqual([
        { number: 1, outcome: 'failed' },
        { number: 2, outcome: 'delivered' },
      ]);
    });

    it('makes a retry due now, and leaves what is under way alone', async () => {
      const { fresh } = await outbox.append([eventOf('a1'), eventOf('a2')], {
        room: { total: 1, of: () => 1 },
      });
      expect(await retryDelivery(test.store, 1)).toBe('unchanged');
      expect(await retryDelivery(test.store, 2)).toBe('unchanged');
      await settle(me, [failed(fresh[0]!, { kind: 'retry', delayMs: 3_600_000 })]);
      expect(await claimAll()).toEqual([]);
      expect(await retryDelivery(test.store, 1)).toBe('due');
      expect(await claimAll()).toMatchObject([{ id: 1, attempt: 2 }]);
    });

    it('writes what goes with it in the same transaction', async () => {
      await deliverFresh('a');
      const refused = retryDelivery(test.store, 1, () => Promise.reject(new Error('the audit log is full')));
      await expect(refused).rejects.toThrow('the audit log is full');
      expect(await statusOf(1)).toBe('delivered');
      expect(await readQueue(test.store)).toEqual([]);
    });

    it('is refused without its webhook, its payload or itself', async () => {
      await deliverFresh('a');
      await expect(retryDelivery(test.store, 7)).rejects.toThrow('there is no delivery 7');
      await test.schema.query('UPDATE event_log SET body = NULL');
      await expect(retryDelivery(test.store, 1)).rejects.toThrow('has been removed');
      await deleteWebhook(test.store, webhookId);
      await expect(retryDelivery(test.store, 1)).rejects.toThrow('has been deleted');
    });
  });

  describe('order in the lane of an older delivery that is opened again', () => {
    /** Lane a: 1 has ended, and is opened again while 2 and 3 are claimed and 4 waits. */
    async function reopenBehind(): Promise<ClaimedDelivery[]> {
      const { fresh } = await outbox.append([eventOf('a1')], { room: muchRoom });
      await settle(me, fresh.map(delivered));
      const later = await outbox.append([eventOf('a2'), eventOf('a3'), eventOf('a4')], {
        room: { total: 2, of: () => 2 },
      });
      await retryDelivery(test.store, 1);
      expect(await readQueue(test.store)).toEqual(['1:waiting', '2:sending', '3:sending', '4:waiting']);
      return later.fresh;
    }

    it('waits for what is being sent, then goes before what waits', async () => {
      const [two, three] = await reopenBehind();
      expect(await settle(me, [delivered(two!)])).toMatchObject({ promoted: 0 });
      expect(await settle(me, [delivered(three!)])).toMatchObject({ promoted: 1 });
      expect(await readQueue(test.store)).toEqual(['1:pending', '4:waiting']);
      expect(await drain()).toEqual([1, 4]);
    });

    it('waits as well when what follows is handed back, or comes back for its retry', async () => {
      const [two, three] = await reopenBehind();
      await release(me, [three!]);
      expect(await readQueue(test.store)).toEqual(['1:waiting', '2:sending', '3:waiting', '4:waiting']);
      await settle(me, [failed(two!, { kind: 'retry', delayMs: 0 })]);
      expect(await readQueue(test.store)).toEqual(['1:waiting', '2:pending', '3:waiting', '4:waiting']);
      expect(await drain()).toEqual([2, 1, 3, 4]);
    });
  });

  describe('a replay', () => {
    it('sends what was sent, in order, skips what is under way and makes what never was', async () => {
      await deliverFresh('a', 'b');
      await outbox.append([eventOf('c', { key: 'c' })]);
      const late = await addWebhook(test.vault);
      outbox = await openTestAppender(me, test.vault);
      expect(await previewReplay(test.store, { webhookId, ...always }, outbox.webhooks)).toEqual({
        total: 3,
        byType: [{ type: 'appointment.confirmed', count: 3 }],
      });
      for (const id of [webhookId, late]) {
        const { id: replay, total } = await createReplay(
          test.store,
          { webhookId: id, ...always, ...who },
          outbox.webhooks,
        );
        expect(total).toBe(3);
        expect(await stepReplay(test.vault, replay, { webhooks: outbox.webhooks })).toMatchObject({
          waitMs: null,
        });
        expect(await getReplay(test.store, replay)).toMatchObject({
          state: 'done',
          queued: id === late ? 3 : 2,
          requestedBy: 'ana',
        });
      }
      expect(await drain()).toEqual([1, 2, 3]);
      const made = (await claim(me, [{ webhookId: late, room: 9 }])).deliveries;
      expect(made.map(({ eventId }) => eventId)).toEqual(['a', 'b', 'c'].map((name) => eventOf(name).id));
      expect(made.map(({ body }) => body)).toEqual(
        ['a', 'b', 'c'].map((name) => eventOf(name, { key: name }).body),
      );
    });

    it('keeps the order of a lane where some were sent and others never', async () => {
      await deliverFresh('x');
      await outbox.append([eventOf('a1'), eventOf('a2'), eventOf('a3')]);
      await drain();
      await test.schema.query('DELETE FROM delivery_log WHERE id IN (2, 4)');
      const { id } = await createReplay(
        test.store,
        { webhookId, ...always, ...who, entity: { table: 'appointments', key: '1' } },
        outbox.webhooks,
      );
      await stepReplay(test.vault, id, { webhooks: outbox.webhooks });
      expect(await drain()).toEqual([5, 3, 6]);
    });

    it('chooses by time, event and entity, by what the webhook wants, and by what was given up', async () => {
      await begin({ events: ['appointment.*'], filter: { appointment_id: ['1', '2'] } });
      const at = (iso: string) => Date.parse(iso);
      const events = [
        eventOf('early', { key: '1', occurredAtMs: at('2026-03-01T00:00:00Z') }),
        eventOf('one', { key: '1' }),
        eventOf('two', { key: '2', type: 'appointment.cancelled' }),
        eventOf('other', { key: '3' }),
        eventOf('unwanted', { key: '1', type: 'payment.received' }),
      ];
      const { fresh } = await outbox.append(events, { room: muchRoom });
      const [first, ...rest] = fresh;
      await settle(me, [failed(first!, { kind: 'exhausted' }), ...rest.map(delivered)]);
      const send = async (request: object): Promise<string[]> => {
        const { id } = await createReplay(
          test.store,
          { webhookId, ...always, ...who, ...request },
          outbox.webhooks,
        );
        await stepReplay(test.vault, id, { webhooks: outbox.webhooks });
        const seqs = await drain();
        return seqs.map((seq) => (events[seq - 1]!.data['note'] as string).split(' ')[0]!);
      };
      expect(await send({ exhaustedOnly: true })).toEqual(['early']);
      expect(await send({ exhaustedOnly: true })).toEqual([]);
      // A filter lets nothing new through that it would not have let through then.
      expect((await send({})).toSorted()).toEqual(['early', 'one', 'two']);
      expect(await send({ sinceMs: at('2026-03-07T00:00:00Z') })).toEqual(['one', 'two']);
      expect(await send({ untilMs: at('2026-03-07T00:00:00Z') })).toEqual(['early']);
      expect(await send({ events: ['appointment.cancelled', 'payment.*'] })).toEqual(['two']);
      expect(await send({ entity: { table: 'appointments', key: '2' } })).toEqual(['two']);
    });

    it('continues from where it was, no faster than its rate, with a short queue before new events', async () => {
      const names = Array.from({ length: 700 }, (_, index) => `e${index}`);
      await deliverFresh(...names);
      const { id } = await createReplay(
        test.store,
        { webhookId, ...always, ...who, ratePerSecond: 20 },
        outbox.webhooks,
      );
      expect(await stepReplay(test.vault, id, { webhooks: outbox.webhooks })).toEqual({
        queued: 20,
        waitMs: 1_000,
      });
      await test.schema.query('UPDATE replays SET rate_per_second = NULL');
      expect(
        await stepReplay({ ...test.vault, store: test.another() }, id, { webhooks: outbox.webhooks }),
      ).toEqual({
        queued: 500,
        waitMs: 0,
      });
      expect(await getReplay(test.store, id)).toMatchObject({ state: 'running', queued: 520, total: 700 });
      expect(await stepReplay(test.vault, id, { webhooks: outbox.webhooks })).toEqual({
        queued: 180,
        waitMs: null,
      });
      expect((await drain()).length).toBe(700);
    });

    it('ends when it is cancelled or its webhook deleted, and waits for one that is not loaded yet', async () => {
      await deliverFresh('a');
      const create = async () =>
        (await createReplay(test.store, { webhookId, ...always, ...who }, outbox.webhooks)).id;
      const cancelled = await create();
      expect(await cancelReplay(test.store, cancelled)).toBe(true);
      expect(await stepReplay(test.vault, cancelled, { webhooks: outbox.webhooks })).toEqual({
        queued: 0,
        waitMs: null,
      });
      const early = await create();
      expect(await stepReplay(test.vault, early, { webhooks: [] })).toEqual({ queued: 0, waitMs: 1_000 });
      await deleteWebhook(test.store, webhookId);
      expect(await stepReplay(test.vault, early, { webhooks: [] })).toEqual({ queued: 0, waitMs: null });
      expect(await getReplay(test.store, early)).toMatchObject({ state: 'cancelled', queued: 0 });
      await expect(createReplay(test.store, { webhookId: 99, ...always, ...who }, [])).rejects.toThrow(
        'no webhook 99',
      );
    });

    it('loses and doubles nothing beside capture and delivery', async () => {
      await deliverFresh(...Array.from({ length: 300 }, (_, index) => `r${index}`));
      const { id } = await createReplay(test.store, { webhookId, ...always, ...who }, outbox.webhooks);
      const replaying = (async () => {
        while (
          (await stepReplay({ ...test.vault, store: test.another() }, id, { webhooks: outbox.webhooks }))
            .waitMs !== null
        );
      })();
      const appending = (async () => {
        for (let index = 0; index < 100; index += 1) {
          // The same lanes as the replay's.
          await outbox.append([eventOf(`n${index}`, { key: `r${index}` })]);
        }
      })();
      const sent: number[] = [];
      const delivering = (async () => {
        while (sent.length < 400) sent.push(...(await drain()));
      })();
      await Promise.all([replaying, appending, delivering]);
      const ids = await test.schema.query('SELECT id FROM delivery_log ORDER BY id');
      expect(ids).toHaveLength(400);
      expect(sent.toSorted((a, b) => a - b)).toEqual(ids.map(({ id }) => id));
      expect(await readQueue(test.store)).toEqual([]);
    });
  });
});
