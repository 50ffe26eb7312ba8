import { acquireLease } from '../../src/db/connection/lease.ts';
import { openStore, type Store } from '../../src/db/connection/client.ts';
import { clearCipher } from '../../src/crypto/cipher.ts';
import { ensureInstallation } from '../../src/db/schema/installation.ts';
import { migrateStore } from '../../src/db/schema/migrate.ts';
import { parseDatabaseUrl } from '../../src/db/connection/database-url.ts';
import { openAppender, type Appender } from '../../src/outbox/append/append.ts';
import type { Claimant, Subscription } from '../../src/outbox/types.ts';
import { createWebhook, loadWebhooks } from '../../src/outbox/webhook/webhook-registry.ts';

export const benchSecret = `whsec_${'0123456789abcdef'.repeat(4)}`;

/** All columns of the table `queue` except the generated one. */
export const queueColumns =
  'delivery_id, webhook_id, event_seq, lane, state, due_at, attempt, attempts_before, claimed_at, claimed_by';

/** A migrated store with one webhook. */
export interface BenchStore {
  store: Store;
  claimant: Claimant;
  webhooks: readonly Subscription[];
  openAppender(): Promise<Appender>;
  /** Restores the initial state, but keeps the webhook. */
  empty(): Promise<void>;
}

export async function openBenchStore(url: string, webhookUrl: string): Promise<BenchStore> {
  const address = parseDatabaseUrl(url);
  await migrateStore(address);
  const store = openStore(address);
  await ensureInstallation(store);
  const vault = { store, cipher: clearCipher };
  await createWebhook(vault, {
    name: 'bench',
    url: webhookUrl,
    events: ['*'],
    secret: benchSecret,
    maxInFlight: 64,
  });
  const claimant: Claimant = { store, cipher: clearCipher, owner: 'bench', claimMs: 360_000 };
  const { webhooks } = await loadWebhooks(vault);
  return {
    store,
    claimant,
    webhooks,
    async openAppender() {
      const lease = await acquireLease(store, { name: 'capture', holder: claimant.owner, ttlMs: 3_600_000 });
      return openAppender(claimant, {
        fence: lease!.token,
        webhooks,
        onDue: () => undefined,
        onError(error) {
          throw error;
        },
      });
    },
    async empty() {
      for (const table of ['queue', 'delivery_log', 'event_log', 'attempts', 'leases'])
        await store.run(`TRUNCATE ${table}`);
      await store.script(['DELETE FROM checkpoint', 'INSERT INTO checkpoint (id) VALUES (1)']);
    },
  };
}
