import type { Config } from '../config/types.ts';
import type { RuleFile } from '../event/rule/rule-file.ts';
import { createRouter, type Router } from '../outbox/append/fan-out.ts';
import type { Subscription } from '../outbox/types.ts';
import type { WebhookProblem } from '../outbox/webhook/webhook-row.ts';
import { filterNames, type CompiledSource } from '../capture/compiled-source.ts';

/** What is in force now. Each part is replaced whole: by an edit of the file, of a webhook, or of the source's schema. */
export interface LiveState {
  config: Config;
  /** The rules that the next reader begins with. */
  ruleFile: RuleFile;
  clinic: CompiledSource;
  webhooks: readonly Subscription[];
  /** What is wrong with rows of webhooks. */
  problems: readonly WebhookProblem[];
  /** What of that, and of what the webhooks name, is in the log already, by id. */
  loggedProblems: ReadonlyMap<number, readonly string[]>;
  route: Router;
}

export function firstInForce(config: Config, clinic: CompiledSource): LiveState {
  const { ruleFile } = clinic;
  const none = { webhooks: [], problems: [], loggedProblems: new Map(), route: createRouter([]) };
  return { config, ruleFile, clinic, ...none };
}

/** The name of a webhook for people; its number when it is gone. */
export function nameOf({ webhooks }: LiveState, id: number): string {
  return webhooks.find((webhook) => webhook.id === id)?.name ?? String(id);
}

/**
 * Routes events to the webhooks as they are now. False, with the old routes kept, when a filter names a column that is not read
 * yet: an event without it would pass by a webhook that is to have it. A new reader must be opened first.
 */
export function reroute(inForce: LiveState): boolean {
  if (!filterNames(inForce.webhooks).isSubsetOf(inForce.clinic.filterNames)) return false;
  inForce.route = createRouter(inForce.webhooks);
  return true;
}
