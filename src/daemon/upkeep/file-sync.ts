import { recordSync } from '../../audit/act/record-along.ts';
import type { Config } from '../../config/types.ts';
import type { Log } from '../../lib/log.ts';
import { createLoop, type Background } from '../../lib/loop/loop.ts';
import type { FailureLog } from '../../lib/loop/failure-log.ts';
import { countOwed, freesRetries, makeRetriesDue } from '../../outbox/queue/owed.ts';
import type { Claimant } from '../../outbox/types.ts';
import { EndedClaims } from '../../outbox/webhook/ended-claims.ts';
import { isOutdated, type Standing } from '../../outbox/webhook/file-claims.ts';
import { syncWebhooks, type Synced } from '../../outbox/webhook/webhook-sync.ts';

/** How soon webhooks that another daemon blocked are synced, after it has ended or its lease has expired. */
const lookEveryMs = 2_000;

interface FileSyncOptions {
  claimant: Claimant;
  log: Log;
  outages: FailureLog;
}

/** Makes the store's webhooks match the file; while it runs, also syncs what another daemon blocked, when that daemon ends. */
export interface FileSync extends Background {
  /** One sync at a time: `again` uses the last configuration that was synced. */
  sync(config: Config): Promise<Synced>;
  /** Syncs the last configuration once more. Does nothing before the first. */
  again(): Promise<void>;
}

export function createFileSync({ claimant, log, outages }: FileSyncOptions): FileSync {
  let last: { config: Config; synced: Synced; standing: Standing } | undefined;
  let syncing: Promise<unknown> = Promise.resolve();
  const memory = new EndedClaims();

  /** `choose` is called when the previous sync has ended. */
  function enqueue(choose: () => Config): Promise<Synced> {
    const next = syncing.then(async () => {
      const config = choose();
      const { synced, standing } = await syncRecorded({ claimant, log, memory }, config);
      logOthers(log, synced, last?.synced);
      last = { config, synced, standing };
      return synced;
    });
    syncing = next.catch(() => undefined);
    return next;
  }

  async function again(): Promise<void> {
    if (last) await enqueue(() => last!.config);
  }

  const loop = createLoop({
    ...outages.part(
      'the webhooks of the file could not be compared with those of other daemons, trying again',
    ),
    async step() {
      const claims = await memory.read(claimant.store);
      if (last && isOutdated(claims, claimant.owner, last.standing)) await again();
      return lookEveryMs;
    },
  });
  return {
    start: () => loop.start(),
    stop: () => loop.stop(),
    sync: (config) => enqueue(() => config),
    again,
  };
}

/**
 * Makes the store's webhooks match the file, recorded as acts of the file; earlier changes by SQL are recorded as acts of SQL in the same
 * transaction. If any step fails, no event is sent because of an SQL edit of a webhook of the file.
 */
async function syncRecorded(
  { claimant, log, memory }: Pick<FileSyncOptions, 'claimant' | 'log'> & { memory: EndedClaims },
  { webhooks, delivery, fingerprint }: Config,
): ReturnType<typeof syncWebhooks> {
  const { store } = claimant;
  const { bySql, left, ...record } = recordSync(claimant.cipher, fingerprint);
  const result = await syncWebhooks(claimant, webhooks, {
    overlapMs: delivery.secretOverlapMs,
    memory,
    ...record,
  });
  for (const { id, name, kind, changed, isOfFile } of bySql) {
    const what = isOfFile ? 'was changed by SQL and is put back' : 'was changed by SQL';
    log.warn({ webhook: name, id, kind, changed }, `a webhook ${what}: audit log --actor SQL`);
    if (freesRetries(changed)) await makeRetriesDue(store, id);
  }
  for (const { from, to } of result.synced.renamed)
    log.info({ webhook: to, from }, 'webhook renamed in the file');
  for (const { id, name } of left) {
    const owed = await countOwed(store, id);
    const what =
      'webhook left the file and is inactive; its deliveries wait: webhooks enable, or webhooks delete';
    log.warn({ webhook: name, owed }, what);
  }
  return result;
}

/** Logs once what other daemons block, and when that ends. */
function logOthers(log: Log, { refused, kept }: Synced, before: Synced | undefined): void {
  for (const name of refused.filter((each) => before?.refused.includes(each) !== true)) {
    log.warn(
      { webhook: name },
      'another running daemon has a different definition of this webhook in its file: the one of this file is not used until that daemon ends or its file says the same',
    );
  }
  for (const name of kept.filter((each) => before?.kept.includes(each) !== true)) {
    log.warn(
      { webhook: name },
      'webhook is not in this file and stays active, because the file of another running daemon has it',
    );
  }
  for (const name of (before?.refused ?? []).filter((each) => !refused.includes(each))) {
    log.info({ webhook: name }, 'webhook is no longer refused because of the file of another daemon');
  }
}
