import { Command } from 'commander';
import { recordAlong } from '../../audit/act/record-along.ts';
import { parseRotationInput } from '../../config/setting/webhook-input.ts';
import { formatDuration } from '../../lib/duration.ts';
import { findWebhookId, rotateSecret } from '../../outbox/webhook/webhook-registry.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from '../terminal/confirm.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printJson } from '../terminal/output.ts';
import { withStore } from '../argument/with-store.ts';
import { addSecretOptions, secretOf, type SecretOptions } from './secret-option.ts';

interface RotateOptions extends ConfigOptions, ConfirmOptions, SecretOptions {
  overlap?: string;
  json?: true;
}

/** `odontology-webhooks webhooks rotate-secret` */
export function webhooksRotateSecretCommand(): Command {
  const command = new Command('rotate-secret')
    .description('give it a new secret, shown once; the old one signs too for a while')
    .argument('<webhook>', 'id or name')
    .addOption(configOption())
    .option(
      '--overlap <duration>',
      'how long both sign; default delivery.secret_overlap, 0s for one that leaked',
    )
    .option(yesFlag, yesDescription)
    .option('--json', 'print the result as JSON');
  return addSecretOptions(command).action(async (idOrName: string, options: RotateOptions) => {
    const own = secretOf(options);
    const asked = parseRotationInput({ overlap: options.overlap });
    const { id, secret, overlap } = await withStore(options, async ({ config, store, cipher }) => {
      const found = await findWebhookId(store, idOrName);
      await confirm(`Give webhook ${found} a new secret?`, options);
      const overlapMs = asked.overlapMs ?? config.delivery.secretOverlapMs;
      const during = formatDuration(overlapMs);
      const record = recordAlong(cipher, {
        actor: localActor(),
        action: 'webhook.rotate-secret',
        details: { overlap: during },
      });
      const rotated = await rotateSecret({ store, cipher }, found, { overlapMs, ...own }, record);
      return { id: found, secret: rotated.secret, overlap: during };
    });
    const shown = own.secret === undefined;
    if (options.json) printJson({ id, ...(shown && { secret }), overlap });
    else {
      print(
        `Webhook ${id} has ${shown ? 'a new secret' : 'the secret that you gave'}; the old one signs too for ${overlap}.`,
      );
      if (shown) print(`The new one, which is not shown again:\n${secret}`);
    }
  });
}
