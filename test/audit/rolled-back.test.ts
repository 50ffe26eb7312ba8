import { getTableName } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordAlong } from '../../src/audit/act/record-along.ts';
import { recordReplayEnd } from '../../src/audit/act/replay-acts.ts';
import type { Actor } from '../../src/audit/act/record-act.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { cancelReplay } from '../../src/outbox/replay/replay.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { withReceivers } from '../../src/outbox/webhook/receivers.ts';
import { updateWebhook } from '../../src/outbox/webhook/webhook-registry.ts';
import { claimant, delivered, eventOf, muchRoom, openTestAppender } from '../outbox/support.ts';
import { flavours } from '../support/server.ts';
import { copyTables, openFilledStore, tables, type FilledStore } from './filled-store.ts';

const ana: Actor = { name: 'ana', role: 'admin' };

/** Tables of which verify does not notice that an older copy was put back, and why it does no harm. */
const unnoticed: Readonly<Record<string, string>> = {
  installation: 'identity and cursors: what they allow is decided by acts',
  kept_payloads: 'retention proves the age of a payload before it removes it',
  clean_stop: 'where capture stopped: it counts while the checkpoint says the same',
  known_tables: 'what the log has shown of the tables: capture compares it with the log that it reads next',
  exhausted_deliveries: 'deliveries of which an event says that they were given up: only ones in the log',
  webhook_claims: 'which definitions the running daemons have: written anew at each sync',
  leases: 'which process works: the next lease replaces it',
  destroyed_keys: 'keys are destroyed again: the erasure that gave them up is an act',
  seal_state: 'the key and the signed beginning, which move with retention alone',
  seal_leaves: 'of version f84be48, written no more',
};

describe.each(flavours)('a table that was put back from an older copy, on %s', (flavour) => {
  let test: FilledStore;
  let toOld: (table: string) => Promise<void>;
  let toNew: (table: string) => Promise<void>;

  beforeAll(async () => {
    test = await openFilledStore(flavour);
    const { store, vault } = test;
    // The appender of the filled store has gone, and holds its lease.
    await store.run('DELETE FROM leases');
    toOld = await copyTables(test, 'old');
    await updateWebhook(
      vault,
      1,
      { url: 'https://pagos.example/v2' },
      recordAlong(vault.cipher, { actor: ana, action: 'webhook.update' }),
    );
    const me = claimant(store);
    const outbox = await openTestAppender(me, vault);
    const [webhook] = await withReceivers(store, outbox.webhooks);
    const { fresh } = await outbox.append([eventOf('event 6', { subject: '61', key: '6' })], {
      room: muchRoom,
    });
    await settle(me, [{ ...delivered(fresh[0]!), receiver: webhook!.receiver! }]);
    await outbox.append([eventOf('event 7', { subject: '61', key: '7' })]);
    await cancelReplay(store, 1, recordReplayEnd(vault.cipher, ana));
    while (await sealOnce(vault));
    toNew = await copyTables(test, 'new');
    expect(await verifyLog(vault)).toMatchObject({ ok: true, flaw: null });
  });
  afterAll(() => test.close());

  it.each(tables.map(getTableName))('is noticed, or does no harm: %s', async (table) => {
    await toOld(table);
    const { ok } = await verifyLog(test.vault);
    await toNew(table);
    expect(ok).toBe(table in unnoticed);
  });
});
