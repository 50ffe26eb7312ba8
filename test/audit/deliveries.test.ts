import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { countDeliveries, getDelivery, listAccess, listDeliveries } from '../../src/audit/deliveries.ts';
import { countErasable, erasePatient } from '../../src/audit/erase.ts';
import { claim } from '../../src/outbox/queue/claim.ts';
import { withReceivers } from '../../src/outbox/webhook/receivers.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import type { Claimant } from '../../src/outbox/types.ts';
import { loadWebhooks, updateWebhook } from '../../src/outbox/webhook/webhook-registry.ts';
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
} from '../outbox/support.ts';

describe.each(servers)('what was sent to whom, on %s', (variant) => {
  let test: TestStore;
  let me: Claimant;
  let outbox: TestAppender;
  let all: number;
  let some: number;

  beforeAll(async () => {
    test = await openTestStore(variant);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await emptyTables(test);
    all = await addWebhook(test.vault, { name: 'Todo', url: 'https://todo.example/hook' });
    some = await addWebhook(test.vault, { name: 'Notas', fields: ['note'], events: ['appointment.*'] });
    me = claimant(test.store);
    outbox = await openTestAppender(me, test.vault);
  });

  const ids = ({ items }: { items: readonly { id: number }[] }): number[] => items.map(({ id }) => id);

  it('pages through deliveries, newest first, while new ones arrive', async () => {
    await outbox.append(Array.from({ length: 5 }, (_, n) => eventOf(`e${n}`, { key: String(n) })));
    const first = await listDeliveries(test.store, {}, { limit: 4 });
    expect(ids(first)).toEqual([10, 9, 8, 7]);
    await outbox.append([eventOf('late', { key: '9' })]);
    const second = await listDeliveries(test.store, {}, { limit: 4, cursor: first.nextCursor! });
    expect(ids(second)).toEqual([6, 5, 4, 3]);
    const third = await listDeliveries(test.store, {}, { limit: 4, cursor: second.nextCursor! });
    expect(third).toMatchObject({ items: [{ id: 2 }, { id: 1 }], nextCursor: null });
  });

  it('filters by event, webhook, status, entity, patient and time', async () => {
    const { fresh } = await outbox.append(
      [
        eventOf('a', { key: '1', subject: '45' }),
        eventOf('b', { key: '2', type: 'payment.received', subject: '46' }),
        eventOf('c', { key: '3', occurredAtMs: Date.parse('2026-04-01T00:00:00Z') }),
      ],
      { room: { total: 2, of: () => 2 } },
    );
    await settle(me, [delivered(fresh[0]!), failed(fresh[1]!, { kind: 'exhausted' })]);
    const found = async (filter: Parameters<typeof listDeliveries>[1]): Promise<number[]> => {
      const page = await listDeliveries(test.store, filter, { limit: 10 });
      expect(await countDeliveries(test.store, filter)).toBe(page.items.length);
      return ids(page);
    };
    expect(await found({ status: 'failed' })).toEqual(await found({ status: 'exhausted' }));
    expect(await found({})).toEqual([5, 4, 3, 2, 1]);
    expect(await found({ event: 'payment.received' })).toEqual([3]);
    expect(await found({ event: 'appointment.*' })).toEqual([5, 4, 2, 1]);
    expect(await found({ event: 'appointment_*' })).toEqual([]);
    expect(await found({ webhookId: some })).toEqual([5, 2]);
    expect(await found({ status: 'delivered' })).toEqual([1]);
    expect(await found({ status: 'exhausted' })).toEqual([2]);
    expect(await found({ status: 'pending' })).toEqual([5, 4, 3]);
    expect(await found({ entity: { table: 'appointments', key: '3' } })).toEqual([5, 4]);
    expect(await found({ patient: '45' })).toEqual([2, 1]);
    expect(await found({ sinceMs: Date.parse('2026-04-01T00:00:00Z') })).toEqual([5, 4]);
    expect(await found({ untilMs: Date.parse('2026-04-01T00:00:00Z'), webhookId: all })).toEqual([3, 1]);
  });

  it('shows one with its payload and its attempts', async () => {
    const { fresh } = await outbox.append([eventOf('a', { subject: '45' })], { room: muchRoom });
    const receiverNow = async (): Promise<{ receiver: number }> => {
      const { webhooks } = await loadWebhooks(test.vault);
      const now = (await withReceivers(test.store, webhooks)).find(({ id }) => id === all);
      return { receiver: now!.receiver! };
    };
    const first = await receiverNow();
    await settle(me, [{ ...failed(fresh[0]!, { kind: 'retry', delayMs: 0 }), ...first }]);
    await updateWebhook(test.vault, all, { url: 'https://moved.example/hook' });
    const moved = await receiverNow();
    expect(await receiverNow()).toEqual(moved);
    const { deliveries } = await claim(me, [{ webhookId: all, room: 1 }]);
    await settle(me, [{ ...delivered(deliveries[0]!), ...moved }]);
    await updateWebhook(test.vault, all, { name: 'Todo', url: 'https://today.example/hook' });
    const sentTo = (host: string) => ({ name: 'Todo', url: `https://${host}.example/hook` });
    expect((await listAccess(test.vault, { patient: '45' }, { limit: 2 })).items).toMatchObject([
      { webhookId: some },
      { webhookUrl: 'https://moved.example/hook', receivers: [sentTo('moved'), sentTo('todo')] },
    ]);
    expect(await getDelivery(test.vault, fresh[0]!.id)).toMatchObject({
      webhookName: 'Todo',
      webhookUrl: 'https://moved.example/hook',
      status: 'delivered',
      patient: '45',
      payload: eventOf('a').body,
      responseBody: 'ok',
      retryCount: 1,
      attempts: [
        { number: 1, outcome: 'failed', reason: 'timeout', receiver: sentTo('todo') },
        { number: 2, outcome: 'delivered', responseStatus: 200, receiver: sentTo('moved') },
      ],
    });
    await expect(getDelivery(test.vault, 99)).rejects.toMatchObject({ code: 'ERR_NOT_FOUND' });
  });

  it('tells who received which fields of a patient, and what an erasure leaves of that', async () => {
    const { fresh } = await outbox.append(
      [
        eventOf('a', { key: '1', subject: '45' }),
        eventOf('b', { key: '1', subject: '45' }),
        eventOf('c', { key: '2', subject: '46' }),
      ],
      { room: { total: 2, of: () => 1 } },
    );
    expect(fresh.map(({ id, webhookId }) => [id, webhookId])).toEqual([
      [1, all],
      [2, some],
    ]);
    await settle(me, [delivered(fresh[0]!)]);
    const april = { sinceMs: Date.parse('2026-04-01T00:00:00Z') };
    expect((await listAccess(test.vault, { patient: '45', ...april }, { limit: 10 })).items).toEqual([]);
    const access = () => listAccess(test.vault, { patient: '45' }, { limit: 10 });
    expect(
      (await access()).items.map(({ id, webhookName, status, fields }) => [id, webhookName, status, fields]),
    ).toEqual([
      [4, 'Notas', 'waiting', ['note']],
      [3, 'Todo', 'pending', ['appointment_id', 'note']],
      [2, 'Notas', 'sending', ['note']],
      [1, 'Todo', 'delivered', ['appointment_id', 'note']],
    ]);

    expect(await countErasable(test.store, '45')).toBe(2);
    const actor = { name: 'ana', role: 'admin' } as const;
    expect(await erasePatient(test.vault, { patient: '45', reason: 'asked', actor })).toEqual({
      known: true,
      events: 2,
      ended: 2,
      beingSent: 1,
      keyFile: null,
    });
    expect(await countErasable(test.store, '45')).toBe(0);
    expect((await access()).items.map(({ id, status, fields }) => [id, status, fields])).toEqual([
      [4, 'exhausted', null],
      [3, 'exhausted', null],
      [2, 'sending', null],
      [1, 'delivered', null],
    ]);
    expect(await getDelivery(test.vault, 1)).toMatchObject({ payload: null, responseBody: null });
    const left = await test.schema.query('SELECT subject FROM event_log WHERE body IS NOT NULL');
    expect(left).toEqual([{ subject: '46' }]);
    // Its own retry finds nothing to send, and ends on record as well.
    await settle(me, [failed(fresh[1]!, { kind: 'retry', delayMs: 0 })]);
    expect((await claim(me, [{ webhookId: some, room: 9 }])).deliveries.map(({ id }) => id)).toEqual([6]);
    expect(await readQueue(test.store)).toEqual(['5:pending', '6:sending']);
    expect((await getDelivery(test.vault, 2)).attempts.map(({ reason }) => reason)).toEqual([
      'timeout',
      'no-payload',
    ]);
  });
});
