import type { Command } from 'commander';
import { recordAlong } from '../../audit/act/record-along.ts';
import { resumeWebhook } from '../../outbox/webhook/webhook-state.ts';
import { standingCommand } from './standing-command.ts';

/** `odontology-webhooks webhooks resume` */
export function webhooksResumeCommand(): Command {
  return standingCommand({
    name: 'resume',
    description: 'end a pause: send what waits, in order',
    change: ({ store, cipher }, id, actor) =>
      resumeWebhook(store, id, recordAlong(cipher, { actor, action: 'webhook.resume' })),
  });
}
