import { Command } from 'commander';
import { changeDetails } from '../../audit/act/record-act.ts';
import { recordAlong } from '../../audit/act/record-along.ts';
import { AppError } from '../../lib/errors.ts';
import { webhookJson } from '../../outbox/webhook/webhook-json.ts';
import { findWebhookId, getWebhook, updateWebhook } from '../../outbox/webhook/webhook-registry.ts';
import { escapeLine } from '../../lib/terminal-text.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printJson } from '../terminal/output.ts';
import { withStore } from '../argument/with-store.ts';
import { addSettings, requireFitSelection, settingsOf, type SettingsOptions } from './settings.ts';

/** `odontology-webhooks webhooks update` */
export function webhooksUpdateCommand(): Command {
  const command = new Command('update')
    .description('change a webhook; what is not named stays as it is')
    .argument('<webhook>', 'id or name')
    .addOption(configOption())
    .option('--name <name>', 'how people and the log call it')
    .option('--url <url>', 'where its events are sent')
    .option('--json', 'print the webhook as JSON');
  return addSettings(command).action(
    async (idOrName: string, options: ConfigOptions & SettingsOptions & { json?: true }) => {
      const webhook = await withStore(options, async ({ config, store, cipher }) => {
        const changes = settingsOf(options, config);
        if (Object.keys(changes).length === 0) throw new AppError('ERR_USAGE', 'no change was named');
        const id = await findWebhookId(store, idOrName);
        if (changes.events ?? changes.filter ?? changes.fields)
          await requireFitSelection({ ...(await getWebhook({ store, cipher }, id)), ...changes }, config);
        await updateWebhook(
          { store, cipher },
          id,
          changes,
          recordAlong(cipher, {
            actor: localActor(),
            action: 'webhook.update',
            details: changeDetails(changes),
          }),
        );
        return getWebhook({ store, cipher }, id);
      });
      if (options.json) printJson(webhookJson(webhook));
      else print(`Webhook ${webhook.id} (${escapeLine(webhook.name)}) was changed.`);
    },
  );
}
