import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { pruneKept, pruneLog, prunePayloads } from '../../src/outbox/prune.ts';
import { retryDelivery } from '../../src/outbox/queue/reopen.ts';
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
  openTestAppender,
  openTestStore,
  type TestStore,
} from './support.ts';

const day = 86_400_000;

describe.each(servers)('retention on %s', (variant) => {
  let test: TestStore;
  let me: Claimant;
  let fresh: ClaimedDelivery[];

  beforeAll(async () => {
    test = await openTestStore(variant);
  });
  afterAll(() => test.close());

  /** Six events to two webhooks, one of which wants some fields only; the first four are 100 days old. */
  beforeEach(async () => {
    await emptyTables(test);
    await addWebhook(test.vault);
    await addWebhook(test.vault, { fields: ['note'] });
    me = claimant(test.store);
    const outbox = await openTestAppender(me, test.vault);
    const events = Array.from({ length: 6 }, (_, index) => eventOf(`e${index}`, { key: String(index) }));
    ({ fresh } = await outbox.append(events, { room: muchRoom }));
    await test.schema.query('UPDATE event_log SET created_at = created_at - INTERVAL 100 DAY WHERE seq <= 4');
  });

  const rest = { olderThanMs: 90 * day, batch: 3 };
  const payloads = async (): Promise<number[]> =>
    (await test.schema.query('SELECT id FROM webhook_deliveries WHERE payload IS NOT NULL ORDER BY id')).map(
      ({ id }) => id as number,
    );
  const count = async (table: string): Promise<number> =>
    Number((await test.schema.query(`SELECT COUNT(*) AS n FROM ${table}`))[0]!['n']);

  it('removes payloads and answers in batches, and keeps the record of what was sent', async () => {
    await settle(me, fresh.map(delivered));
    const before = await test.schema.query(
      'SELECT id, event_id, event_type, entity_key, response_status, delivered_at, status FROM webhook_deliveries ORDER BY id',
    );
    expect(await prunePayloads(test.store, rest)).toBe(3);
    expect(await prunePayloads(test.store, rest)).toBe(1);
    expect(await prunePayloads(test.store, rest)).toBe(0);
    expect(await payloads()).toEqual([9, 10, 11, 12]);
    const kept = await test.schema.query(
      'SELECT COUNT(*) AS n FROM delivery_log WHERE payload IS NOT NULL OR response_body IS NOT NULL',
    );
    expect(kept).toEqual([{ n: 4 }]);
    expect(
      await test.schema.query(
        'SELECT id, event_id, event_type, entity_key, response_status, delivered_at, status FROM webhook_deliveries ORDER BY id',
      ),
    ).toEqual(before);
    expect(await count('attempts')).toBe(12);
  });

  it('keeps the payload of what is still owed, and comes back for it', async () => {
    const [first, ...others] = fresh;
    await settle(me, others.map(delivered));
    await settle(me, [failed(first!, { kind: 'retry', delayMs: day })]);
    while ((await prunePayloads(test.store, rest)) > 0);
    expect(await payloads()).toEqual([1, 2, 9, 10, 11, 12]);
    expect(await pruneKept(test.store)).toBe(0);
    await test.schema.query('UPDATE queue SET due_at = UTC_TIMESTAMP(3)');
    expect(await retryDelivery(test.store, 2)).toBe('reopened');
    await test.schema.query("UPDATE queue SET state = 'sending', attempt = attempt + 1, claimed_by = ?", [
      me.owner,
    ]);
    await settle(me, [delivered({ ...first!, attempt: 2 })]);
    expect(await pruneKept(test.store)).toBe(0);
    await settle(me, [delivered({ ...fresh[1]!, attempt: 1 })]);
    expect(await pruneKept(test.store)).toBe(1);
    expect(await payloads()).toEqual([9, 10, 11, 12]);
    expect(await count('kept_payloads')).toBe(0);
  });

  it('removes the oldest of the log in whole ranges, and stops before what is owed or whose attempts are kept', async () => {
    await settle(me, fresh.filter(({ id }) => id !== 5).map(delivered));
    await test.schema.query('DELETE FROM attempts WHERE delivery_id <= 2');
    expect(await pruneLog(test.store, rest)).toBe(1);
    await test.schema.query('DELETE FROM attempts WHERE delivery_id <= 8');
    expect(await pruneLog(test.store, rest)).toBe(1);
    expect(await pruneLog(test.store, rest)).toBe(0);
    expect(await test.schema.query('SELECT seq FROM event_log ORDER BY seq')).toEqual(
      [3, 4, 5, 6].map((seq) => ({ seq })),
    );
    await settle(me, fresh.filter(({ id }) => id === 5).map(delivered));
    await test.schema.query('DELETE FROM attempts WHERE delivery_id = 5');
    expect(await pruneLog(test.store, rest)).toBe(2);
    expect([await count('event_log'), await count('delivery_log')]).toEqual([2, 4]);
  });
});
