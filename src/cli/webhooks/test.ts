import { Command } from 'commander';
import { recordAct } from '../../audit/act/record-act.ts';
import { toJson } from '../../audit/to-json.ts';
import { guardOptions } from '../../daemon/validate-webhook.ts';
import { createSender } from '../../delivery/send/send.ts';
import { testWebhook } from '../../delivery/send/test-webhook.ts';
import type { Outcome } from '../../delivery/types.ts';
import { findWebhookId, loadWebhook } from '../../outbox/webhook/webhook-registry.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printJson } from '../terminal/output.ts';
import { withStore, type OpenedStore } from '../argument/with-store.ts';

/** `odontology-webhooks webhooks test` */
export function webhooksTestCommand(): Command {
  return new Command('test')
    .description('send it one signed webhook.test event, and say what became of it')
    .argument('<webhook>', 'id or name')
    .addOption(configOption())
    .option('--json', 'print the outcome as JSON')
    .addHelpText(
      'after',
      '\nThe event holds no data of a patient and is not recorded in the log. Exit code 1 unless it was answered with 2xx.',
    )
    .action(async (idOrName: string, options: ConfigOptions & { json?: true }) => {
      const outcome = await withStore(options, (opened) => tryOut(opened, idOrName));
      if (options.json) printJson(toJson(outcome));
      else print(inWords(outcome));
      if (outcome.kind !== 'delivered') process.exitCode = 1;
    });
}

async function tryOut({ config, store, cipher }: OpenedStore, idOrName: string): Promise<Outcome> {
  const id = await findWebhookId(store, idOrName);
  const webhook = await loadWebhook({ store, cipher }, id);
  const sender = createSender({
    guard: guardOptions(config),
    ca: config.delivery.ca ?? undefined,
    clientCertificates: config.delivery.clientCertificates,
  });
  try {
    const outcome = await testWebhook(sender, webhook);
    const details = { outcome: outcome.kind };
    await recordAct(store, cipher, {
      actor: localActor(),
      action: 'webhook.test',
      target: String(id),
      details,
    });
    return outcome;
  } finally {
    await sender.close();
  }
}

function inWords(outcome: Outcome): string {
  const took = `${Math.round(outcome.durationMs)} ms`;
  switch (outcome.kind) {
    case 'delivered':
      return `Delivered: ${outcome.status} in ${took}.`;
    case 'rejected':
    case 'gone':
      return `Refused: ${outcome.status} in ${took}. ${outcome.responseBody.slice(0, 200)}`;
    case 'failed':
      return `Failed (${outcome.reason}) after ${took}: ${outcome.message}`;
    case 'forbidden':
      return `Not sent: ${outcome.message}`;
  }
}
