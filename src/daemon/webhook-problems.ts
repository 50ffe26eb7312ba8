import { filterNames } from '../capture/compiled-source.ts';
import type { Log } from '../lib/log.ts';
import { nameOf, type LiveState } from './live-state.ts';
import { validateWebhook } from './validate-webhook.ts';

/** Returns the problems of each webhook by id: unusable values in its row, and names that do not exist. */
export function webhookProblems(inForce: LiveState): ReadonlyMap<number, readonly string[]> {
  const all = new Map<number, string[]>();
  const add = (id: number, messages: readonly string[]): void => {
    if (messages.length > 0) all.set(id, [...(all.get(id) ?? []), ...messages]);
  };
  for (const { id, message } of inForce.problems) add(id, [message]);
  for (const webhook of inForce.webhooks) {
    // Columns that a new filter names are known only after the next reader has been opened.
    if (!filterNames([webhook]).isSubsetOf(inForce.clinic.filterNames)) continue;
    add(webhook.id, validateWebhook(webhook, inForce));
  }
  return all;
}

/** Logs each problem of a webhook once, when it appears. */
export function warnOfProblems({ inForce, log }: { inForce: LiveState; log: Log }): void {
  const problems = webhookProblems(inForce);
  for (const [id, messages] of problems) {
    const known = inForce.loggedProblems.get(id) ?? [];
    const level = inForce.webhooks.some((each) => each.id === id && each.standing === 'unfit')
      ? 'error'
      : 'warn';
    for (const message of messages.filter((each) => !known.includes(each)))
      log[level]({ webhook: nameOf(inForce, id) }, message);
  }
  inForce.loggedProblems = problems;
}
