import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { engine } from '../../src/audit/act/record-act.ts';
import { recordReplayEnd } from '../../src/audit/act/replay-acts.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { stepReplay } from '../../src/outbox/replay/replay-step.ts';
import { loadWebhooks } from '../../src/outbox/webhook/webhook-registry.ts';
import { flavours } from '../support/server.ts';
import { openFilledStore, type FilledStore } from './filled-store.ts';

describe.each(flavours)('the end of a replay, on %s', (flavour) => {
  let test: FilledStore;

  beforeAll(async () => {
    test = await openFilledStore(flavour);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await test.restore();
    const { webhooks } = await loadWebhooks(test.vault);
    const onEnd = recordReplayEnd(test.vault.cipher, engine);
    for (let waitMs: number | null = 0; waitMs !== null;)
      ({ waitMs } = await stepReplay(test.vault, 1, { webhooks, onEnd }));
    while (await sealOnce(test.vault));
  });

  it('is an act with the row as it was left, and explains what it opened again', async () => {
    const [act] = await test.store.rows<{ details: string }>(
      "SELECT details FROM audit_log WHERE action = 'replay.end'",
    );
    const [replay] = await test.store.rows<{ queued: number }>('SELECT queued FROM replays');
    expect(replay!.queued).toBeGreaterThan(0);
    expect(JSON.parse(act!.details)).toMatchObject({ row: { state: 'done', queued: replay!.queued } });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, flaw: null });
  });

  it.each([
    ['state', "'cancelled'"],
    ['state', "'running'"],
    ['queued', '99'],
    ['finished_at', "'2020-01-01'"],
    ['finished_at', 'NULL'],
  ])('proves %s afterwards, against %s', async (column, value) => {
    await test.schema.query(`UPDATE replays SET ${column} = ${value}`);
    const { ok, flaw } = await verifyLog(test.vault);
    expect({ ok, ...flaw }).toMatchObject({ ok: false, kind: 'unexplained', fields: [column] });
  });

  it('is missed when only the row says it', async () => {
    await test.schema.query("DELETE FROM audit_log WHERE action = 'replay.end'");
    expect(await verifyLog(test.vault)).toMatchObject({
      ok: false,
      flaw: { kind: 'deleted', log: 'audit_log' },
    });
  });
});
