import { Command } from 'commander';
import { recordAct } from '../audit/act/record-act.ts';
import { prune, type Pruned } from '../daemon/upkeep/retention.ts';
import { formatDuration } from '../lib/duration.ts';
import { countPrunable } from '../outbox/prune.ts';
import { configOption, type ConfigOptions } from './argument/config-option.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from './terminal/confirm.ts';
import { localActor } from './argument/local-actor.ts';
import { print, printJson } from './terminal/output.ts';
import { createProgress } from './terminal/progress.ts';
import { withStore, type OpenedStore } from './argument/with-store.ts';

type Removed = Omit<Pruned, 'more'>;

/** `odontology-webhooks prune` */
export function pruneCommand(): Command {
  return new Command('prune')
    .description('remove now what has outlived `retention`, instead of waiting for the daemon')
    .addOption(configOption())
    .option(yesFlag, yesDescription)
    .option('--json', 'print what was removed as JSON')
    .addHelpText(
      'after',
      `
The daemon does the same by itself, in the same small batches; this is for after a shortened retention, or before a backup. What is
still owed to a webhook stays, and \`audit verify\` still proves what is left.

Example:
  $ odontology-webhooks prune`,
    )
    .action(async (options: ConfigOptions & ConfirmOptions & { json?: true }) => {
      const removed = await withStore(options, (opened) => pruneAll(opened, options));
      if (options.json) printJson(removed);
      else print(inWords(removed));
    });
}

async function pruneAll({ config, store, cipher }: OpenedStore, options: ConfirmOptions): Promise<Removed> {
  const { retention } = config;
  const due = await countPrunable(store, retention);
  const [payloadsAge, logAge] = [formatDuration(retention.payloadsMs), formatDuration(retention.logMs)];
  await confirm(
    `Remove the payloads of ${due.payloads} events older than ${payloadsAge}, and ${due.events} events older than ${logAge} whole?`,
    options,
  );
  await recordAct(store, cipher, { actor: localActor(), action: 'retention.prune', details: due });
  const removed: Removed = { seals: 0, payloads: 0, events: 0 };
  const total = due.payloads + due.events;
  const progress = createProgress('pruning');
  for (let more = true; more;) {
    const batch = await prune({ store, cipher }, retention, { atOnce: true });
    removed.seals += batch.seals;
    removed.payloads += batch.payloads;
    removed.events += batch.events;
    more = batch.more;
    progress.update(removed.payloads + removed.events, Math.max(total, removed.payloads + removed.events));
  }
  progress.end();
  return removed;
}

function inWords({ seals, payloads, events }: Removed): string {
  return `Looked at ${payloads} events for their payloads; ${events} events and the entries of ${seals} seals are gone.`;
}
