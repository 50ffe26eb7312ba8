import { Command } from 'commander';
import type { Actor } from '../../audit/act/record-act.ts';
import { escapeLine } from '../../lib/terminal-text.ts';
import { findWebhookId } from '../../outbox/webhook/webhook-registry.ts';
import { summarizeWebhook, summaryInWords } from '../../outbox/webhook/webhook-summary.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printJson } from '../terminal/output.ts';
import { withStore, type OpenedStore } from '../argument/with-store.ts';

interface Options extends ConfigOptions {
  json?: true;
  missed?: true;
}

interface StandingVerb {
  name: string;
  description: string;
  change(opened: OpenedStore, id: number, actor: Actor, options: Options): Promise<void>;
}

/** A command that changes whether a webhook is sent to, and prints how many deliveries wait and how new events are handled. */
export function standingCommand({ name, description, change }: StandingVerb): Command {
  return new Command(name)
    .description(description)
    .argument('<webhook>', 'id or name')
    .addOption(configOption())
    .option('--json', 'print the result as JSON')
    .action(async (idOrName: string, options: Options) => {
      const summary = await withStore(options, async (opened) => {
        const id = await findWebhookId(opened.store, idOrName);
        await change(opened, id, localActor(), options);
        return summarizeWebhook(opened, id);
      });
      if (options.json) printJson({ ...summary, is_active: summary.standing !== 'inactive' });
      else print(summaryInWords({ ...summary, name: escapeLine(summary.name) }));
    });
}
