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
   * Puts on record what SQL changed, and puts back what the file manages, before anything is sent by it. Returns whether it wrote: then
   * the webhooks are read again.
   */
  explain?(): Promise<boolean>;
  /** Puts on record from which event on an inactive webhook has missed events. */
  missed?: AfterWrite;
  /** Told of every new state, the first included. */
  onChange(webhooks: readonly Subscription[], problems: readonly WebhookProblem[]): void;
  /** How the reading goes. */
  reports: FailureReporter;
  /** Default 1 s: an edit by plain SQL takes effect within 2. */
  pollMs?: number;
}

export interface WebhookFeed extends Background {
  /** The subscriptions as last read. */
  current(): readonly Subscription[];
  /** Reads them now, where they changed. */
  refresh(): Promise<void>;
  /** After an edit of our own, which is committed: reads them now. Where that fails, the next poll does it. */
  edited(): Promise<void>;
}

/** While the table is edited all the time, the webhooks as last read stay in force, and the next poll tries again. */
const explainTries = 5;

/** Follows the table of webhooks, however it is edited. */
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
      // What is loaded must be what was explained.
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

  /** One after the other: of two at once, the one that read first could end last. */
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
