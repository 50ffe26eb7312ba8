import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { getTableColumns } from 'drizzle-orm';
import { pino } from 'pino';
import { areWebhooksEdited, explainWebhooks } from '../../src/audit/act/explain-webhooks.ts';
import { recordAct, type Actor } from '../../src/audit/act/record-act.ts';
import { recordAlong } from '../../src/audit/act/record-along.ts';
import { dropSeals } from '../../src/audit/seal/drop-seals.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { createAuditWatch } from '../../src/daemon/upkeep/audit-watch.ts';
import { webhooks } from '../../src/db/schema/schema.ts';
import { FailureLog } from '../../src/lib/loop/failure-log.ts';
import { createWebhook, readWebhooksVersion } from '../../src/outbox/webhook/webhook-registry.ts';
import { emptyTables, openTestStore, type TestStore } from '../outbox/support.ts';
import { servers } from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

const ana: Actor = { name: 'ana', role: 'admin' };

describe.each(servers)('what the daemon finds by itself, on %s', (variant) => {
  let test: TestStore;

  beforeAll(async () => {
    test = await openTestStore(variant);
    await emptyTables(test);
    await createWebhook(
      test.vault,
      { name: 'Pagos', url: 'https://pagos.example/hook', events: ['*'] },
      recordAlong(test.vault.cipher, { actor: ana, action: 'webhook.create' }),
    );
  });
  afterAll(() => test.close());

  it('sees an edit of any column of a webhook', async () => {
    const edits: Record<string, string> = {
      name: "'Otro'",
      url: "'https://otro.example/'",
      events: `'["patient.*"]'`,
      secret: "'x'",
      is_active: 'FALSE',
      created_at: "'2020-01-01'",
      updated_at: "'2020-01-01'",
      managed_by: "'file'",
      previous_secret: "'x'",
      previous_secret_expires_at: "'2020-01-01'",
      filter: `'{"branch_id":[1]}'`,
      fields: `'["note"]'`,
      headers: `'{"X-Clinic":"north"}'`,
      delivery_order: "'none'",
      max_in_flight: '3',
      rate_per_second: '3',
      timeout_ms: '3',
      legacy_signature: 'FALSE',
      client_certificate: "'other'",
      paused_at: "'2020-01-01'",
      disabled_at: "'2020-01-01'",
      disabled_reason: "'gone'",
      deleted_at: "'2020-01-01'",
    };
    // `failing_since` follows from the attempts; capture keeps the range of missed events, of which no act is made; a sealed URL that
    // does not fit the shown one is not used.
    const others = ['id', 'failing_since', 'missed_from', 'missed_to', 'sealed_url'];
    const columns = Object.values(getTableColumns(webhooks)).map(({ name }) => name);
    expect([...Object.keys(edits), ...others].toSorted()).toEqual(columns.toSorted());
    await test.schema.query('CREATE TABLE webhooks_before AS SELECT * FROM webhooks');
    for (const [column, value] of Object.entries(edits)) {
      const before = await readWebhooksVersion(test.store);
      await test.schema.query(`UPDATE webhooks SET updated_at = updated_at, \`${column}\` = ${value}`);
      expect(await readWebhooksVersion(test.store), column).not.toBe(before);
      expect(await areWebhooksEdited(test.store, test.vault.cipher), column).toBe(true);
      await test.schema.query('DELETE FROM webhooks; INSERT INTO webhooks SELECT * FROM webhooks_before');
    }
  });

  it('puts edits of webhooks by SQL on record, with the old and the new value, once', async () => {
    const { store, cipher } = test.vault;
    while (await sealOnce(test.vault));
    expect(await store.transaction((tx) => explainWebhooks(tx, cipher))).toEqual([]);
    await test.schema.query("UPDATE webhooks SET url = 'https://other.example/', secret = 'whsec_stolen'");
    expect(await store.transaction((tx) => explainWebhooks(tx, cipher))).toMatchObject([
      { id: 1, kind: 'update', changed: ['url', 'updated_at', 'secret'], isOfFile: false },
    ]);
    expect(await store.transaction((tx) => explainWebhooks(tx, cipher))).toEqual([]);
    const [act] = await test.schema.query("SELECT action, target, details FROM audit_log WHERE role = 'sql'");
    expect(act).toMatchObject({ action: 'webhook.update', target: '1' });
    expect(JSON.stringify(act)).not.toContain('stolen');
    expect(JSON.stringify(act)).toContain('https://pagos.example/hook');
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, sqlActs: 1 });
    await test.schema.query('DELETE FROM webhooks');
    expect(await store.transaction((tx) => explainWebhooks(tx, cipher))).toMatchObject([
      { id: 1, kind: 'delete' },
    ]);
    while (await sealOnce(test.vault));
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, sqlActs: 2 });
  });

  it('says that the log is not sealed while a lock on its state is held', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const watch = createAuditWatch({
      store: test.store,
      // So that the limit is a second.
      intervalMs: -7_000,
      log,
      outages: new FailureLog(log),
      everyMs: 50,
    });
    await recordAct(test.store, test.vault.cipher, { actor: ana, action: 'delivery.read' });
    const holder = await test.schema.connect();
    await holder.query('BEGIN');
    await holder.query('SELECT * FROM seal_state FOR UPDATE');
    expect(await sealOnce(test.vault)).toBeNull();
    watch.start();
    await waitFor(() => watch.status().stoppedForMs !== null, { what: 'the age of what is not sealed' });
    await waitFor(() => lines.some((line) => line.includes('the log is not sealed any more')));
    await holder.query('COMMIT');
    expect(await sealOnce(test.vault)).not.toBeNull();
    await waitFor(() => watch.status().stoppedForMs === null, { what: 'the seal' });
    await watch.stop();
  });

  it.each([
    [
      'inserted',
      "INSERT INTO audit_log (at, actor, role, action, target) VALUES (UTC_TIMESTAMP(3), 'ana', 'admin', 'patient.access', '2')",
      "DELETE FROM audit_log WHERE action = 'patient.access'",
    ],
    [
      'edited',
      "UPDATE audit_log SET actor = 'eva' WHERE action = 'delivery.read' ORDER BY id DESC LIMIT 1",
      "UPDATE audit_log SET actor = 'ana' WHERE actor = 'eva'",
    ],
  ])('seals no act that SQL %s, and continues once that is undone', async (_how, edit, undo) => {
    while (await sealOnce(test.vault));
    await recordAct(test.store, test.vault.cipher, { actor: ana, action: 'delivery.read' });
    await test.schema.query(edit);
    await expect(sealOnce(test.vault)).rejects.toMatchObject({
      code: 'ERR_AUDIT',
      message: expect.stringMatching(/row \d+ of audit_log was not written by odontology-webhooks/),
    });
    expect(await verifyLog(test.vault)).toMatchObject({ ok: false, flaw: { kind: 'forged' } });
    await test.schema.query(undo);
    expect(await sealOnce(test.vault)).not.toBeNull();
    expect(await verifyLog(test.vault)).toMatchObject({ ok: true, flaw: null });
  });

  it('drops and seals nothing on the word of a seal that does not hold', async () => {
    await createWebhook(
      test.vault,
      { name: 'Otro', url: 'https://otro.example/hook', events: ['*'] },
      recordAlong(test.vault.cipher, { actor: ana, action: 'webhook.create' }),
    );
    while (await sealOnce(test.vault));
    await test.schema.query("UPDATE seals SET sealed_at = '2000-01-01' WHERE number = 1");
    const [before] = await test.schema.query('SELECT COUNT(*) AS acts FROM audit_log');
    await expect(dropSeals(test.vault, { olderThanMs: 86_400_000 })).rejects.toMatchObject({
      code: 'ERR_AUDIT',
    });
    expect((await test.schema.query('SELECT COUNT(*) AS acts FROM audit_log'))[0]).toEqual(before);
  });
});
