import { Command } from 'commander';
import { recordReplayEnd } from '../../audit/act/replay-acts.ts';
import { cancelReplay } from '../../outbox/replay/replay.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { idArgument } from '../argument/query-option.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printJson } from '../terminal/output.ts';
import { withStore } from '../argument/with-store.ts';

/** `odontology-webhooks replay cancel` */
export function replayCancelCommand(): Command {
  return new Command('cancel')
    .description('end a replay; what it has put into the queue is still sent')
    .addArgument(idArgument('the id of the replay'))
    .addOption(configOption())
    .option('--json', 'print the result as JSON')
    .action(async (id: number, options: ConfigOptions & { json?: true }) => {
      const cancelled = await withStore(options, ({ store, cipher }) =>
        cancelReplay(store, id, recordReplayEnd(cipher, localActor())),
      );
      if (options.json) printJson({ id, cancelled });
      else print(`Replay ${id} ${cancelled ? 'was cancelled' : 'had ended before'}.`);
    });
}
