import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type { Connection } from 'mysql2/promise';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openStore } from '../../src/db/connection/client.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import { verifyLog } from '../../src/audit/verify.ts';
import { applyMigrations } from '../../src/db/schema/apply-migrations.ts';
import { readMigrationFiles } from '../../src/db/schema/drizzle.ts';
import { createCipher } from '../../src/crypto/cipher.ts';
import { adoptDeliveries } from '../../src/audit/act/begin-marks.ts';
import { makeSealKey } from '../../src/db/proof/seal-key.ts';
import { ensureInstallation } from '../../src/db/schema/installation.ts';
import { migrateStore } from '../../src/db/schema/migrate.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { claim } from '../../src/outbox/queue/claim.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import type { ClaimedDelivery, Subscription } from '../../src/outbox/types.ts';
import { claimant, delivered, eventOf, muchRoom, openTestAppender } from '../outbox/support.ts';
import { migrateTo, migrations } from '../support/migrate-to.ts';
import { createSchema, servers, sharedServer, type TestSchema } from '../support/server.ts';

/** A connection that is lost after so many statements of a migration, each of which the server has carried out. */
function dyingAfter(connection: Connection, statements: number): Connection {
  let left = statements;
  const query = async (sql: string, values?: unknown[]): Promise<unknown> => {
    if (left === 0) throw new Error('killed');
    if (!/migration_progress|__drizzle_migrations/.test(sql)) left -= 1;
    const answer: unknown = await connection.query(sql, values);
    if (left === 0) throw new Error('killed');
    return answer;
  };
  return { query } as unknown as Connection;
}

/** All that the server knows of the definitions of a schema. */
async function definitionsOf(schema: TestSchema): Promise<Record<string, unknown>> {
  const definitions: Record<string, unknown> = {};
  for (const row of await schema.query('SHOW TABLES')) {
    const name = String(Object.values(row)[0]);
    const [made] = await schema.query(`SHOW CREATE TABLE ${name}`);
    const text = String(made!['Create Table'] ?? made!['Create View']);
    definitions[name] = text.replaceAll(schema.name, 'store').replace(/ AUTO_INCREMENT=\d+/, '');
  }
  return definitions;
}

describe.each(servers)('a migration that is interrupted, on %s', (variant) => {
  it('continues behind every statement of it, and gives the same schema', { timeout: 120_000 }, async () => {
    const [schema, whole] = [
      await createSchema(sharedServer(variant)),
      await createSchema(sharedServer(variant)),
    ];
    onTestFinished(() => Promise.all([schema.drop(), whole.drop()]).then(() => undefined));
    const folder = fileURLToPath(migrations);
    const connection = await schema.connect();
    let deaths = 0;
    const isKilled = async (): Promise<boolean> => {
      try {
        // From the second time on, the first statement is the one behind which it was killed.
        await applyMigrations(dyingAfter(connection, deaths === 0 ? 1 : 2), folder);
        return false;
      } catch (error) {
        expect(error).toMatchObject({ message: 'killed' });
        return true;
      }
    };
    while (await isKilled()) deaths += 1;
    const statements = readMigrationFiles({ migrationsFolder: folder }).flatMap(({ sql }) => sql);
    expect(deaths).toBe(statements.length);
    expect(await applyMigrations(connection, folder)).toBe(0);
    await migrateStore(parseDatabaseUrl(whole.url()));
    expect(await definitionsOf(schema)).toEqual(await definitionsOf(whole));
    expect(await schema.query('SELECT COUNT(*) AS n FROM checkpoint')).toEqual([{ n: 1 }]);
  });

  it('does not take a foreign table for one of its own', async () => {
    const schema = await createSchema(sharedServer(variant), 'CREATE TABLE attempts (id INT)');
    onTestFinished(() => schema.drop());
    const url = parseDatabaseUrl(schema.url());
    for (let run = 1; run <= 2; run += 1)
      await expect(migrateStore(url)).rejects.toMatchObject({
        code: 'ERR_STORE_SCHEMA',
        message: expect.stringContaining('ER_TABLE_EXISTS_ERROR') as string,
        remedy: expect.stringContaining('Name a schema of its own') as string,
      });
  });
});

describe.each(servers)('an older store on %s', (variant) => {
  it('is brought up to date with what is queued in it: nothing is lost, and lanes keep their order', async () => {
    const schema = await createSchema(sharedServer(variant));
    onTestFinished(() => schema.drop());
    await migrateTo(schema, 8);
    await schema.query(`
      INSERT INTO webhooks (id, name, url, events, secret) VALUES (1, 'old', 'https://receiver.example/hook', '["*"]', 's');
      INSERT INTO event_log (seq, id, type, entity_table, entity_key, transaction_id, occurred_at, body)
        VALUES (1, 'evt_1', 'payment.received', 'payments', '7', 't1', '2026-03-07 15:30:00', '{}'),
               (2, 'evt_2', 'payment.refunded', 'payments', '7', 't2', '2026-03-07 15:31:00', '{}'),
               (3, 'evt_3', 'payment.received', 'payments', '8', 't3', '2026-03-07 15:32:00', '{}');
      INSERT INTO delivery_log (id, webhook_id, event_seq) VALUES (1, 1, 1), (2, 1, 2), (3, 1, 3);
      INSERT INTO queue (delivery_id, webhook_id, event_seq, lane, state, due_at, attempt, claimed_at, claimed_by) VALUES
        (1, 1, 1, 77, 'pending', '2026-03-07 15:30:00', 0, NULL, NULL),
        (2, 1, 2, 77, 'waiting', NULL, 0, NULL, NULL),
        (3, 1, 3, 88, 'sending', UTC_TIMESTAMP(3) + INTERVAL 1 HOUR, 1, UTC_TIMESTAMP(3), 'another process')`);

    const url = parseDatabaseUrl(schema.url());
    await migrateStore(url);

    const seen = await schema.query('SELECT id, status, claimed_by FROM webhook_deliveries ORDER BY id');
    expect(seen).toEqual([
      { id: 1, status: 'pending', claimed_by: null },
      { id: 2, status: 'waiting', claimed_by: null },
      { id: 3, status: 'sending', claimed_by: 'another process' },
    ]);
    const store = openStore(url);
    onTestFinished(() => store.close());
    const me = claimant(store);
    await makeSealKey(store, me.cipher, { onlyIfEmpty: false });
    await store.transaction((tx) => adoptDeliveries(tx, me.cipher));
    const claimAll = async () => (await claim(me, [{ webhookId: 1, room: 10 }])).deliveries;
    for (const id of [1, 2]) {
      const deliveries = await claimAll();
      expect(deliveries.map((delivery) => delivery.id)).toEqual([id]);
      await settle(me, deliveries.map(delivered));
    }
    expect(await claimAll()).toEqual([]);
    expect(await schema.query('SELECT delivery_id, state FROM queue')).toEqual([
      { delivery_id: 3, state: 'sending' },
    ]);
  });

  const wanting: Subscription = {
    ...{ id: 1, name: 'hook', url: 'https://receiver.example/hook', events: ['*'], secrets: [], headers: {} },
    ...{ isActive: true, standing: 'active', collects: true, failingSinceMs: null, managedBy: 'database' },
    ...{
      filter: null,
      fields: null,
      order: 'entity',
      maxInFlight: 8,
      ratePerSecond: null,
      timeoutMs: 15_000,
    },
    legacySignature: true,
    clientCertificate: null,
  };

  it('keeps its sealed log through the change of how keys are compared, and tells padded keys apart from then on', async () => {
    const schema = await createSchema(sharedServer(variant));
    onTestFinished(() => schema.drop());
    await migrateTo(schema, 9);
    const url = parseDatabaseUrl(schema.url());
    const store = openStore(url);
    onTestFinished(() => store.close());
    await ensureInstallation(store);
    const vault = { store, cipher: createCipher([{ id: 'k', bytes: Buffer.alloc(32, 7) }]) };
    await schema.query(`INSERT INTO webhooks (name, url, events, secret) VALUES ('hook', ?, '["*"]', '')`, [
      wanting.url,
    ]);
    const me = claimant(store, { cipher: vault.cipher });
    // This version uses columns that the older tables lack.
    await schema.query('ALTER TABLE seal_state ADD anchor JSON');
    await schema.query('ALTER TABLE delivery_log ADD mark BINARY(16)');
    await schema.query('ALTER TABLE checkpoint ADD mark BINARY(16), ADD passed_at DATETIME(3)');
    await makeSealKey(store, vault.cipher, { onlyIfEmpty: false });
    const append = async (name: string, key: string): Promise<readonly ClaimedDelivery[]> => {
      const outbox = await openTestAppender(me, vault, undefined, [wanting]);
      return (await outbox.append([eventOf(name, { key, subject: key })], { room: muchRoom })).fresh;
    };
    const before = await append('before', 'A-1');
    // As it was: the key of another patient is refused as a copy.
    await expect(append('refused', 'A-1 ')).rejects.toThrow('a row with this key is there already');

    await schema.query('ALTER TABLE seal_state DROP COLUMN anchor');
    await schema.query('ALTER TABLE delivery_log DROP COLUMN mark');
    await schema.query('ALTER TABLE checkpoint DROP COLUMN mark, DROP COLUMN passed_at');
    await migrateStore(url);

    await settle(me, before.map(delivered));
    while (await sealOnce(vault));
    await settle(me, (await append('after', 'A-1 ')).map(delivered));
    while (await sealOnce(vault));
    expect(await verifyLog(vault)).toMatchObject({ ok: true, payloads: { proved: 2 } });
    expect(await schema.query("SELECT subject FROM subject_keys WHERE subject <> '' ORDER BY id")).toEqual([
      { subject: 'A-1' },
      { subject: 'A-1 ' },
    ]);
  });

  it('has tables whose row format does not depend on the server', async () => {
    for (const file of (await readdir(migrations)).filter((name) => name.endsWith('.sql'))) {
      const text = await readFile(new URL(file, migrations), 'utf8');
      const tables = text.match(/CREATE TABLE `/g) ?? [];
      const stated = text.match(/^\) ROW_FORMAT=DYNAMIC;/gm) ?? [];
      expect([file, stated.length]).toEqual([file, tables.length]);
    }
  });
});
