import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sealHash } from '../../src/audit/seal/chain.ts';
import { dropSeals } from '../../src/audit/seal/drop-seals.ts';
import { readHead } from '../../src/audit/seal/head.ts';
import { merkleRoot } from '../../src/audit/seal/merkle.ts';
import {
  actColumns,
  attemptColumns,
  attemptJoins,
  oldActLeaf,
  oldAttemptLeaf,
  oldPayloadHash,
  type ActEntry,
  type AttemptEntry,
} from '../../src/audit/verify/old-entry.ts';
import { recordAct, type Actor } from '../../src/audit/act/record-act.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { inspectSealedLog } from '../../src/daemon/check/inspect-sealed-log.ts';
import { HmacKey } from '../../src/crypto/sha256.ts';
import { Marker } from '../../src/db/proof/marks.ts';
import {
  anchorText,
  ensureSealState,
  noHash,
  privateKeyOf,
  readSealState,
  signText,
} from '../../src/db/proof/seal-key.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { ensureSalts } from '../../src/outbox/payload/subject-keys.ts';
import { flavours } from '../support/server.ts';
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
} from '../outbox/support.ts';

const ana: Actor = { name: 'ana', role: 'admin' };

describe('the rule of version f84be48', () => {
  it('makes the leaves that its program made', () => {
    const attempt: AttemptEntry = {
      ...{ id: 7, delivery: 9, number: 2, startedAt: '2026-03-07 15:30:00.123', durationMs: 12 },
      ...{ outcome: 'delivered', responseStatus: 200, reason: null, explanation: null, webhook: 1 },
      ...{ eventId: 'evt_0123456789abcdef0123456789abcdef', eventType: 'payment.received' },
      ...{ entityTable: 'payments', entityKey: '123', subject: '45', transactionId: 'tx-1' },
      ...{ occurredAt: '2026-03-07 15:30:00.000', eventSeq: 5, payload: null },
    };
    const payload = oldPayloadHash(
      '{"event":"payment.received","nota":"ñ"}',
      9,
      new HmacKey(Buffer.alloc(32, 1)),
    );
    const act: ActEntry = {
      ...{ id: 3, at: '2026-03-07 15:30:00.000', actor: 'ana', role: 'admin', action: 'webhook.update' },
      ...{ target: '1', details: '{"b": 1.5, "a": ["ñ", null]}' },
    };
    const seal = { version: 1, number: 3, sealedAt: '2026-03-07 15:30:10.000', entries: 2 };
    expect({
      payload: payload.toString('hex'),
      attempt: oldAttemptLeaf(attempt, payload).toString('hex'),
      act: oldActLeaf(act).toString('hex'),
      seal: sealHash({ ...seal, root: 'ab'.repeat(32), previousHash: noHash, progressHash: null }),
    }).toEqual({
      payload: '92bc5c7be3fc7c76162251fbda7d3a9b0bfc4e71a01198ac4fb50c70f0139544',
      attempt: '1566ebfca2299aeffb8c6d8b281433c935aac6191aefe261fa9400c833c224fb',
      act: '97405c5b3a8ebb5ad972a29b4a2b449ab4c854880e9caccc6177fc031088dd8d',
      seal: '3def198434b8d1ea62ce3e14506a8a5cb690941d9b72f22967e0182828f5e8ae',
    });
  });
});

describe('an attempt from before there were explanations', () => {
  it('keeps the mark and the leaf that it was given', () => {
    const values = [9, 2, '2026-03-07 15:30:00.123', 12, 'failed', null, 'dns'];
    const key = Buffer.alloc(32, 1);
    const marked = ['2026-03-07 15:30:00.135', 3, 1, 'evt_1', 'payment.received'];
    const mark = createHmac('sha256', key)
      .update(JSON.stringify(['attempt', ...values, ...marked]))
      .digest()
      .subarray(0, 16);
    const attempt = {
      ...{ delivery: 9, number: 2, startedAt: '2026-03-07 15:30:00.123', durationMs: 12 },
      ...{ outcome: 'failed', responseStatus: null, reason: 'dns', recordedAt: '2026-03-07 15:30:00.135' },
      ...{ receiver: 3, webhook: 1, eventId: 'evt_1', eventType: 'payment.received' },
    };
    const marker = new Marker(new HmacKey(key));
    expect(marker.isOfAttempt(mark, { ...attempt, explanation: null })).toBe(true);
    expect(marker.isOfAttempt(mark, { ...attempt, explanation: '' })).toBe(false);
  });
});

describe.each(flavours)('a store of version f84be48 on %s', (flavour) => {
  let test: TestStore;

  beforeAll(async () => {
    test = await openTestStore(flavour);
  });
  afterAll(() => test.close());
  beforeEach(async () => {
    await emptyTables(test);
    await fillOld(test);
  });

  it('is warned of by check until it is taken over', async () => {
    await test.schema.query('DELETE FROM leases');
    const config = {
      audit: { sealIntervalMs: 10_000, key: null },
      store: { encryptionKeys: [], keyFile: null },
    };
    expect(await inspectSealedLog(test.store, config)).toMatchObject({
      level: 'warn',
      detail: expect.stringContaining('Seal 1 is of version 1'),
      remedy: expect.stringContaining('odontology-webhooks run'),
    });
    while (await sealOnce(test.vault));
    const { detail } = await inspectSealedLog(test.store, config);
    expect(detail).toMatch(/^Up to date, .* after seal 2\./);
  });

  it('verifies as it is, and after it was taken over', async () => {
    const oldHead = (await readHead(test.store))!;
    expect(await verifyLog(test.vault, { head: oldHead })).toMatchObject({
      ok: true,
      entries: 3,
      unsealed: 1,
      headCompared: true,
    });
    while (await sealOnce(test.vault));
    const verified = await verifyLog(test.vault, { head: oldHead });
    expect(verified).toMatchObject({ ok: true, seals: 2, deliveries: 3, headCompared: true });
    expect(verified.entries).toBe(3 + 1 + 3 + 3 + 3);
    const [webhook] = await test.schema.query(
      "SELECT role, action FROM audit_log WHERE action LIKE 'webhook.%' AND mark IS NOT NULL",
    );
    expect(webhook).toEqual({ role: 'engine', action: 'webhook.adopt' });
  });

  it('is taken over once: SQL that takes the seals and the marks away later is found', async () => {
    while (await sealOnce(test.vault));
    await test.schema.query(
      `DELETE FROM seals; DELETE FROM seal_packs; DELETE FROM seal_leaves; UPDATE attempts SET mark = NULL;
       UPDATE audit_log SET mark = NULL; UPDATE seal_state SET progress = JSON_SET(progress, '$.seals', 0)`,
    );
    await expect(sealOnce(test.vault)).rejects.toMatchObject({ code: 'ERR_AUDIT' });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'truncated' } });
  });

  it('drops its seals when their time is over, and verifies before and after', async () => {
    while (await sealOnce(test.vault));
    const before = await verifyLog(test.vault);
    expect(before).toMatchObject({ ok: true, firstSeal: 1, lastSeal: 2 });
    expect(await dropSeals(test.vault, { olderThanMs: 86_400_000 })).toEqual({ dropped: 1, more: false });
    const [left] = await test.schema.query(
      `SELECT (SELECT COUNT(*) FROM seals WHERE version = 1) AS seals, (SELECT COUNT(*) FROM seal_leaves) AS leaves,
         (SELECT COUNT(*) FROM attempts) AS attempts, (SELECT COUNT(*) FROM audit_log WHERE id = 1) AS acts`,
    );
    expect(left).toEqual({ seals: 0, leaves: 0, attempts: 0, acts: 0 });
    while (await sealOnce(test.vault));
    const after = await verifyLog(test.vault);
    expect(after).toMatchObject({ ok: true, flaw: null, firstSeal: 2, lastSeal: 3 });
  });

  it.each([
    ['its leaf was edited', "UPDATE seal_leaves SET hash = REPEAT('a', 32) WHERE place = 0"],
    ['its leaf names another row', 'UPDATE seal_leaves SET entry_id = 2 WHERE place = 2'],
    ['its moment was edited', "UPDATE seals SET sealed_at = '2000-01-01' WHERE number = 1"],
    ['one of its rows was edited', "UPDATE attempts SET outcome = 'delivered' WHERE id = 2"],
  ])('drops no seal of version 1 when %s', async (_what, sql) => {
    while (await sealOnce(test.vault));
    await test.schema.query(sql);
    const count = 'SELECT (SELECT COUNT(*) FROM attempts) + (SELECT COUNT(*) FROM audit_log) AS n';
    const before = await test.schema.query(count);
    await expect(dropSeals(test.vault, { olderThanMs: 86_400_000 })).rejects.toMatchObject({
      code: 'ERR_AUDIT',
    });
    expect(await test.schema.query(count)).toEqual(before);
  });

  it.each([
    [
      'an old attempt is edited',
      "UPDATE attempts SET outcome = 'delivered' WHERE id = 2",
      { kind: 'edited', entryId: 2 },
    ],
    [
      'words are added to an old attempt',
      "UPDATE attempts SET explanation = 'their fault' WHERE id = 2",
      { kind: 'edited', entryId: 2 },
    ],
    [
      'an old payload is edited',
      "UPDATE event_log SET body = '{}' WHERE seq = 1",
      { kind: 'edited', delivery: 1 },
    ],
    ['an old act is deleted', 'DELETE FROM audit_log WHERE id = 1', { kind: 'deleted', log: 'audit_log' }],
    ['an old leaf is deleted', 'DELETE FROM seal_leaves WHERE place = 1', { kind: 'deleted', seal: 1 }],
    [
      'two old leaves change places',
      'UPDATE seal_leaves SET place = 9 WHERE place = 0',
      { kind: 'reordered', seal: 1 },
    ],
    [
      'an old attempt is inserted',
      "INSERT INTO attempts (id, delivery_id, number, started_at, duration_ms, outcome) VALUES (-1, 1, 1, NOW(), 1, 'lost')",
      { kind: 'inserted', entryId: -1 },
    ],
    [
      'an old outcome is edited',
      "UPDATE delivery_log SET status = 'delivered' WHERE id = 2",
      { kind: 'edited', delivery: 2, fields: ['status'] },
    ],
    [
      'a new attempt without a mark is inserted',
      "INSERT INTO attempts (delivery_id, number, started_at, duration_ms, outcome) VALUES (3, 1, NOW(), 1, 'lost')",
      { kind: 'forged', delivery: 3 },
    ],
  ])('finds that %s', async (_what, sql, found) => {
    while (await sealOnce(test.vault));
    await test.schema.query(sql);
    const { ok, flaw } = await verifyLog(test.vault);
    expect({ ok, ...flaw }).toMatchObject({ ok: false, ...found });
  });
});

/** Deliveries 1 and 2 with their attempts and act 1 in a seal of version 1, act 2 after it; delivery 3 was never tried. */
async function fillOld(test: TestStore): Promise<void> {
  const { store, vault } = test;
  await addWebhook(vault);
  const me = claimant(store);
  const outbox = await openTestAppender(me, vault);
  const { fresh } = await outbox.append(
    ['45', '46'].map((subject) => eventOf(subject, { subject, key: subject })),
    { room: muchRoom },
  );
  await settle(me, [delivered(fresh[0]!), failed(fresh[1]!, { kind: 'exhausted' })]);
  await store.run('UPDATE attempts SET explanation = NULL');
  await recordAct(store, vault.cipher, { actor: ana, action: 'delivery.read', target: '1' });
  await sealOld(test);
  await recordAct(store, vault.cipher, { actor: ana, action: 'delivery.read', target: '2' });
  await outbox.append([eventOf('47', { subject: '47', key: '47' })]);
  await store.script([
    'UPDATE attempts SET mark = NULL, recorded_at = NULL, receiver = NULL',
    'UPDATE audit_log SET mark = NULL',
  ]);
}

/** Seals as version f84be48 did. */
async function sealOld({ store, vault }: TestStore): Promise<void> {
  await ensureSealState(store, vault.cipher);
  const state = (await readSealState(store))!;
  const attempts = await store.rows<AttemptEntry>(
    `SELECT ${attemptColumns} FROM attempts a ${attemptJoins} ORDER BY a.id`,
  );
  const acts = await store.rows<ActEntry>(`SELECT ${actColumns} FROM audit_log g ORDER BY g.id`);
  const salts = await ensureSalts(vault, new Set(attempts.map(({ subject }) => subject!)));
  const leaves = [
    ...attempts.map((entry) => {
      const payload = oldPayloadHash(entry.payload!, entry.delivery, salts.get(entry.subject!)!);
      return { log: 'attempts', id: entry.id, hash: oldAttemptLeaf(entry, payload), payload };
    }),
    ...acts.map((entry) => ({ log: 'audit_log', id: entry.id, hash: oldActLeaf(entry), payload: null })),
  ];
  for (const [place, { log, id, hash, payload }] of leaves.entries())
    await store.run('INSERT INTO seal_leaves VALUES (1, ?, ?, ?, ?, ?)', [place, log, id, hash, payload]);
  const seal = { version: 1, number: 1, sealedAt: '2026-03-07 15:30:10.000', entries: leaves.length };
  const root = merkleRoot(leaves.map(({ hash }) => hash)).toString('hex');
  const hash = sealHash({ ...seal, root, previousHash: noHash, progressHash: null });
  await store.run(
    'INSERT INTO seals (number, sealed_at, entries, root, previous_hash, hash, signature) VALUES (?)',
    [[1, seal.sealedAt, seal.entries, root, noHash, hash, signText(privateKeyOf(state, vault.cipher), hash)]],
  );
  const progress = { attempts: { to: 2, open: [] }, audit_log: { to: 1, open: [] }, seals: 1 };
  await store.run('UPDATE seal_state SET progress = ?, anchor_signature = ?', [
    JSON.stringify(progress),
    signText(privateKeyOf(state, vault.cipher), anchorText(state.anchor, 'old')),
  ]);
}
