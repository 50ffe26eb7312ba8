import type { Config } from '../config/types.ts';
import type { RuleFile } from '../event/rule/rule-file.ts';
import { createRouter, type Router } from '../outbox/append/fan-out.ts';
import type { Subscription } from '../outbox/types.ts';
import type { WebhookProblem } from '../outbox/webhook/webhook-row.ts';
import { filterNames, type CompiledSource } from '../capture/compiled-source.ts';

/** The state in force. Each part is replaced as a whole: by an edit of the file, of a webhook, or of the source's schema. */
export interface LiveState {
  config: Config;
  /** The rules with which the next reader starts. */
  ruleFile: RuleFile;
  clinic: CompiledSource;
  webhooks: readonly Subscription[];
  /** Problems of webhook rows. */
  problems: readonly WebhookProblem[];
  /** Problems, including those of names in webhooks, that were logged already, by id. */
  loggedProblems: ReadonlyMap<number, readonly string[]>;
  route: Router;
}

export function firstInForce(config: Config, clinic: CompiledSource): LiveState {
  const { ruleFile } = clinic;
  const none = { webhooks: [], problems: [], loggedProblems: new Map(), route: createRouter([]) };
  return { config, ruleFile, clinic, ...none };
}

/** Returns the name of a webhook for people; its number if it is gone. */
export function nameOf({ webhooks }: LiveState, id: number): string {
  return webhooks.find((webhook) => webhook.id === id)?.name ?? String(id);
}

/**
 * Routes events to the present webhooks. Returns false and keeps the old routes if a filter names a column that is not read yet: events
 * without that column would not reach a webhook that should receive them. Open a new reader first.
 */
export function reroute(inForce: LiveState): boolean {
  if (!filterNames(inForce.webhooks).isSubsetOf(inForce.clinic.filterNames)) return false;
  inForce.route = createRouter(inForce.webhooks);
  return true;
}
