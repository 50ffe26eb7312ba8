import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { openMarker } from '../../src/db/proof/marks.ts';
import type { Store } from '../../src/db/connection/client.ts';
import { acquireLease } from '../../src/db/connection/lease.ts';
import { claim } from '../../src/outbox/queue/claim.ts';
import type { Halt } from '../../src/binlog/halt.ts';
import { moveCheckpoint, readCaptureState, recordHalt } from '../../src/outbox/checkpoint.ts';
import { StaleRoute } from '../../src/outbox/append/guarded-writer.ts';
import { loadWebhook } from '../../src/outbox/webhook/webhook-registry.ts';
import { disableByEngine, disableWebhook, enableWebhook } from '../../src/outbox/webhook/webhook-state.ts';
import { createRouter } from '../../src/outbox/append/fan-out.ts';
import { createFollowUp } from '../../src/outbox/queue/promote.ts';
import { retryDelivery } from '../../src/outbox/queue/reopen.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { servers } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  addWebhook,
  checkpointAt,
  claimant,
  delivered,
  emptyTables,
  eventOf,
  muchRoom,
  noRoom,
  openTestAppender,
  openTestStore,
  readQueue,
  type TestStore,
} from './support.ts';

describe.each(servers)('append on %s', (variant) => {
  let test: TestStore;

  beforeAll(async () => {
    test = await openTestStore(variant);
  });
  afterAll(() => test.close());
  beforeEach(() => emptyTables(test));

  it('writes events, deliveries and checkpoint, and hands out what it claimed, byte for byte', async () => {
    const webhookId = await addWebhook(test.vault);
    const me = claimant(test.store);
    const { append } = await openTestAppender(me, test.vault);
    const event = eventOf('a', { key: '45' });

    const { fresh, events, deliveries } = await append([event], { room: muchRoom, offset: 77 });

    expect({ events, deliveries }).toEqual({ events: 1, deliveries: 1 });
    expect(fresh).toMatchObject([
      {
        webhookId,
        eventId: event.id,
        eventType: event.type,
        body: event.body,
        attempt: 1,
        occurredAtMs: event.occurredAtMs,
      },
    ]);
    expect(await readQueue(test.store)).toEqual([`${fresh[0]!.id}:sending`]);
    expect((await readCaptureState(test.store)).checkpoint).toEqual(checkpointAt(77));
    const [row] = await test.schema.query('SELECT * FROM webhook_deliveries');
    expect(row).toMatchObject({
      webhook_id: webhookId,
      event_id: event.id,
      event_type: event.type,
      payload: event.body,
      status: 'sending',
      retry_count: 0,
      delivered_at: null,
      failed_at: null,
      occurred_at: '2026-03-07 15:30:00.123',
      claimed_by: me.owner,
    });
  });

  it('queues nothing for a webhook from the moment on at which a person disables it, whatever was routed before', async () => {
    const disabled = await addWebhook(test.vault, { name: 'disabled' });
    const other = await addWebhook(test.vault, { name: 'other' });
    const { append, appender } = await openTestAppender(claimant(test.store), test.vault);
    await append([eventOf('before')]);
    await disableWebhook(test.store, disabled);
    await expect(append([eventOf('after')])).rejects.toBeInstanceOf(StaleRoute);
    const staged = { id: 'tx', events: [eventOf('staged')] };
    const route = createRouter([{ ...(await loadWebhook(test.vault, disabled)), collects: true }]);
    await expect(appender.stage(staged, route)).rejects.toBeInstanceOf(StaleRoute);
    const rows = await test.store.rows<{ webhookId: number; events: number }>(
      'SELECT webhook_id AS webhookId, COUNT(*) AS events FROM delivery_log GROUP BY webhook_id ORDER BY webhook_id',
    );
    expect(rows).toEqual([disabled, other].map((webhookId) => ({ webhookId, events: 1 })));
    expect(await test.store.rows('SELECT seq FROM event_log')).toHaveLength(1);
    // The events of one that the engine has disabled are queued.
    await enableWebhook(test.store, disabled);
    await disableByEngine(test.store, disabled, 'failing');
    expect(await append([eventOf('after')])).toMatchObject({ events: 1, deliveries: 2 });
    await appender.close();
  });

  it('keeps whose data an event carries', async () => {
    const { append } = await openTestAppender(claimant(test.store), test.vault);
    await append([
      eventOf('a', { subject: '45' }),
      eventOf('b', { subject: 'ñandú 😷'.repeat(60) }),
      eventOf('c'),
    ]);
    const rows = await test.schema.query('SELECT subject FROM event_log ORDER BY seq');
    expect(rows[0]).toEqual({ subject: '45' });
    expect(String(rows[1]!['subject'])).toMatch(/^ñandú 😷.*#[0-9a-f]{64}$/);
    expect(rows[2]).toEqual({ subject: null });
  });

  it('claims no more than there is room for, and leaves the rest due for claiming', async () => {
    const one = await addWebhook(test.vault);
    const two = await addWebhook(test.vault);
    const me = claimant(test.store);
    const { append } = await openTestAppender(me, test.vault);
    const events = ['a', 'b', 'c'].map((name) => eventOf(name, { key: name }));

    const { fresh } = await append(events, { room: { total: 3, of: (id) => (id === one ? 2 : 9) } });
    expect(fresh.map(({ webhookId }) => webhookId)).toEqual([one, two, one]);

    const { deliveries } = await claim(me, [
      { webhookId: one, room: 10 },
      { webhookId: two, room: 10 },
    ]);
    expect(deliveries.map(({ webhookId }) => webhookId).sort()).toEqual([one, two, two]);
  });

  it('refuses copies without failing the batch and without doubling deliveries', async () => {
    await addWebhook(test.vault);
    const me = claimant(test.store);
    const { append } = await openTestAppender(me, test.vault);
    await append([eventOf('a'), eventOf('b')]);

    const again = await append([eventOf('b'), eventOf('c'), eventOf('c'), eventOf('a')], { offset: 9 });

    expect(again).toMatchObject({ events: 1, copies: 3, deliveries: 1 });
    const rows = await test.schema.query('SELECT event_id FROM webhook_deliveries ORDER BY id');
    expect(rows.map((row) => row['event_id'])).toEqual(['a', 'b', 'c'].map((name) => eventOf(name).id));
    expect((await readCaptureState(test.store)).checkpoint?.position.offset).toBe(9);
  });

  it('moves the checkpoint alone, and ends a halt by going on', async () => {
    const { appender } = await openTestAppender(claimant(test.store), test.vault);
    const halt: Halt = {
      reason: 'truncate',
      message: 'TRUNCATE of a watched table',
      remedy: 'resume',
      position: null,
      transactionId: null,
      table: 'clinic.patients',
      missing: null,
      span: { fromMs: null, untilMs: null },
    };
    const { epoch } = await readCaptureState(test.store);
    expect(await recordHalt(test.store, halt, epoch + 1)).toBe(false);
    expect((await readCaptureState(test.store)).halt).toBeNull();
    expect(await recordHalt(test.store, halt, epoch)).toBe(true);
    expect((await readCaptureState(test.store)).halt).toMatchObject({
      reason: 'truncate',
      table: 'clinic.patients',
    });

    await appender.advance(checkpointAt(4_500_000_000));

    expect(await readCaptureState(test.store)).toMatchObject({
      checkpoint: checkpointAt(4_500_000_000),
      halt: null,
    });
  });

  it('keeps what is sent to fewer fields, and only to whom the filter lets it', async () => {
    const narrow = await addWebhook(test.vault, { fields: ['appointment_id'] });
    await addWebhook(test.vault, { filter: { appointment_id: ['999'] } });
    const { append } = await openTestAppender(claimant(test.store), test.vault);

    const { fresh } = await append([eventOf('a', { key: '7' })], { room: muchRoom });

    expect(fresh.map(({ webhookId }) => webhookId)).toEqual([narrow]);
    expect(JSON.parse(fresh[0]!.body)).toMatchObject({ data: { appointment_id: '7' } });
    expect(fresh[0]!.body).not.toContain('note');
    const [row] = await test.schema.query('SELECT payload FROM webhook_deliveries');
    expect(row?.['payload']).toBe(fresh[0]!.body);
  });

  it('queues for a webhook that the engine disabled, not for one that a person did', async () => {
    const gone = await addWebhook(test.vault);
    const off = await addWebhook(test.vault, { isActive: false });
    await test.schema.query(`UPDATE webhooks SET is_active = 0, disabled_reason = 'gone' WHERE id = ${gone}`);
    const { append } = await openTestAppender(claimant(test.store), test.vault);
    await append([eventOf('a')]);
    const rows = await test.schema.query('SELECT webhook_id, status FROM webhook_deliveries');
    expect(rows).toEqual([{ webhook_id: gone, status: 'pending' }]);
    expect(off).not.toBe(gone);
  });

  it('claims a lane of one batch from its beginning, and lets later batches wait behind it', async () => {
    await addWebhook(test.vault);
    const { append } = await openTestAppender(claimant(test.store), test.vault);

    const first = await append(
      [
        eventOf('a1', { key: 'a' }),
        eventOf('b1', { key: 'b' }),
        eventOf('a2', { key: 'a' }),
        eventOf('a3', { key: 'a' }),
      ],
      {
        room: { total: 3, of: () => 3 },
      },
    );
    expect(first.fresh.map(({ eventId }) => eventId)).toEqual(
      ['a1', 'b1', 'a2'].map((name) => eventOf(name).id),
    );
    await append([eventOf('a4', { key: 'a' }), eventOf('c1', { key: 'c' })], { room: muchRoom });

    expect(await readQueue(test.store)).toEqual([
      '1:sending',
      '2:sending',
      '3:sending',
      '4:waiting',
      '5:waiting',
      '6:sending',
    ]);
  });

  it('waits behind a delivery that a person opened again, in a lane that it never saw', async () => {
    await addWebhook(test.vault);
    const me = claimant(test.store);
    const before = await openTestAppender(me, test.vault);
    const { fresh } = await before.append([eventOf('old', { key: '1' })], { room: muchRoom });
    await settle(me, fresh.map(delivered));
    // Opens with an empty queue, which its first append shows it.
    const { append } = await openTestAppender(me, test.vault);
    await append([eventOf('other', { key: '2' })]);

    expect(await retryDelivery(test.store, fresh[0]!.id)).toBe('reopened');
    await append([eventOf('third', { key: '3' })]);
    await append([eventOf('new', { key: '1' })], { offset: 9 });
    expect(await readQueue(test.store)).toEqual(['1:pending', '2:pending', '4:pending', '5:waiting']);
  });

  it('waits behind what the queue held when it took over, and no longer than that is there', async () => {
    await addWebhook(test.vault);
    const me = claimant(test.store);
    const before = await openTestAppender(me, test.vault);
    const { fresh } = await before.append([eventOf('a', { key: '1' })], { room: muchRoom });
    const { append, appender } = await openTestAppender(me, test.vault);
    await append([eventOf('b', { key: '1' })], { room: muchRoom });
    await appender.close();
    expect(await readQueue(test.store)).toEqual(['1:sending', '2:waiting']);

    await settle(me, fresh.map(delivered));
    await settle(
      me,
      (await claim(me, [{ webhookId: fresh[0]!.webhookId, room: 5 }])).deliveries.map(delivered),
    );
    await append([eventOf('c', { key: '1' })], { room: muchRoom, offset: 9 });
    expect(await readQueue(test.store)).toEqual(['3:sending']);
  });

  it('lets no delivery wait for another where the webhook says so', async () => {
    await addWebhook(test.vault, { order: 'none' });
    const { append } = await openTestAppender(claimant(test.store), test.vault);
    await append([eventOf('a')]);
    const { fresh } = await append([eventOf('b')], { room: muchRoom });
    expect(fresh).toMatchObject([{ lane: '' }]);
  });

  it('fails for good once another process has taken over, with nothing written', async () => {
    await addWebhook(test.vault);
    const old = await openTestAppender(claimant(test.store), test.vault);
    await old.append([eventOf('a')]);
    await test.schema.query('UPDATE leases SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND');
    const next = await openTestAppender(claimant(test.another()), test.vault);

    await expect(old.append([eventOf('b')], { offset: 50 })).rejects.toMatchObject({
      code: 'ERR_LEASE_LOST',
    });
    await expect(old.appender.advance(checkpointAt(51))).rejects.toMatchObject({ code: 'ERR_LEASE_LOST' });
    await expect(
      old.appender.stage({ id: 't', events: [eventOf('s')] }, createRouter([])),
    ).rejects.toMatchObject({
      code: 'ERR_LEASE_LOST',
    });
    expect((await readCaptureState(test.store)).checkpoint?.position.offset).toBe(1);
    await next.append([eventOf('b')], { offset: 60 });
    expect(await test.schema.query('SELECT COUNT(*) AS n FROM events')).toEqual([{ n: 2 }]);
  });

  it('fails once a person has moved the position', async () => {
    const { append } = await openTestAppender(claimant(test.store), test.vault);
    await append([eventOf('a')]);
    const marker = await openMarker(test.store, clearCipher);
    await moveCheckpoint(test.another(), checkpointAt(1_000), { marker, epoch: 0 });
    await expect(append([eventOf('b')])).rejects.toMatchObject({ code: 'ERR_LEASE_LOST' });
    expect(await readCaptureState(test.store)).toMatchObject({ epoch: 1, checkpoint: checkpointAt(1_000) });
  });

  it('writes a batch that is larger than a packet', async () => {
    await addWebhook(test.vault);
    const { append } = await openTestAppender(claimant(test.store), test.vault);
    const events = Array.from({ length: 12 }, (_, index) =>
      eventOf(`big${index}`, {
        key: String(index),
        body: JSON.stringify({ data: { notes: "'".repeat(700_000) } }),
      }),
    );
    const { fresh } = await append(events, { room: muchRoom });
    expect(fresh).toHaveLength(12);
    const [row] = await test.schema.query('SELECT COUNT(*) AS n, MIN(LENGTH(payload)) AS bytes FROM events');
    expect(row).toEqual({ n: 12, bytes: Buffer.byteLength(events[0]!.body) });
  });

  it('leaves nothing when its connection dies before the commit, and all of it can be written again', async () => {
    await addWebhook(test.vault);
    const { append } = await openTestAppender(claimant(test.store), test.vault);
    await append([eventOf('a')]);
    // Holds the checkpoint's row, so that the append is in the middle of its transaction when it is killed.
    const blocker = await test.schema.connect();
    await blocker.query('BEGIN');
    await blocker.query('SELECT * FROM delivery_log FOR UPDATE');
    await blocker.query('SELECT * FROM checkpoint FOR UPDATE');
    const outcome = append([eventOf('b'), eventOf('c')], { offset: 9 }).then(
      (appended) => appended.events,
      (error: unknown) => error,
    );
    await killWaiting(test);
    await blocker.query('COMMIT');
    expect(await outcome).toBeInstanceOf(Error);
    expect(await test.schema.query('SELECT COUNT(*) AS n FROM event_log')).toEqual([{ n: 1 }]);
    expect((await readCaptureState(test.store)).checkpoint?.position.offset).toBe(1);

    expect(await append([eventOf('b'), eventOf('c')], { offset: 9 })).toMatchObject({ events: 2, copies: 0 });
  });

  it('promotes a follower whose predecessor was settled at the same moment', async () => {
    const webhookId = await addWebhook(test.vault);
    const me = claimant(test.store);
    const { appender, append } = await openTestAppender(me, test.vault);
    const { fresh } = await append([eventOf('a')], { room: muchRoom });
    for (let round = 1; round <= 40; round += 1) {
      const present = round === 1 ? fresh : (await claim(me, [{ webhookId, room: 5 }])).deliveries;
      expect(present).toHaveLength(1);
      await Promise.all([
        settle(me, present.map(delivered)),
        append([eventOf(`next ${round}`)], { room: noRoom }),
      ]);
      await appender.close();
    }
    expect(await readQueue(test.store)).toHaveLength(1);
  });

  it('says so when a follower became due behind a predecessor that was being settled', async () => {
    await addWebhook(test.vault);
    let due = 0;
    const { appender, append } = await openTestAppender(claimant(test.store), test.vault, () => {
      due += 1;
    });
    const { fresh } = await append([eventOf('a')], { room: muchRoom });
    await test.store.transaction(async (tx) => {
      await tx.run('DELETE FROM queue WHERE delivery_id = ?', [fresh[0]!.id]);
      await append([eventOf('b')], { room: noRoom });
      expect(due).toBe(0);
    });
    await appender.close();
    expect(due).toBe(1);
  });

  it('looks once after the followers of appends that come closely one after the other', async () => {
    await addWebhook(test.vault);
    let asked = 0;
    let due = 0;
    const counted: Store = {
      ...test.store,
      rows(sql, values) {
        asked += 1;
        return test.store.rows(sql, values);
      },
    };
    const followUp = createFollowUp(counted, {
      onDue: () => (due += 1),
      onError(error) {
        throw error;
      },
    });
    const { appender, append } = await openTestAppender(claimant(test.store), test.vault);
    const { fresh } = await append([eventOf('a', { key: '1' }), eventOf('b', { key: '2' })], {
      room: muchRoom,
    });
    const behind = [eventOf('c', { key: '1' }), eventOf('d', { key: '2' })];
    for (const event of behind) await append([event], { room: noRoom });
    await appender.close();
    const lanes = await test.store.rows<{ lane: number }>('SELECT DISTINCT lane FROM queue');
    await test.store.run('DELETE FROM queue WHERE delivery_id IN (?)', [fresh.map(({ id }) => id)]);
    for (const { lane } of lanes) followUp.add(new Set([lane]));
    await followUp.close();
    expect({ asked, due }).toEqual({ asked: 3, due: 1 });
    expect(await readQueue(test.store)).toEqual(['3:pending', '4:pending']);
  });

  it('hands the lease over with a greater token each time', async () => {
    const request = { name: 'capture', ttlMs: 60_000 };
    const first = await acquireLease(test.store, { ...request, holder: 'a' });
    expect(await acquireLease(test.store, { ...request, holder: 'b' })).toBeNull();
    const again = await acquireLease(test.store, { ...request, holder: 'a' });
    expect(again!.token).toBeGreaterThan(first!.token);
  });
});

/** Kills the one connection of the store that waits for a lock. */
async function killWaiting({ schema }: TestStore): Promise<void> {
  const waiting = await waitFor(
    async () =>
      (await schema.sessions()).find(
        ({ db, info }) => db === schema.name && info?.startsWith('UPDATE checkpoint') === true,
      ),
    { what: 'the append to wait for the row of the checkpoint', everyMs: 1 },
  );
  await schema.query(`KILL ${waiting.id}`);
}
