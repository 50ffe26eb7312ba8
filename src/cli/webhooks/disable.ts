import type { Command } from 'commander';
import { recordAlong } from '../../audit/act/record-along.ts';
import { disableWebhook } from '../../outbox/webhook/webhook-state.ts';
import { standingCommand } from './standing-command.ts';

/** `odontology-webhooks webhooks disable` */
export function webhooksDisableCommand(): Command {
  return standingCommand({
    name: 'disable',
    description: 'send nothing to it and queue nothing for it; what is queued waits',
    change: ({ store, cipher }, id, actor) =>
      disableWebhook(store, id, recordAlong(cipher, { actor, action: 'webhook.disable' })),
  });
}
