import { createLoop, type Background } from '../../lib/loop/loop.ts';
import type { FailureReporter } from '../../lib/loop/failure-log.ts';
import { noteMissed } from './missed.ts';
import { withReceivers } from './receivers.ts';
import { loadWebhooks, readWebhooksVersion, type AfterWrite } from './webhook-registry.ts';
import type { Subscription } from '../types.ts';
import type { WebhookProblem } from './webhook-row.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';

export interface WebhookFeedOptions {
  vault: EncryptedStore;
  /**
   * Records changes by SQL, and restores webhooks that the file manages, before anything is sent with them. Returns whether it wrote: then the webhooks
   * are read again.
   */
  explain?(): Promise<boolean>;
  /** Records from which event on an inactive webhook has missed events. */
  missed?: AfterWrite;
  /** Called for every new state, including the first. */
  onChange(webhooks: readonly Subscription[], problems: readonly WebhookProblem[]): void;
  /** Success and failure of reading. */
  reports: FailureReporter;
  /** Default 1 s: an edit by plain SQL takes effect within 2. */
  pollMs?: number;
}

export interface WebhookFeed extends Background {
  /** The subscriptions as last read. */
  current(): readonly Subscription[];
  /** Reads them now, if they changed. */
  refresh(): Promise<void>;
  /** Call after our own committed edit: reads them now. If that fails, the next poll reads them. */
  edited(): Promise<void>;
}

/** While the table is edited continuously, the last read webhooks stay in force, and the next poll retries. */
const explainTries = 5;

/** Follows the table of webhooks, whether the API, the file or SQL edits it. */
export function createWebhookFeed({
  vault,
  explain,
  missed,
  onChange,
  reports,
  pollMs = 1_000,
}: WebhookFeedOptions): WebhookFeed {
  let version: string | undefined;
  let webhooks: readonly Subscription[] = [];
  let reading: Promise<unknown> = Promise.resolve();

  async function read(): Promise<void> {
    for (let tries = 0; tries < explainTries; tries += 1) {
      const present = await readWebhooksVersion(vault.store);
      if (present === version) return;
      if ((await explain?.()) === true) continue;
      // Read after the version: a change in between is seen twice rather than never.
      const loaded = await loadWebhooks(vault);
      // The loaded version must be the one that was recorded.
      if ((await readWebhooksVersion(vault.store)) !== present) continue;
      await noteMissed(
        vault.store,
        loaded.webhooks.filter(({ collects }) => !collects).map(({ id }) => id),
        missed,
      );
      webhooks = await withReceivers(vault.store, loaded.webhooks);
      version = present;
      onChange(webhooks, loaded.problems);
      return;
    }
  }

  /** One after the other: with two at once, the older result could arrive last. */
  function refresh(): Promise<void> {
    const next = reading.then(read);
    reading = next.catch(() => undefined);
    return next;
  }

  const loop = createLoop({
    async step() {
      await refresh();
      return pollMs;
    },
    ...reports,
  });
  return {
    start: () => loop.start(),
    stop: () => loop.stop(),
    current: () => webhooks,
    refresh,
    edited: () => refresh().catch((error: unknown) => reports.onError(error)),
  };
}
