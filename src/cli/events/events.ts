import { Command } from 'commander';
import { eventsListCommand } from './list.ts';
import { eventsTestCommand } from './test.ts';

/** `odontology-webhooks events` */
export function eventsCommand(): Command {
  return new Command('events')
    .description('the catalogue of events, and what other rules would make of the past')
    .addCommand(eventsListCommand())
    .addCommand(eventsTestCommand());
}
