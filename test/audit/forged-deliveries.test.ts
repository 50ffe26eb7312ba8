import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { recordAlong } from '../../src/audit/act/record-along.ts';
import { isReplayExplained } from '../../src/audit/act/replay-acts.ts';
import { adoptBeforeSealing } from '../../src/audit/act/adopt.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { anchorText, privateKeyOf, readSealState, signText } from '../../src/db/proof/seal-key.ts';
import { queueStaged } from '../../src/outbox/append/staging.ts';
import { openGuardedWriter } from '../../src/outbox/append/guarded-writer.ts';
import { claim, type Claimed } from '../../src/outbox/queue/claim.ts';
import { retryDelivery } from '../../src/outbox/queue/reopen.ts';
import { createWebhook } from '../../src/outbox/webhook/webhook-registry.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { claimant, delivered } from '../outbox/support.ts';
import { flavours } from '../support/server.ts';
import { openFilledStore, type FilledStore } from './filled-store.ts';

/** Delivery 4 was never tried and is due; SQL adds or edits deliveries beside it. */
describe.each(flavours)('deliveries that SQL places, on %s', (flavour) => {
  let test: FilledStore;
  beforeAll(async () => {
    test = await openFilledStore(flavour);
  });
  afterAll(() => test.close());
  afterEach(() => test.restore());

  const send = async (): Promise<Claimed> => {
    const me = claimant(test.store);
    const claimed = await claim(
      me,
      [1, 2].map((webhookId) => ({ webhookId, room: 10 })),
    );
    await settle(me, claimed.deliveries.map(delivered));
    return claimed;
  };
  const queue = (id: number, seq: number, webhook = 1): string =>
    `INSERT INTO queue (delivery_id, webhook_id, event_seq, state, due_at, attempt, claimed_by)
       VALUES (${id}, ${webhook}, ${seq}, 'pending', UTC_TIMESTAMP(3), 0, '')`;
  const deliver = (id: number, seq: number, webhook: number, more = 'NULL'): string =>
    `INSERT INTO delivery_log (id, webhook_id, event_seq, mark) SELECT ${id}, ${webhook}, ${seq}, ${more};
     UPDATE checkpoint SET next_delivery_id = GREATEST(next_delivery_id, ${id + 1})`;
  const markOf = (id: number): string => `(SELECT mark FROM (SELECT * FROM delivery_log) o WHERE id = ${id})`;

  it.each<[string, string, number[], number[]]>([
    ['an old event to another webhook', `${deliver(9, 1, 2)}; ${queue(9, 1, 2)}`, [9], [4]],
    ['with the mark of another', `${deliver(9, 4, 2, markOf(4))}; ${queue(9, 4, 2)}`, [9], [4]],
    [
      'in the place of another',
      `UPDATE delivery_log SET webhook_id = 2 WHERE id = 4; UPDATE queue SET webhook_id = 2`,
      [4],
      [],
    ],
    [
      'with another event',
      `UPDATE delivery_log SET event_seq = 5 WHERE id = 5; UPDATE delivery_log SET event_seq = 9 WHERE id = 4; UPDATE event_log SET seq = 9 WHERE seq = 4; UPDATE queue SET event_seq = 9 WHERE delivery_id = 4`,
      [4],
      [],
    ],
    [
      'with another payload of the event',
      `UPDATE event_log SET body = REPLACE(body, 'event 4', 'event 7') WHERE seq = 4; UPDATE delivery_log SET payload = NULL WHERE id = 4`,
      [4],
      [],
    ],
    [
      'with another payload of its own',
      `UPDATE delivery_log SET payload = '{"event":"x"}' WHERE id = 4`,
      [4],
      [],
    ],
    ['without its mark', 'UPDATE delivery_log SET mark = NULL WHERE id = 4', [4], []],
  ])('sends none %s, names it, and sends the others', async (_what, sql, refused, sent) => {
    await test.schema.query(sql);
    const before = await verifyLog(test.vault);
    expect(before.ok).toBe(false);
    const claimed = await send();
    expect(claimed.refused).toEqual(refused);
    expect(claimed.deliveries.map(({ id }) => id)).toEqual(sent);
    const attempts = await test.schema.query(
      "SELECT delivery_id AS id, outcome FROM attempts WHERE reason = 'forged-delivery'",
    );
    expect(attempts).toEqual(refused.map((id) => ({ id, outcome: 'failed' })));
  });

  it('names what was refused once it is sealed', async () => {
    const act = { actor: { name: 'ana', role: 'admin' }, action: 'webhook.create' } as const;
    const url = 'https://other.example/hook';
    const { id } = await createWebhook(
      test.vault,
      { name: 'Other', url, events: ['x.y'] },
      recordAlong(test.vault.cipher, act),
    );
    expect(id).toBe(2);
    await test.schema.query(`${deliver(9, 1, 2)}; ${queue(9, 1, 2)}`);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { delivery: 9 } });
    await send();
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, refused: [9] });
  });

  it('sends an edited one again once its row is put back and a person retries it, and verifies then', async () => {
    await test.schema.query('CREATE TABLE backup AS SELECT * FROM delivery_log');
    await test.schema.query(`UPDATE delivery_log SET payload = '{"event":"x"}' WHERE id = 4`);
    expect(await send()).toMatchObject({ refused: [4], deliveries: [] });
    await test.schema.query(
      'UPDATE delivery_log d JOIN backup b USING (id) SET d.payload = b.payload WHERE id = 4; DROP TABLE backup',
    );
    expect(await retryDelivery(test.store, 4)).toBe('reopened');
    expect(await send()).toMatchObject({ refused: [], deliveries: [{ id: 4 }] });
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
  });

  it('sends none that a person sends again', async () => {
    await test.schema.query(
      `${deliver(9, 4, 1)}; UPDATE delivery_log SET status = 'exhausted' WHERE id = 9`
        .replace('SELECT 9, 1, 4', 'SELECT 9, 1, 2')
        .replace('INSERT INTO', 'DELETE FROM delivery_log WHERE id = 2; INSERT INTO'),
    );
    expect(await retryDelivery(test.store, 9)).toBe('reopened');
    expect(await send()).toMatchObject({ refused: [9], deliveries: [{ id: 4 }] });
  });

  it('sends none that it was made to put into the queue as the rest of a large transaction', async () => {
    await test.schema.query(
      `${deliver(9, 1, 2)}; UPDATE event_log SET staging = 0 WHERE seq = 1; UPDATE checkpoint SET unqueued_from = 9, unqueued_to = 10`,
    );
    const me = claimant(test.store);
    const [row] = await test.schema.query('SELECT fence FROM checkpoint');
    await queueStaged(me, await openGuardedWriter(test.store, row!['fence'] as number), []);
    expect(await send()).toMatchObject({ refused: [9], deliveries: [{ id: 4 }] });
  });

  it('sends what an earlier version placed, and nothing that SQL adds after it was taken over', async () => {
    const state = (await readSealState(test.store))!;
    const old = signText(privateKeyOf(state, test.vault.cipher), anchorText(state.anchor, 'old'));
    await test.schema.query('UPDATE seal_state SET anchor_signature = ?', [old]);
    await test.schema.query('UPDATE delivery_log SET mark = NULL');
    await adoptBeforeSealing(test.store, test.vault.cipher);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true });
    const next = (await readSealState(test.store))!;
    expect(next.anchor.signature).not.toBe(old);
    await test.schema.query(`${deliver(9, 1, 2)}; ${queue(9, 1, 2)}`);
    await adoptBeforeSealing(test.store, test.vault.cipher);
    expect(await send()).toMatchObject({ refused: [9], deliveries: [{ id: 4 }] });
  });

  it('carries out no replay that SQL made or changed', async () => {
    const { store, vault } = test;
    expect(await isReplayExplained(store, vault.cipher, 1)).toBe(true);
    await test.schema.query('UPDATE replays SET webhook_id = 2 WHERE id = 1');
    expect(await isReplayExplained(store, vault.cipher, 1)).toBe(false);
    await test.schema.query(
      "INSERT INTO replays (id, webhook_id, since, until, requested_by, reason, next_seq, last_seq, total) VALUES (7, 1, NOW(), NOW(), 'x', 'x', 1, 1, 1)",
    );
    expect(await isReplayExplained(store, vault.cipher, 7)).toBe(false);
  });
});
