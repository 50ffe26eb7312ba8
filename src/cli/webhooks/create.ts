import { Command } from 'commander';
import { recordAlong } from '../../audit/act/record-along.ts';
import { AppError } from '../../lib/errors.ts';
import { createWebhook } from '../../outbox/webhook/webhook-registry.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printJson } from '../terminal/output.ts';
import { withStore } from '../argument/with-store.ts';
import { addSecretOptions, secretOf, type SecretOptions } from './secret-option.ts';
import { addSettings, requireFitSelection, settingsOf, type SettingsOptions } from './settings.ts';

interface CreateOptions extends ConfigOptions, SettingsOptions, SecretOptions {
  name: string;
  url: string;
  json?: true;
}

/** `odontology-webhooks webhooks create` */
export function webhooksCreateCommand(): Command {
  const command = new Command('create')
    .description('add a webhook; its secret is shown once, now')
    .addOption(configOption())
    .requiredOption('--name <name>', 'how people and the log call it')
    .requiredOption('--url <url>', 'where its events are sent')
    .option('--json', 'print the result as JSON');
  return addSecretOptions(addSettings(command))
    .addHelpText(
      'after',
      `
Examples:
  $ odontology-webhooks webhooks create --name Pagos --url https://api.example.com/webhooks --event payment.received "appointment.*"
  $ odontology-webhooks webhooks create --name Pagos --url https://api.example.com/webhooks --event payment.received --secret-env PAYMENTS_WEBHOOK_SECRET`,
    )
    .action(async (options: CreateOptions) => {
      const own = secretOf(options);
      const { id, secret } = await withStore(options, async ({ config, store, cipher }) => {
        const { name, url } = options;
        const event = requireEvents(options);
        const input = { ...config.webhookDefaults, ...settingsOf({ ...options, event }, config) };
        await requireFitSelection({ ...input, events: event }, config);
        return createWebhook(
          { store, cipher },
          { ...input, ...own, name, url, events: event },
          recordAlong(cipher, {
            actor: localActor(),
            action: 'webhook.create',
            details: { name, url, events: event },
          }),
        );
      });
      if (options.json) printJson({ id, ...(own.secret === undefined && { secret }) });
      else if (own.secret !== undefined) print(`Webhook ${id} was made, with the secret that you gave.`);
      else
        print(`Webhook ${id} was made. Its secret, which is not shown again:
${secret}`);
    });
}

/** There is no default: `*` would send the data of all patients, so the events must be named. */
function requireEvents({ event = [] }: SettingsOptions): string[] {
  if (event.length > 0) return event;
  throw new AppError('ERR_USAGE', 'no events were named', {
    remedy: 'Add --event payment.received "appointment.*", or --event "*" for all. events list shows them.',
  });
}
