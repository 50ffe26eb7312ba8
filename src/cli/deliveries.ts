import { Command } from 'commander';
import { deliveriesExportCommand } from './deliveries/export.ts';
import { deliveriesListCommand } from './deliveries/list.ts';
import { deliveriesShowCommand } from './deliveries/show.ts';
import { deliveriesRetryCommand } from './deliveries/retry.ts';

/** `odontology-webhooks deliveries` */
export function deliveriesCommand(): Command {
  return new Command('deliveries')
    .description('the log of what was sent to whom')
    .addCommand(deliveriesListCommand())
    .addCommand(deliveriesShowCommand())
    .addCommand(deliveriesExportCommand())
    .addCommand(deliveriesRetryCommand());
}
