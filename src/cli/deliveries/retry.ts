import { Command } from 'commander';
import { recordAct } from '../../audit/act/record-act.ts';
import { retryDelivery, type Retried } from '../../outbox/queue/reopen.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { idArgument } from '../argument/query-option.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printJson } from '../terminal/output.ts';
import { withStore } from '../argument/with-store.ts';

const inWords: Record<Retried, string> = {
  reopened: 'is sent again, with the whole retry schedule before it',
  due: 'was waiting for its retry and is due now',
  unchanged: 'is being sent, or waits for an earlier one of its entity: it was left as it is',
};

/** `odontology-webhooks deliveries retry` */
export function deliveriesRetryCommand(): Command {
  return new Command('retry')
    .description('send one delivery again: the same id and body, a new webhook-timestamp')
    .addArgument(idArgument('the id of the delivery'))
    .addOption(configOption())
    .option('--json', 'print the result as JSON')
    .action(async (id: number, options: ConfigOptions & { json?: true }) => {
      const result = await withStore(options, ({ store, cipher }) =>
        retryDelivery(store, id, async (tx) => {
          await recordAct(tx, cipher, { actor: localActor(), action: 'delivery.retry', target: String(id) });
        }),
      );
      if (options.json) printJson({ id, result });
      else print(`Delivery ${id} ${inWords[result]}.`);
    });
}
