import { Command } from 'commander';
import { recordAct } from '../../audit/record-act.ts';
import { cancelReplay } from '../../outbox/replay.ts';
import { configOption, type ConfigOptions } from '../config-option.ts';
import { parseId } from '../id-argument.ts';
import { localActor } from '../local-actor.ts';
import { print, printJson } from '../output.ts';
import { withStore } from '../with-store.ts';

/** `odontology-webhooks replay cancel` */
export function replayCancelCommand(): Command {
  return new Command('cancel')
    .description('end a replay; what it has put into the queue is still sent')
    .argument('<id>', 'the id of the replay', parseId)
    .addOption(configOption())
    .option('--json', 'print the result as JSON')
    .action(async (id: number, options: ConfigOptions & { json?: true }) => {
      const cancelled = await withStore(options, ({ store }) =>
        cancelReplay(store, id, (tx) =>
          recordAct(tx, { actor: localActor(), action: 'replay.cancel', target: String(id) }),
        ),
      );
      if (options.json) printJson({ id, cancelled });
      else print(`Replay ${id} ${cancelled ? 'was cancelled' : 'had ended before'}.`);
    });
}
