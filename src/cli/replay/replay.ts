import { Command } from 'commander';
import { replayCancelCommand } from './cancel.ts';
import { replayListCommand } from './list.ts';
import { replayStartCommand } from './start.ts';

/** `odontology-webhooks replay`: without a subcommand it starts a replay. */
export function replayCommand(): Command {
  return new Command('replay')
    .description('send past events again to one webhook')
    .addCommand(replayStartCommand(), { isDefault: true })
    .addCommand(replayListCommand())
    .addCommand(replayCancelCommand())
    .addHelpText('after', '\nThe options of a new replay: odontology-webhooks replay start --help');
}
