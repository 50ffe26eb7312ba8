import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { listActs } from '../../src/audit/act/acts.ts';
import { adoptBeforeSealing } from '../../src/audit/act/adopt.ts';
import { beginAnew } from '../../src/audit/act/begin-anew.ts';
import { recordAct, type Actor } from '../../src/audit/act/record-act.ts';
import { sealedErasures } from '../../src/audit/act/sealed-erasures.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { inspectSealedLog } from '../../src/daemon/check/inspect-sealed-log.ts';
import { openAppender } from '../../src/outbox/append/append.ts';
import { claimant } from '../outbox/support.ts';
import { flavours } from '../support/server.ts';
import { openFilledStore, type FilledStore } from './filled-store.ts';

const ana: Actor = { name: 'ana', role: 'admin' };
const broken = { code: 'ERR_AUDIT' };
const noKey = 'DELETE FROM seal_state';
const noSeals = `DELETE FROM seals; DELETE FROM seal_packs; DELETE FROM seal_leaves`;
const noSealsSaid = `${noSeals}; UPDATE seal_state SET progress = JSON_SET(progress, '$.seals', 0)`;
const noMarks = 'UPDATE attempts SET mark = NULL; UPDATE audit_log SET mark = NULL';

/** What a store has once it had a signing key: any of them is enough. */
const traces: Readonly<Record<string, string>> = {
  audit_log: "INSERT INTO audit_log (actor, role, action) VALUES ('x', 'engine', 'x')",
  attempts:
    "INSERT INTO attempts (delivery_id, number, started_at, duration_ms, outcome) VALUES (1, 1, NOW(), 1, 'lost')",
  delivery_log: 'INSERT INTO delivery_log (id, webhook_id, event_seq) VALUES (1, 1, 1)',
  event_log:
    "INSERT INTO event_log (seq, id, type, entity_table, entity_key, transaction_id, occurred_at) VALUES (1, 'evt_1', 'a.b', 'a', '1', 't', NOW())",
  replays:
    "INSERT INTO replays (webhook_id, since, until, requested_by, reason, next_seq, last_seq, total) VALUES (1, NOW(), NOW(), 'x', 'x', 1, 1, 1)",
  destroyed_keys: `INSERT INTO destroyed_keys (key_file, slot) VALUES (REPEAT('a', 16), REPEAT('b', 16))`,
  'the place in the binlog': "UPDATE checkpoint SET lineage = 'x'",
  'the next event': 'UPDATE checkpoint SET next_event_seq = 2',
  'the next delivery': 'UPDATE checkpoint SET next_delivery_id = 2',
};

describe.each(flavours)('a store whose log was taken away by SQL, on %s', (flavour) => {
  let test: FilledStore;
  beforeAll(async () => {
    test = await openFilledStore(flavour);
  });
  afterAll(() => test.close());
  afterEach(() => test.restore());

  const config = {
    audit: { sealIntervalMs: 10_000, key: null },
    store: { encryptionKeys: [], keyFile: null },
  };

  it.each([
    ['the key', noKey],
    ['the key and the seals', `${noKey}; ${noSeals}`],
    ['the key, the seals and the marks', `${noKey}; ${noSeals}; ${noMarks}`],
    [
      'the key, the seals, the marks and the replays',
      `${noKey}; ${noSeals}; ${noMarks}; DELETE FROM replays`,
    ],
    ['the seals', noSeals],
    ['the seals without a trace', noSealsSaid],
    ['the seals and the marks', `${noSealsSaid}; ${noMarks}`],
  ])('makes no new beginning without %s, and every look at it fails', async (_what, sql) => {
    await test.schema.query(sql);
    const before = await test.schema.query('SELECT public_key FROM seal_state');
    const { store, vault } = test;
    await expect(sealOnce(vault)).rejects.toMatchObject(broken);
    if (before.length === 0) {
      await expect(adoptBeforeSealing(store, vault.cipher)).rejects.toMatchObject(broken);
      const appender = { fence: 1, webhooks: [], onDue: () => undefined, onError: () => undefined };
      await expect(openAppender(claimant(store), appender)).rejects.toMatchObject(broken);
      const act = { actor: ana, action: 'delivery.read' };
      await expect(recordAct(store, vault.cipher, act)).rejects.toMatchObject(broken);
    }
    expect(await verifyLog(vault)).toMatchObject({ ok: false, flaw: { kind: 'truncated' } });
    expect(await inspectSealedLog(store, config)).toMatchObject({
      level: 'fail',
      remedy: expect.stringContaining('audit begin-anew --reason'),
    });
    expect(await test.schema.query('SELECT public_key FROM seal_state')).toEqual(before);
    expect(await test.schema.query('SELECT number FROM seals WHERE version = 2 AND number > 50')).toEqual([]);
  });

  it.each(Object.entries(traces))('makes no key where %s is all that is left', async (_what, sql) => {
    for (const table of ['audit_log', 'attempts', 'delivery_log', 'event_log', 'replays', 'destroyed_keys'])
      await test.schema.query(`DELETE FROM ${table}`);
    await test.schema.query(
      `${noKey}; ${noSeals}; DELETE FROM checkpoint; INSERT INTO checkpoint (id) VALUES (1)`,
    );
    await test.schema.query(sql);
    await expect(sealOnce(test.vault)).rejects.toMatchObject(broken);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'truncated' } });
  });

  it('begins anew on record, verifies from then on, and finds what SQL does next', async () => {
    await test.schema.query(`${noKey}; ${noSeals}`);
    const begun = await beginAnew(test.vault, { actor: ana, reason: 'no backup' });
    expect(begun).toMatchObject({ lost: 'its signing key is missing', events: 5, replays: 1 });
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, flaw: null });
    const { items } = await listActs(test.store, { action: 'audit.begin-anew' }, { limit: 5 });
    expect(items).toMatchObject([
      { actor: 'ana', details: { reason: 'no backup', taken_over: { attempts: 3 } } },
    ]);
    await expect(beginAnew(test.vault, { actor: ana, reason: 'again' })).rejects.toMatchObject({
      code: 'ERR_USAGE',
    });
    await test.schema.query("UPDATE attempts SET outcome = 'failed', reason = 'dns' WHERE id = 1");
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'edited', entryId: 1 } });
  });

  it('takes over no row that SQL adds after the new beginning', async () => {
    await test.schema.query(`${noKey}; ${noSeals}`);
    await beginAnew(test.vault, { actor: ana, reason: 'no backup' });
    await test.schema.query(
      "INSERT INTO attempts (delivery_id, number, started_at, duration_ms, outcome) VALUES (4, 1, NOW(), 1, 'lost')",
    );
    await expect(sealOnce(test.vault)).rejects.toMatchObject(broken);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'forged' } });
  });

  it('destroys no key on the word of an erasure of the lost log', async () => {
    await test.schema.query(
      `INSERT INTO destroyed_keys (key_file, slot) VALUES ('aaaaaaaaaaaaaaaa', 'bbbbbbbbbbbbbbbb');
       INSERT INTO audit_log (actor, role, action, target, details)
         VALUES ('x', 'admin', 'patient.erase', '45', '{"last_event": 0, "keys": [{"file": "aaaaaaaaaaaaaaaa", "slot": "bbbbbbbbbbbbbbbb"}]}');
       ${noKey}; ${noSeals}`,
    );
    const keyFile = { id: 'aaaaaaaaaaaaaaaa', has: () => true };
    const cipher = {
      ...test.vault.cipher,
      forPatients: { ...test.vault.cipher.forPatients, keyFile },
    } as never;
    await beginAnew({ store: test.store, cipher }, { actor: ana, reason: 'no backup' });
    while (await sealOnce(test.vault));
    const named = await sealedErasures(test.vault)(test.store, ['bbbbbbbbbbbbbbbb']);
    expect([...named]).toEqual([]);
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'unexplained' } });
  });
});
