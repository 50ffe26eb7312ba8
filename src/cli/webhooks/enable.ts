import type { Command } from 'commander';
import { recordAlong } from '../../audit/act/record-along.ts';
import { sendMissed } from '../../audit/act/send-missed.ts';
import { enableWebhook } from '../../outbox/webhook/webhook-state.ts';
import { print } from '../terminal/output.ts';
import { standingCommand } from './standing-command.ts';

/** `odontology-webhooks webhooks enable` */
export function webhooksEnableCommand(): Command {
  return standingCommand({
    name: 'enable',
    description: 'send to it again, what waited first',
    async change(vault, id, actor, { missed, json }) {
      const { store, cipher } = vault;
      await enableWebhook(store, id, recordAlong(cipher, { actor, action: 'webhook.enable' }));
      if (!missed) return;
      const replay = await sendMissed(vault, id, actor);
      if (json) return;
      if (replay === null) print('No event was missed.');
      else print(`Replay ${replay.id} sends up to ${replay.total} events that were missed: replay list`);
    },
  }).option('--missed', 'also send the events that were not queued while it was disabled');
}
