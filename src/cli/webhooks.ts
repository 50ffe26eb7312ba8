import { Command } from 'commander';
import { webhooksCreateCommand } from './webhooks/create.ts';
import { webhooksDeleteCommand } from './webhooks/delete.ts';
import { webhooksDisableCommand } from './webhooks/disable.ts';
import { webhooksEnableCommand } from './webhooks/enable.ts';
import { webhooksListCommand } from './webhooks/list.ts';
import { webhooksPauseCommand } from './webhooks/pause.ts';
import { webhooksResumeCommand } from './webhooks/resume.ts';
import { webhooksRotateSecretCommand } from './webhooks/rotate-secret.ts';
import { webhooksTestCommand } from './webhooks/test.ts';
import { webhooksUpdateCommand } from './webhooks/update.ts';

/** `odontology-webhooks webhooks` */
export function webhooksCommand(): Command {
  const command = new Command('webhooks').description('the subscriptions: who is sent what');
  const parts = [
    webhooksListCommand(),
    webhooksCreateCommand(),
    webhooksUpdateCommand(),
    webhooksDeleteCommand(),
    webhooksPauseCommand(),
    webhooksResumeCommand(),
    webhooksEnableCommand(),
    webhooksDisableCommand(),
    webhooksRotateSecretCommand(),
    webhooksTestCommand(),
  ];
  for (const part of parts) command.addCommand(part);
  return command;
}
