import { Command } from 'commander';
import { recordAlong } from '../../audit/record-along.ts';
import { findWebhookId } from '../../outbox/webhook-registry.ts';
import { enableWebhook } from '../../outbox/webhook-state.ts';
import { configOption, type ConfigOptions } from '../config-option.ts';
import { localActor } from '../local-actor.ts';
import { print, printJson } from '../output.ts';
import { withStore } from '../with-store.ts';

/** `odontology-webhooks webhooks enable` */
export function webhooksEnableCommand(): Command {
  return new Command('enable')
    .description('send to it again, what waited first')
    .argument('<webhook>', 'id or name')
    .addOption(configOption())
    .option('--json', 'print the result as JSON')
    .action(async (idOrName: string, options: ConfigOptions & { json?: true }) => {
      const id = await withStore(options, async ({ store, box }) => {
        const found = await findWebhookId(store, idOrName);
        await enableWebhook(
          store,
          found,
          recordAlong(box, { actor: localActor(), action: 'webhook.enable' }),
        );
        return found;
      });
      if (options.json) printJson({ id, is_active: true });
      else print(`Webhook ${id} is sent to again.`);
    });
}
