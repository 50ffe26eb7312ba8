import { getTableColumns, getTableName, is } from 'drizzle-orm';
import { MySqlTable } from 'drizzle-orm/mysql-core';
import { erasePatient } from '../../src/audit/erase.ts';
import { recordAct, type Actor } from '../../src/audit/act/record-act.ts';
import { recordAlong } from '../../src/audit/act/record-along.ts';
import { recordReplay } from '../../src/audit/act/replay-acts.ts';
import { sealOnce } from '../../src/audit/seal/seal.ts';
import * as schema from '../../src/db/schema/schema.ts';
import { withReceivers } from '../../src/outbox/webhook/receivers.ts';
import { createReplay } from '../../src/outbox/replay/replay.ts';
import { settle } from '../../src/outbox/queue/settle.ts';
import { createWebhook } from '../../src/outbox/webhook/webhook-registry.ts';
import {
  claimant,
  delivered,
  eventOf,
  failed,
  muchRoom,
  openTestAppender,
  openTestStore,
  type TestStore,
} from '../outbox/support.ts';
import type { ServerVariant } from '../../src/demo/server-binaries.ts';

const ana: Actor = { name: 'ana', role: 'admin' };

export const tables = Object.values(schema)
  .filter((table) => is(table, MySqlTable))
  .map((table) => table as MySqlTable);

/**
 * A store with everything that is shown, sealed:
 *
 *   delivery 1   delivered at the first attempt
 *   delivery 2   exhausted after one attempt
 *   delivery 3   open: one failed attempt, its retry is an hour away
 *   delivery 4   open, never tried
 *   delivery 5   exhausted: its patient, 60, was erased
 */
async function fill(test: TestStore): Promise<void> {
  const { store, vault } = test;
  const { cipher } = vault;
  await createWebhook(
    vault,
    {
      name: 'Pagos',
      url: 'https://pagos.example/hook',
      events: ['*'],
      filter: null,
      fields: ['appointment_id'],
      headers: { 'X-Clinic': 'central' },
      ratePerSecond: 50,
    },
    recordAlong(cipher, { actor: ana, action: 'webhook.create', details: { name: 'Pagos' } }),
  );
  const me = claimant(store);
  const outbox = await openTestAppender(me, vault);
  const [webhook] = await withReceivers(store, outbox.webhooks);
  const sent = { receiver: webhook!.receiver! };
  const about = (n: number, subject: string) =>
    eventOf(`event ${n}`, { subject, key: String(n), readLate: n === 1 ? ['notes'] : [] });
  const { fresh } = await outbox.append([about(1, '45'), about(2, '46'), about(3, '45')], { room: muchRoom });
  await settle(me, [
    { ...delivered(fresh[0]!), ...sent },
    { ...failed(fresh[1]!, { kind: 'exhausted' }), ...sent },
    { ...failed(fresh[2]!, { kind: 'retry', delayMs: 3_600_000 }), ...sent },
  ]);
  await outbox.append([about(4, '47'), about(5, '60')]);
  await erasePatient(vault, { patient: '60', reason: 'asked', actor: ana });
  const window = { sinceMs: 0, untilMs: Date.parse('2026-03-08T00:00:00Z') };
  await createReplay(
    store,
    { webhookId: 1, ...window, requestedBy: 'ana', reason: 'restored', ratePerSecond: null },
    outbox.webhooks,
    recordReplay(cipher, 1, { actor: ana, details: { reason: 'restored' } }),
  );
  await recordAct(store, cipher, {
    actor: ana,
    action: 'delivery.read',
    target: '1',
    details: { b: 1.5, a: ['ñ'] },
  });
  while (await sealOnce(vault));
}

/** A filled store that can be brought back to how it was. */
export interface FilledStore extends TestStore {
  restore(): Promise<void>;
}

/** Opens a filled store. `restore` puts every row back, of tables that are still there. */
export async function openFilledStore(flavour: ServerVariant): Promise<FilledStore> {
  const test = await openTestStore(flavour);
  await fill(test);
  const restoreTable = await copyTables(test, 'whole');
  return {
    ...test,
    async restore() {
      for (const table of tables) await restoreTable(getTableName(table));
    },
  };
}

/** Copies all tables as they are. Returns what puts the rows of one back. */
export async function copyTables(
  { schema: { query } }: Pick<TestStore, 'schema'>,
  prefix: string,
): Promise<(table: string) => Promise<void>> {
  const columnsOf = new Map(
    tables.map((table) => {
      const names = Object.values(getTableColumns(table)).map(({ name }) => name);
      const written = names.filter((name) => name !== 'waiting').map((name) => `\`${name}\``);
      return [getTableName(table), written.join(', ')];
    }),
  );
  for (const [name, columns] of columnsOf)
    await query(`CREATE TABLE ${prefix}_${name} AS SELECT ${columns} FROM ${name}`);
  return async (name) => {
    const columns = columnsOf.get(name)!;
    await query(
      `DELETE FROM ${name}; INSERT INTO ${name} (${columns}) SELECT ${columns} FROM ${prefix}_${name}`,
    );
  };
}
