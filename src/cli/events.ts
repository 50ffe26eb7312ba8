import { Command } from 'commander';
import { eventsListCommand } from './events/list.ts';
import { eventsTestCommand } from './events/test.ts';

/** `odontology-webhooks events` */
export function eventsCommand(): Command {
  return new Command('events')
    .description('the catalogue of events, and what other rules would make of the past')
    .addCommand(eventsListCommand())
    .addCommand(eventsTestCommand());
}
