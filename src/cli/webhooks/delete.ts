import { Command } from 'commander';
import { recordAlong } from '../../audit/act/record-along.ts';
import { deleteWebhook, findWebhookId, getWebhook } from '../../outbox/webhook/webhook-registry.ts';
import { escapeLine } from '../../lib/terminal-text.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from '../terminal/confirm.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printJson } from '../terminal/output.ts';
import { withStore } from '../argument/with-store.ts';

/** `odontology-webhooks webhooks delete` */
export function webhooksDeleteCommand(): Command {
  return new Command('delete')
    .description('end a webhook: what waits for it is given up, its log stays')
    .argument('<webhook>', 'id or name')
    .addOption(configOption())
    .option(yesFlag, yesDescription)
    .option('--json', 'print the result as JSON')
    .action(async (idOrName: string, options: ConfigOptions & ConfirmOptions & { json?: true }) => {
      const { id, name } = await withStore(options, async ({ store, cipher }) => {
        const webhook = await getWebhook({ store, cipher }, await findWebhookId(store, idOrName));
        await confirm(
          `Delete webhook ${webhook.id} (${escapeLine(webhook.name)}), and give up what waits for it?`,
          options,
        );
        await deleteWebhook(
          store,
          webhook.id,
          recordAlong(cipher, {
            actor: localActor(),
            action: 'webhook.delete',
            details: { name: webhook.name },
          }),
        );
        return webhook;
      });
      if (options.json) printJson({ id, deleted: true });
      else print(`Webhook ${id} (${escapeLine(name)}) was deleted.`);
    });
}
