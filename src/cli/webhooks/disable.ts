import { Command } from 'commander';
import { recordAlong } from '../../audit/record-along.ts';
import { findWebhookId } from '../../outbox/webhook-registry.ts';
import { disableWebhook } from '../../outbox/webhook-state.ts';
import { configOption, type ConfigOptions } from '../config-option.ts';
import { localActor } from '../local-actor.ts';
import { print, printJson } from '../output.ts';
import { withStore } from '../with-store.ts';

/** `odontology-webhooks webhooks disable` */
export function webhooksDisableCommand(): Command {
  return new Command('disable')
    .description('send nothing to it and queue nothing for it; what is queued waits')
    .argument('<webhook>', 'id or name')
    .addOption(configOption())
    .option('--json', 'print the result as JSON')
    .action(async (idOrName: string, options: ConfigOptions & { json?: true }) => {
      const id = await withStore(options, async ({ store, box }) => {
        const found = await findWebhookId(store, idOrName);
        await disableWebhook(
          store,
          found,
          recordAlong(box, { actor: localActor(), action: 'webhook.disable' }),
        );
        return found;
      });
      if (options.json) printJson({ id, is_active: false });
      else print(`Webhook ${id} is sent nothing.`);
    });
}
