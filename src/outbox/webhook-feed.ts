import { createLoop, type Background } from '../lib/loop.ts';
import { loadWebhooks, readWebhooksVersion, type WebhookVault } from './webhook-registry.ts';
import type { Subscription } from './types.ts';
import type { WebhookProblem } from './webhook-row.ts';

export interface WebhookFeedOptions {
  vault: WebhookVault;
  /** Told of every new state, the first included. */
  onChange(webhooks: readonly Subscription[], problems: readonly WebhookProblem[]): void;
  onError(error: unknown): void;
  /** Default 1 s: an edit by plain SQL takes effect within 2. */
  pollMs?: number;
}

export interface WebhookFeed extends Background {
  /** The subscriptions as last read. */
  current(): readonly Subscription[];
  /** Reads them now, where they changed: before the start, and after an edit of our own. */
  refresh(): Promise<void>;
}

/** Follows the table of webhooks, whoever edits it. */
export function createWebhookFeed({
  vault,
  onChange,
  onError,
  pollMs = 1_000,
}: WebhookFeedOptions): WebhookFeed {
  let version: string | undefined;
  let webhooks: readonly Subscription[] = [];

  async function refresh(): Promise<void> {
    const present = await readWebhooksVersion(vault.store);
    if (present === version) return;
    // Read after the version: a change in between is seen twice rather than never.
    const loaded = await loadWebhooks(vault);
    version = present;
    webhooks = loaded.webhooks;
    onChange(webhooks, loaded.problems);
  }

  const loop = createLoop({
    async step() {
      await refresh();
      return pollMs;
    },
    onError,
  });
  return { start: () => loop.start(), stop: () => loop.stop(), current: () => webhooks, refresh };
}
