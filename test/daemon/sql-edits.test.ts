import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { loadClinic } from '../../src/demo/clinic.ts';
import { openStore, type Store } from '../../src/db/connection/client.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { startDaemonProcess, type DaemonProcess } from '../support/daemon.ts';
import { startTestReceiver, testSecret, type Received, type TestReceiver } from '../support/receiver.ts';
import {
  createSchema,
  createUser,
  flavours,
  sharedServer,
  type TestSchema,
  type TestUser,
} from '../support/server.ts';
import { waitFor } from '../support/wait-for.ts';

/** SQL edits of a webhook of the configuration file, each on top of the one before, and what they are on record as. */
describe.each(flavours)('a webhook of the file that is edited by SQL, on %s', (flavour) => {
  const server = sharedServer(flavour);
  const storeName = `store_${randomBytes(5).toString('hex')}`;
  let clinic: TestSchema;
  let user: TestUser & { drop(): Promise<void> };
  let receiver: TestReceiver;
  let daemon: DaemonProcess;
  let store: Store;

  async function startDaemon(): Promise<void> {
    const sourceUrl = clinic.url(user);
    daemon = await startDaemonProcess({
      sourceUrl,
      storeUrl: sourceUrl.replace(clinic.name, storeName),
      yaml: `${receiver.delivery}\nwebhooks:\n  - { name: good, url: "${receiver.url}/good", secret: ${testSecret}, events: ["patient.created"] }`,
    });
    await daemon.untilReady();
  }

  beforeAll(async () => {
    clinic = await createSchema(server);
    await loadClinic(await clinic.connect());
    user = await createUser(server, [
      'REPLICATION SLAVE, REPLICATION CLIENT ON *.*',
      `SELECT ON \`${clinic.name}\`.*`,
      `ALL ON \`${storeName}\`.*`,
    ]);
    receiver = await startTestReceiver();
    await startDaemon();
    store = openStore(parseDatabaseUrl(clinic.url(user).replace(clinic.name, storeName)));
  });

  afterAll(async () => {
    await daemon.stop();
    await store.close();
    await receiver.stop();
    await clinic.query(`DROP DATABASE IF EXISTS ${storeName}`);
    await user.drop();
    await clinic.drop();
  });

  const sentTo = (name: string): Received[] =>
    receiver.received.filter(({ path }) => path === `/webhooks/${name}`);

  interface ActOfWebhook {
    id: number;
    action: string;
    role: string;
    target: string;
    details: Record<string, unknown>;
  }

  async function actsAfter(id: number): Promise<ActOfWebhook[]> {
    const rows = await store.rows<Omit<ActOfWebhook, 'details'> & { details: string }>(
      "SELECT id, action, role, target, details FROM audit_log WHERE id > ? AND action LIKE 'webhook.%' ORDER BY id",
      [id],
    );
    return rows.map((row) => ({ ...row, details: JSON.parse(row.details) as Record<string, unknown> }));
  }

  const lastAct = async (): Promise<number> =>
    (await store.rows<{ id: number }>('SELECT COALESCE(MAX(id), 0) AS id FROM audit_log'))[0]!.id;

  const putBack = (acts: readonly ActOfWebhook[]): boolean =>
    acts.some(
      ({ action, role }) => role === 'file' && (action === 'webhook.put-back' || action === 'webhook.create'),
    );

  /** Commits a patient, and waits until its event has come to where the file says. */
  async function sendOne(): Promise<void> {
    const name = `Prueba ${randomBytes(4).toString('hex')}`;
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES (?, ?, 'Peña', 2)",
      [randomBytes(3).readUIntBE(0, 3), name],
    );
    await waitFor(() => sentTo('good').some(({ data }) => data['first_name'] === name), {
      what: 'the event',
    });
  }

  const edits: [what: string, sql: string, changed: string[]][] = [
    ['its URL', `url = '%evil'`, ['url']],
    ['its name', `name = 'evil', url = '%evil'`, ['name', 'url']],
    ['who manages it', `managed_by = 'database', url = '%evil'`, ['managed_by', 'url']],
    ['that it is deleted', 'deleted_at = UTC_TIMESTAMP(3)', ['deleted_at']],
    ['that it is active', 'is_active = FALSE', ['is_active']],
    ['its secret', `secret = 'whsec_${'f'.repeat(64)}'`, ['secret']],
    ['its events', `events = '["*"]'`, ['events']],
  ];

  it.each(edits)('is put back before anything is sent by it: %s', async (_what, sql, changed) => {
    const before = await lastAct();
    const [row] = await store.rows<{ id: number }>("SELECT id FROM webhooks WHERE name = 'good'");
    await store.script([`UPDATE webhooks SET ${sql.replace('%', `${receiver.url}/`)} WHERE id = ${row!.id}`]);
    await sendOne();
    const acts = await waitFor(async () => {
      const found = await actsAfter(before);
      return putBack(found) ? found : undefined;
    });
    await sendOne();
    expect(sentTo('evil')).toEqual([]);
    expect(sentTo('good').every(({ verified }) => verified)).toBe(true);
    expect(acts[0]).toMatchObject({ action: 'webhook.update', role: 'sql', target: String(row!.id) });
    expect(acts[0]!.details['changed']).toEqual(expect.arrayContaining(changed));
    expect(acts.at(-1)).toMatchObject({ action: 'webhook.put-back', role: 'file', target: String(row!.id) });
    expect(JSON.stringify(acts)).not.toContain('ffffffff');
    const [now] = await store.rows(
      'SELECT name, url, is_active, managed_by, deleted_at FROM webhooks WHERE id = ?',
      [row!.id],
    );
    expect(now).toEqual({
      name: 'good',
      url: `${receiver.url}/good`,
      is_active: 1,
      managed_by: 'file',
      deleted_at: null,
    });
  });

  it('is made again when its row is deleted', async () => {
    const before = await lastAct();
    await store.run('DELETE FROM webhooks');
    const acts = await waitFor(async () => {
      const found = await actsAfter(before);
      return putBack(found) ? found : undefined;
    });
    await sendOne();
    expect(acts.map(({ action, role }) => `${role} ${action}`)).toEqual([
      'sql webhook.delete',
      'file webhook.create',
    ]);
    // An event that is captured meanwhile is routed to the id that the daemon knows.
    expect(new Set(acts.map(({ target }) => target)).size).toBe(1);
  });

  it('is on record as edited by SQL also when the daemon was not running', async () => {
    await daemon.stop();
    const before = await lastAct();
    await store.run('UPDATE webhooks SET url = ?', [`${receiver.url}/evil`]);
    await clinic.query(
      "INSERT INTO patients (medrecno, first_name, last_name, branch_id) VALUES (1, 'Mientras', 'Peña', 2)",
    );
    await startDaemon();
    await waitFor(() => sentTo('good').some(({ data }) => data['first_name'] === 'Mientras'));
    const acts = await actsAfter(before);
    expect(acts[0]).toMatchObject({ action: 'webhook.update', role: 'sql' });
    expect(acts[0]!.details).toMatchObject({
      old: { url: `${receiver.url}/good` },
      new: { url: `${receiver.url}/evil` },
    });
    expect(acts.at(-1)).toMatchObject({ action: 'webhook.put-back', role: 'file' });
    expect(sentTo('evil')).toEqual([]);
  });

  it('is sent no delivery that SQL adds: it ends, logged, counted and named by verify', async () => {
    await sendOne();
    const event = `evt_${randomBytes(16).toString('hex')}`;
    const before = receiver.received.length;
    const forge = [
      'SELECT next_event_seq, next_delivery_id INTO @seq, @delivery FROM checkpoint WHERE id = 1 FOR UPDATE',
      'UPDATE checkpoint SET next_event_seq = @seq + 1, next_delivery_id = @delivery + 1',
      `INSERT INTO event_log (seq, id, type, entity_table, entity_key, subject, transaction_id, occurred_at, staging, body)
       SELECT @seq, '${event}', type, entity_table, entity_key, subject, '${event}', occurred_at, staging, REPLACE(body, 'Prueba', 'Forged')
       FROM event_log WHERE type = 'patient.created' ORDER BY seq DESC LIMIT 1`,
      'INSERT INTO delivery_log (id, webhook_id, event_seq) SELECT @delivery, id, @seq FROM webhooks',
      `INSERT INTO queue (delivery_id, webhook_id, event_seq, state, due_at, attempt, claimed_by)
       SELECT @delivery, id, @seq, 'pending', UTC_TIMESTAMP(3), 0, '' FROM webhooks`,
    ];
    await store.transaction((tx) => tx.script(forge));
    const attempt = await waitFor(async () => {
      const [row] = await store.rows<{ delivery: number; outcome: string; reason: string }>(
        `SELECT a.delivery_id AS delivery, a.outcome, a.reason FROM attempts a
         JOIN delivery_log d ON d.id = a.delivery_id JOIN event_log e ON e.seq = d.event_seq WHERE e.id = ?`,
        [event],
      );
      return row;
    });
    expect(attempt).toMatchObject({ outcome: 'failed', reason: 'forged-delivery' });
    await sendOne();
    expect(receiver.received.slice(before).map(({ body }) => body)).not.toContainEqual(
      expect.stringContaining('Forged'),
    );
    expect(daemon.log).toContainEqual(expect.objectContaining({ deliveries: [attempt.delivery] }));
    expect((await daemon.get('/metrics')).body).toMatch(/^odontology_webhooks_forged_deliveries_total 1$/m);
    const vault = { store, cipher: clearCipher };
    await waitFor(async () => {
      await sealOnce(vault);
      return (await verifyLog(vault)).refused.includes(attempt.delivery);
    });
  });

  it('leaves a log that verifies, and says how many changes SQL made', async () => {
    const vault = { store, cipher: clearCipher };
    await waitFor(async () => {
      await sealOnce(vault);
      const { ok, flaw, sqlActs } = await verifyLog(vault);
      expect({ ok, flaw }).toEqual({ ok: true, flaw: null });
      return sqlActs === edits.length + 2;
    });
  });
});
