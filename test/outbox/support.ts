import { hash, randomUUID } from 'node:crypto';
import { acquireLease } from '../../src/db/connection/lease.ts';
import { openStore, type Store } from '../../src/db/connection/client.ts';
import { ensureInstallation } from '../../src/db/schema/installation.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { migrateStore } from '../../src/db/schema/migrate.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import type { DomainEvent } from '../../src/event/types.ts';
import { openAppender, type Appender } from '../../src/outbox/append/append.ts';
import type { Appended } from '../../src/outbox/append/place-events.ts';
import { createRouter } from '../../src/outbox/append/fan-out.ts';
import type {
  Checkpoint,
  ClaimedDelivery,
  Claimant,
  Room,
  Settlement,
  Subscription,
} from '../../src/outbox/types.ts';
import { createWebhook, loadWebhooks, type NewWebhook } from '../../src/outbox/webhook/webhook-registry.ts';
import type { PrivateServer } from '../../src/demo/private-server.ts';
import type { ServerVariant } from '../../src/demo/server-binaries.ts';
import { createSchema, sharedServer, type TestSchema } from '../support/server.ts';
import type { EncryptedStore } from '../../src/db/connection/encrypted-store.ts';

/** A migrated store in a schema of its own. */
export interface TestStore {
  schema: TestSchema;
  store: Store;
  vault: EncryptedStore;
  /** Another process on the same store: a pool of its own. */
  another(): Store;
  close(): Promise<void>;
}

export async function openTestStore(on: ServerVariant | PrivateServer): Promise<TestStore> {
  const schema = await createSchema(typeof on === 'string' ? sharedServer(on) : on);
  const url = parseDatabaseUrl(schema.url());
  await migrateStore(url);
  const store = openStore(url);
  await ensureInstallation(store);
  const others: Store[] = [];
  return {
    schema,
    store,
    vault: { store, cipher: clearCipher },
    another() {
      const other = openStore(url);
      others.push(other);
      return other;
    },
    async close() {
      await Promise.all([store, ...others].map((each) => each.close()));
      await schema.drop();
    },
  };
}

export const noRoom: Room = { total: 0, of: () => 0 };
export const muchRoom: Room = { total: 10_000, of: () => 10_000 };

export function claimant(store: Store, overrides: Partial<Claimant> = {}): Claimant {
  return { store, cipher: clearCipher, owner: randomUUID(), claimMs: 60_000, ...overrides };
}

export async function addWebhook(
  vault: EncryptedStore,
  overrides: Partial<NewWebhook> = {},
): Promise<number> {
  const { id } = await createWebhook(vault, {
    name: `hook ${randomUUID()}`,
    url: 'https://receiver.example/hook',
    events: ['*'],
    ...overrides,
  });
  return id;
}

/** An event about one appointment; `name` makes its id. */
export function eventOf(name: string, overrides: Partial<DomainEvent> & { key?: string } = {}): DomainEvent {
  const { key = '1', type = 'appointment.confirmed', ...rest } = overrides;
  const data = { appointment_id: key, note: `${name} ñ '\\ 😷` };
  const occurredAtMs = rest.occurredAtMs ?? Date.parse('2026-03-07T15:30:00.123Z');
  return {
    id: `evt_${hash('sha256', name).slice(0, 32)}`,
    type,
    occurredAtMs,
    entity: { table: 'appointments', key },
    subject: null,
    body: JSON.stringify({ event: type, timestamp: new Date(occurredAtMs).toISOString(), data }),
    data,
    column: () => undefined,
    ...rest,
  };
}

export function checkpointAt(offset: number): Checkpoint {
  return {
    lineage: 'lineage-1',
    flavour: 'mysql',
    serverUuid: 'b8b5e0a4-0000-4000-8000-000000000001',
    position: { gtid: `b8b5e0a4-0000-4000-8000-000000000001:1-${offset}`, file: 'binlog.000001', offset },
    committedAtMs: Date.parse('2026-03-07T15:30:00.000Z'),
    passedMs: null,
  };
}

/** An appender of its own lease term, with the webhooks that the table has. */
export interface TestAppender {
  appender: Appender;
  webhooks: readonly Subscription[];
  /** Appends one transaction. */
  append(events: readonly DomainEvent[], options?: { room?: Room; offset?: number }): Promise<Appended>;
}

export async function openTestAppender(
  claims: Claimant,
  vault: EncryptedStore,
  onDue: () => void = () => undefined,
  /** Instead of the keys that the table has: this version does not read the table of an older one. */
  given?: readonly Subscription[],
): Promise<TestAppender> {
  const webhooks = given ?? (await loadWebhooks(vault)).webhooks;
  const lease = await acquireLease(claims.store, { name: 'capture', holder: claims.owner, ttlMs: 60_000 });
  const appender = await openAppender(claims, {
    fence: lease!.token,
    webhooks,
    onDue,
    onError(error) {
      throw error;
    },
  });
  const route = createRouter(webhooks);
  let offset = 0;
  return {
    appender,
    webhooks,
    append: (events, options = {}) =>
      appender.append(
        {
          transactions: [{ id: `tx-${(offset += 1)}`, events }],
          checkpoint: checkpointAt(options.offset ?? offset),
        },
        { route, room: options.room ?? noRoom },
      ),
  };
}

export function delivered(delivery: ClaimedDelivery): Settlement {
  return {
    delivery,
    outcome: { kind: 'delivered', status: 200, responseBody: 'ok', durationMs: 12 },
    endedAtMs: Date.parse('2026-03-07T15:30:01.000Z'),
    next: { kind: 'delivered' },
  };
}

export function failed(delivery: ClaimedDelivery, next: Settlement['next']): Settlement {
  return {
    delivery,
    outcome: { kind: 'failed', reason: 'timeout', durationMs: 15_000 },
    explanation: 'no complete answer within 15000 ms',
    endedAtMs: Date.parse('2026-03-07T15:30:15.000Z'),
    next,
  };
}

/** The queue, in order of id, as `id:state`. */
export async function readQueue(store: Store): Promise<string[]> {
  const rows = await store.rows<{ id: number; state: string }>(
    'SELECT delivery_id AS id, state FROM queue ORDER BY delivery_id',
  );
  return rows.map(({ id, state }) => `${id}:${state}`);
}

/** A store as after its first migration. */
export async function emptyTables({ schema }: TestStore): Promise<void> {
  const tables = [
    ...['webhooks', 'queue', 'delivery_log', 'event_log', 'attempts', 'audit_log', 'leases', 'replays'],
    'exhausted_deliveries',
    ...['kept_payloads', 'subject_keys', 'destroyed_keys', 'seal_state', 'seals', 'seal_leaves'],
    ...['seal_packs', 'receivers', 'clean_stop'],
  ];
  for (const table of tables) await schema.query(`TRUNCATE ${table}`);
  await schema.query(
    'DELETE FROM checkpoint; INSERT INTO checkpoint (id) VALUES (1); DELETE FROM known_tables; UPDATE installation SET payloads_pruned_to = 0, payloads_sealed_to = 0, key_file = NULL',
  );
}
