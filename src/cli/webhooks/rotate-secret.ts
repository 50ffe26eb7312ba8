import { Command } from 'commander';
import { recordAlong } from '../../audit/record-act.ts';
import { formatDuration } from '../../lib/duration.ts';
import { findWebhookId, rotateSecret } from '../../outbox/webhook-registry.ts';
import { configOption, type ConfigOptions } from '../config-option.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from '../confirm.ts';
import { localActor } from '../local-actor.ts';
import { print, printJson } from '../output.ts';
import { withStore } from '../with-store.ts';

/** `odontology-webhooks webhooks rotate-secret` */
export function webhooksRotateSecretCommand(): Command {
  return new Command('rotate-secret')
    .description('give it a new secret, shown once; the old one signs too for delivery.secret_overlap')
    .argument('<webhook>', 'id or name')
    .addOption(configOption())
    .option(yesFlag, yesDescription)
    .option('--json', 'print the result as JSON')
    .action(async (idOrName: string, options: ConfigOptions & ConfirmOptions & { json?: true }) => {
      const rotated = await withStore(options, async ({ config, store, box }) => {
        const id = await findWebhookId(store, idOrName);
        await confirm(`Give webhook ${id} a new secret?`, options);
        const overlapMs = config.delivery.secretOverlapMs;
        const { secret } = await rotateSecret(
          { store, box },
          id,
          { overlapMs },
          recordAlong(localActor(), 'webhook.rotate-secret', { overlap: formatDuration(overlapMs) }),
        );
        return { id, secret, overlap: formatDuration(overlapMs) };
      });
      if (options.json) printJson(rotated);
      else {
        print(
          `Webhook ${rotated.id} has a new secret, which is not shown again; the old one signs too for ${rotated.overlap}:\n${rotated.secret}`,
        );
      }
    });
}
