import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Actor } from '../../src/audit/act/record-act.ts';
import { recordAlong } from '../../src/audit/act/record-along.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { createWebhook } from '../../src/outbox/webhook/webhook-registry.ts';
import { enableWebhook } from '../../src/outbox/webhook/webhook-state.ts';
import {
  claimant,
  eventOf,
  failed,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';
import { flavours } from '../support/server.ts';

const ana: Actor = { name: 'ana', role: 'admin' };

describe.each(flavours)('a webhook whose only attempt failed, on %s', (flavour) => {
  let test: TestStore;
  let id: number;

  beforeAll(async () => {
    test = await openTestStore(flavour);
    const { store, vault } = test;
    const made = await createWebhook(
      vault,
      { name: 'Pagos', url: 'https://pagos.example/hook', events: ['*'] },
      recordAlong(vault.cipher, { actor: ana, action: 'webhook.create' }),
    );
    id = made.id;
    const me = claimant(store);
    const outbox = await openTestAppender(me, vault);
    const { fresh } = await outbox.append([eventOf('e1')], { room: muchRoom });
    await settle(me, [failed(fresh[0]!, { kind: 'retry', delayMs: 3_600_000 })]);
    while (await sealOnce(vault));
  });
  afterAll(() => test.close());

  it('is failing, which SQL cannot hide and a person can end', async () => {
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, flaw: null });
    await test.schema.query('UPDATE webhooks SET updated_at = updated_at, failing_since = NULL');
    expect(await verifyLog(test.vault)).toMatchObject({
      ok: false,
      flaw: { kind: 'edited', fields: ['failing_since'], message: expect.stringContaining('it is NULL') },
    });
    await enableWebhook(
      test.store,
      id,
      recordAlong(test.vault.cipher, { actor: ana, action: 'webhook.enable' }),
    );
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, flaw: null });
  });
});
