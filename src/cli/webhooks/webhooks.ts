import { Command } from 'commander';
import { webhooksCreateCommand } from './create.ts';
import { webhooksDeleteCommand } from './delete.ts';
import { webhooksDisableCommand } from './disable.ts';
import { webhooksEnableCommand } from './enable.ts';
import { webhooksListCommand } from './list.ts';
import { webhooksPauseCommand } from './pause.ts';
import { webhooksResumeCommand } from './resume.ts';
import { webhooksRotateSecretCommand } from './rotate-secret.ts';
import { webhooksTestCommand } from './test.ts';
import { webhooksUpdateCommand } from './update.ts';

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
