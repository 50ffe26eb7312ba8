import { findLoggedWebhook } from '../../src/outbox/webhook/find-logged-webhook.ts';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { clearCipher, createCipher } from '../../src/crypto/cipher.ts';
import { appendSystemEvent } from '../../src/outbox/append/append-system-event.ts';
import { claim } from '../../src/outbox/queue/claim.ts';
import { createRouter } from '../../src/outbox/append/fan-out.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import type { Claimant } from '../../src/outbox/types.ts';
import {
  createWebhook,
  deleteWebhook,
  findWebhookId,
  listWebhooks,
  loadWebhooks,
  reencryptSecrets,
  rotateSecret,
  updateWebhook,
} from '../../src/outbox/webhook/webhook-registry.ts';
import { webhookJson } from '../../src/outbox/webhook/webhook-json.ts';
import { disableByEngine, enableWebhook, findLongFailing } from '../../src/outbox/webhook/webhook-state.ts';
import { testSecret } from '../support/receiver.ts';
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
  type TestStore,
} from './support.ts';

const hour = 3_600_000;

describe.each(servers)('webhooks on %s', (variant) => {
  let test: TestStore;
  let me: Claimant;

  beforeAll(async () => {
    test = await openTestStore(variant);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await emptyTables(test);
    me = claimant(test.store);
  });

  it('have names that are unique without regard to case, and shows where SQL gave one twice', async () => {
    const id = await addWebhook(test.vault, { name: 'Pagos' });
    const other = await addWebhook(test.vault, { name: 'Citas' });
    const conflict = { code: 'ERR_CONFLICT', message: `webhook ${id} is named "Pagos"` };
    const input = { name: 'PAGOS', url: 'https://pagos.example/hook', events: ['*'] };
    await expect(createWebhook(test.vault, input)).rejects.toMatchObject(conflict);
    await expect(updateWebhook(test.vault, other, { name: 'pagos' })).rejects.toMatchObject(conflict);
    await updateWebhook(test.vault, id, { name: 'pagos' });
    await updateWebhook(test.vault, id, { name: 'Pagos' });
    expect(await findWebhookId(test.store, 'pAgos')).toBe(id);
    await test.schema.query('UPDATE webhooks SET name = ? WHERE id = ?', ['PAGOS', other]);
    expect((await listWebhooks(test.vault)).map(({ problems }) => problems)).toEqual([
      [`name is also that of webhook ${other}: rename one`],
      [`name is also that of webhook ${id}: rename one`],
    ]);
    const { webhooks, problems } = await loadWebhooks(test.vault);
    expect([problems.length, ...webhooks.map(({ standing }) => standing)]).toEqual([2, 'active', 'active']);
    expect(await findWebhookId(test.store, 'PAGOS')).toBe(other);
    await expect(findWebhookId(test.store, 'pagos')).rejects.toMatchObject({ code: 'ERR_USAGE' });
  });

  it('takes digits for an id first, and else for a name that a store has from before', async () => {
    const id = await addWebhook(test.vault, { name: 'one' });
    const other = await addWebhook(test.vault, { name: 'other' });
    await test.schema.query('UPDATE webhooks SET name = ? WHERE id = ?', [String(id), other]);
    expect(await findWebhookId(test.store, String(id))).toBe(id);
    expect(await findLoggedWebhook(test.store, String(id))).toBe(id);
    await test.schema.query("UPDATE webhooks SET name = '998877' WHERE id = ?", [other]);
    expect(await findWebhookId(test.store, '998877')).toBe(other);
    expect((await listWebhooks(test.vault)).map(({ problems }) => problems)).toEqual([[], []]);
  });

  it('a list is filtered by the id of a webhook that was deleted, and not by one that never was', async () => {
    const id = await addWebhook(test.vault, { name: '4711' });
    expect(await findLoggedWebhook(test.store, '4711')).toBe(id);
    await deleteWebhook(test.store, id);
    expect(await findLoggedWebhook(test.store, String(id))).toBe(id);
    for (const never of ['4711', '0', '99999999999999999999', 'nowhere'])
      await expect(findLoggedWebhook(test.store, never)).rejects.toMatchObject({
        code: 'ERR_NOT_FOUND',
        message: `there is no webhook ${never}`,
      });
  });

  it('finds webhooks that have had no success for so long and still fail, rare as their traffic may be', async () => {
    const webhookId = await addWebhook(test.vault, { name: 'dead' });
    const { append } = await openTestAppender(me, test.vault);
    const found = async () => (await findLongFailing(test.store, hour)).map(({ name }) => name);
    const age = (column: string) =>
      test.schema.query(
        `UPDATE webhooks SET ${column} = ${column} - INTERVAL 2 HOUR, updated_at = updated_at - INTERVAL 2 HOUR`,
      );
    const { fresh } = await append([eventOf('a')], { room: muchRoom });
    await settle(me, [failed(fresh[0]!, { kind: 'retry', delayMs: hour })]);
    expect(await found()).toEqual([]);
    await age('failing_since');
    expect(await found()).toEqual(['dead']);
    // Nothing to send since it failed: whether it still fails is unknown.
    const [again] = await claimNow(webhookId);
    await settle(me, [failed(again!, { kind: 'exhausted' })]);
    expect(await found()).toEqual([]);
    const next = await append([eventOf('b')], { room: muchRoom });
    await settle(me, [failed(next.fresh[0]!, { kind: 'retry', delayMs: hour })]);
    expect(await found()).toEqual(['dead']);
    await test.schema.query("UPDATE webhooks SET name = 'edited'");
    expect(await found()).toEqual([]);
    await age('created_at');
    expect(await found()).toEqual(['edited']);
    const [last] = await claimNow(webhookId);
    await settle(me, [delivered(last!)]);
    expect(await found()).toEqual([]);
  });

  async function claimNow(webhookId: number) {
    await test.schema.query("UPDATE queue SET due_at = UTC_TIMESTAMP(3) WHERE state = 'pending'");
    return (await claim(me, [{ webhookId, room: 9 }])).deliveries;
  }

  it('parks the events of one that the engine disabled, announces it once, and resumes in order', async () => {
    const webhookId = await addWebhook(test.vault, { events: ['*'] });
    const watcher = await addWebhook(test.vault, { events: ['webhook.disabled'] });
    const before = await openTestAppender(me, test.vault);
    const { fresh } = await before.append([eventOf('a1'), eventOf('a2')], {
      room: { total: 1, of: () => 1 },
    });
    await settle(me, [failed(fresh[0]!, { kind: 'retry', delayMs: hour })]);
    const disabled = eventOf('told', { type: 'webhook.disabled', key: String(webhookId) });
    const disable = () =>
      test.store.transaction(async (tx) => {
        if (!(await disableByEngine(tx, webhookId, 'failing'))) return 'was already';
        return appendSystemEvent(tx, disabled, { route: createRouter(before.webhooks), cipher: clearCipher });
      });
    expect(await disable()).toBe(1);
    expect(await disable()).toBe('was already');
    expect((await claim(me, [{ webhookId: watcher, room: 9 }])).deliveries).toMatchObject([
      { eventType: 'webhook.disabled', eventId: disabled.id, body: disabled.body },
    ]);

    const during = await openTestAppender(me, test.vault);
    expect(during.webhooks.find(({ id }) => id === webhookId)).toMatchObject({
      isActive: false,
      collects: true,
    });
    await during.append([eventOf('a3'), eventOf('b1', { key: 'b' })]);
    await enableWebhook(test.store, webhookId);
    const order: string[] = [];
    for (let claimed = await claimNow(webhookId); claimed.length > 0; claimed = await claimNow(webhookId)) {
      order.push(...claimed.map(({ eventId }) => eventId));
      await settle(me, claimed.map(delivered));
    }
    const lane = ['a1', 'a2', 'a3'].map((name) => eventOf(name).id);
    expect(order.filter((id) => lane.includes(id))).toEqual(lane);
    expect(order).toHaveLength(4);
    // The watcher's is still claimed.
    expect(await readQueue(test.store)).toHaveLength(1);
  });

  describe('a row that SQL made unusable', () => {
    const tooMany = JSON.stringify(Array.from({ length: 1_001 }, (_, n) => `no.event_${n}`));
    const unfit: [string, string, RegExp][] = [
      ['url', "'not a URL'", /^url /],
      ['url', "'ftp://receiver.example/'", /^url /],
      ['url', "''", /^url /],
      ['url', "'https://user:password@receiver.example/'", /^url /],
      ['events', "'[]'", /^events /],
      ['events', '\'{"a":1}\'', /^events /],
      ['events', "'[1]'", /^events /],
      ['events', `'${tooMany}'`, /^events .*1001/],
      ['filter', "'[1]'", /^filter /],
      ['filter', '\'{"amount":{"above":1}}\'', /^filter .*above/],
      ['fields', "'[]'", /^fields /],
      ['headers', '\'{"X-Key":1}\'', /^headers /],
      ['secret', "''", /^secret /],
      ['secret', "'enc:v1:0000:AAAA'", /^secret /],
      ['max_in_flight', '0', /^max_in_flight /],
      ['max_in_flight', '1001', /^max_in_flight /],
      ['timeout_ms', '0', /^timeout_ms /],
      ['rate_per_second', '-1', /^rate_per_second /],
      ['rate_per_second', '0', /^rate_per_second /],
    ];

    it.each(unfit)(
      '%s = %.40s is shown with its problem, waits, and stops no other row',
      async (column, value, problem) => {
        const bad = await addWebhook(test.vault, { name: 'bad' });
        const good = await addWebhook(test.vault, { name: 'good' });
        await test.schema.query(`UPDATE webhooks SET ${column} = ${value} WHERE id = ?`, [bad]);
        const { webhooks, problems } = await loadWebhooks(test.vault);
        expect(problems).toEqual([{ id: bad, name: 'bad', message: expect.stringMatching(problem) }]);
        expect(webhooks.find(({ id }) => id === bad)).toMatchObject({ isActive: false, standing: 'unfit' });
        expect(webhooks.find(({ id }) => id === good)).toMatchObject({ isActive: true, standing: 'active' });
        const listed = await listWebhooks(test.vault);
        expect(listed.map(({ name, standing }) => [name, standing])).toEqual([
          ['bad', 'unfit'],
          ['good', 'active'],
        ]);
        expect(listed[0]!.problems).toEqual([expect.stringMatching(problem)]);
      },
    );

    it('with JSON that cannot be read or a date that there is not is listed all the same', async () => {
      const bad = await addWebhook(test.vault, { name: 'bad' });
      await test.schema.query(
        `SET SESSION sql_mode = ''; UPDATE webhooks SET created_at = 0, failing_since = 0 WHERE id = ?`,
        [bad],
      );
      if (variant !== 'mysql') {
        await test.schema.query(
          `SET SESSION check_constraint_checks = 0; UPDATE webhooks SET events = '[oops', filter = '{' WHERE id = ?`,
          [bad],
        );
      }
      const [listed] = await listWebhooks(test.vault);
      expect(() => webhookJson(listed!)).not.toThrow();
      expect(listed!.problems.map((text) => text.split(' ')[0])).toEqual(
        variant === 'mysql' ? [] : ['events', 'filter'],
      );
    });

    it('queues its events where it says which, and says so where it does not', async () => {
      const bad = await addWebhook(test.vault, { name: 'bad' });
      const collects = async (change: string) => {
        await test.schema.query(`UPDATE webhooks SET ${change} WHERE id = ?`, [bad]);
        const { webhooks, problems } = await loadWebhooks(test.vault);
        return [webhooks[0]!.collects, problems[0]!.message.includes('not queued')];
      };
      expect(await collects("url = ''")).toEqual([true, false]);
      expect(await collects("url = 'https://receiver.example/', events = '[]'")).toEqual([false, true]);
      expect(await collects("events = '[\"*\"]', filter = '[]'")).toEqual([false, true]);
    });
  });

  describe('secrets at rest', () => {
    const boxOf = (...ids: string[]) => createCipher(ids.map((id) => ({ id, bytes: Buffer.alloc(32, id) })));
    const stored = async () =>
      (await test.schema.query('SELECT secret, previous_secret FROM webhooks ORDER BY id')).flatMap((row) =>
        Object.values(row).map((value) => (value as string | null)?.slice(0, 10) ?? null),
      );

    it('are sealed with the present key, former ones too, and sealed anew when the key changes', async () => {
      const { id } = await createWebhook(
        { store: test.store, cipher: clearCipher },
        { name: 'a', url: 'https://a.example/', events: ['*'] },
      );
      await rotateSecret({ store: test.store, cipher: clearCipher }, id, { overlapMs: hour });
      const { webhooks: clear } = await loadWebhooks({ store: test.store, cipher: clearCipher });
      const [edited] = await test.schema.query('SELECT updated_at FROM webhooks');
      expect(await reencryptSecrets({ store: test.store, cipher: clearCipher })).toBe(0);
      for (const cipher of [boxOf('k1'), boxOf('k2', 'k1')]) {
        expect(await reencryptSecrets({ store: test.store, cipher })).toBe(1);
        expect(await reencryptSecrets({ store: test.store, cipher })).toBe(0);
        expect(await stored()).toEqual([`enc:v1:${cipher.keyId!}:`, `enc:v1:${cipher.keyId!}:`]);
        expect((await loadWebhooks({ store: test.store, cipher })).webhooks).toEqual(clear);
      }
      expect(await test.schema.query('SELECT updated_at FROM webhooks')).toEqual([edited]);
    });

    it('that do not open stop the sending, never the queueing, and are left as they are', async () => {
      await createWebhook(
        { store: test.store, cipher: boxOf('k1') },
        { name: 'a', url: 'https://a.example/', events: ['*'] },
      );
      await addWebhook(test.vault, { name: 'b' });
      await addWebhook(test.vault, { name: 'c', secret: testSecret });
      await test.schema.query("UPDATE webhooks SET secret = IF(name = 'b', '', secret)");
      const before = await stored();
      const vault = { store: test.store, cipher: boxOf('k2') };
      expect(await reencryptSecrets(vault)).toBe(1);
      expect((await stored()).slice(0, 2)).toEqual(before.slice(0, 2));
      const { webhooks, problems } = await loadWebhooks(vault);
      expect(webhooks.map(({ name, isActive, collects }) => [name, isActive, collects])).toEqual([
        ['a', false, true],
        ['b', false, true],
        ['c', true, true],
      ]);
      expect(problems.map(({ name }) => name)).toEqual(['a', 'b']);
      const outbox = await openTestAppender(me, vault);
      expect(await outbox.append([eventOf('e')])).toMatchObject({ deliveries: 3 });
    });

    it('in another row, or changed, do not open', () => {
      const cipher = boxOf('k1');
      const sealed = cipher.encrypt(testSecret, 'webhook 1');
      expect(cipher.decrypt(sealed, 'webhook 1')).toBe(testSecret);
      expect(() => cipher.decrypt(sealed, 'webhook 2')).toThrow('cannot be decrypted');
      expect(() => cipher.decrypt(`${sealed.slice(0, -6)}AAAAA=`, 'webhook 1')).toThrow(
        'cannot be decrypted',
      );
    });
  });
});
