import { Command } from 'commander';
import { deliveriesExportCommand } from './export.ts';
import { deliveriesListCommand } from './list.ts';
import { deliveriesShowCommand } from './show.ts';
import { deliveriesRetryCommand } from './retry.ts';

/** `odontology-webhooks deliveries` */
export function deliveriesCommand(): Command {
  return new Command('deliveries')
    .description('the log of what was sent to whom')
    .addCommand(deliveriesListCommand())
    .addCommand(deliveriesShowCommand())
    .addCommand(deliveriesExportCommand())
    .addCommand(deliveriesRetryCommand());
}
