import type { Command } from 'commander';
import { recordAlong } from '../../audit/act/record-along.ts';
import { pauseWebhook } from '../../outbox/webhook/webhook-state.ts';
import { standingCommand } from './standing-command.ts';

/** `odontology-webhooks webhooks pause` */
export function webhooksPauseCommand(): Command {
  return standingCommand({
    name: 'pause',
    description: 'queue its events and send nothing, until webhooks resume',
    change: ({ store, cipher }, id, actor) =>
      pauseWebhook(store, id, recordAlong(cipher, { actor, action: 'webhook.pause' })),
  });
}
