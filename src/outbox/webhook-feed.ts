import { createLoop, type Background } from '../lib/loop.ts';
import type { Reports } from '../lib/outages.ts';
import { loadWebhooks, readWebhooksVersion, type WebhookVault } from './webhook-registry.ts';
import type { Subscription } from './types.ts';
import type { WebhookProblem } from './webhook-row.ts';

export interface WebhookFeedOptions {
  vault: WebhookVault;
  /** Told of every new state, the first included. */
  onChange(webhooks: readonly Subscription[], problems: readonly WebhookProblem[]): void;
  /** How the reading goes. */
  reports: Reports;
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

/** Follows the table of webhooks, whoever edits it. */
export function createWebhookFeed({
  vault,
  onChange,
  reports,
  pollMs = 1_000,
}: WebhookFeedOptions): WebhookFeed {
  let version: string | undefined;
  let webhooks: readonly Subscription[] = [];
  let reading: Promise<unknown> = Promise.resolve();

  async function read(): Promise<void> {
    const present = await readWebhooksVersion(vault.store);
    if (present === version) return;
    // Read after the version: a change in between is seen twice rather than never.
    const loaded = await loadWebhooks(vault);
    version = present;
    webhooks = loaded.webhooks;
    onChange(webhooks, loaded.problems);
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
