import { Command } from 'commander';
import { getDelivery, type DeliveryDetail } from '../../audit/deliveries.ts';
import { recordReading } from '../../audit/act/reading-acts.ts';
import { toJson } from '../../audit/to-json.ts';
import { escapeLine } from '../../lib/terminal-text.ts';
import { idArgument } from '../argument/query-option.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printExact, printJson } from '../terminal/output.ts';
import { formatMoment, formatTable } from '../terminal/table.ts';
import { withStore } from '../argument/with-store.ts';

/** `odontology-webhooks deliveries show` */
export function deliveriesShowCommand(): Command {
  return new Command('show')
    .description('one delivery with its payload and its attempts; that it was read is put on record')
    .addArgument(idArgument('number of the delivery'))
    .addOption(configOption())
    .option('--json', 'print it as JSON')
    .action(async (id: number, options: ConfigOptions & { json?: true }) => {
      const delivery = await withStore(options, async (vault) => {
        const found = await getDelivery(vault, id);
        await recordReading(vault, localActor(), found);
        return found;
      });
      if (options.json) printJson(toJson(delivery));
      else {
        print(formatHead(delivery));
        printExact(delivery.payload ?? 'The payload was pruned or erased.');
        printExact(formatAttempts(delivery));
        for (const line of explainAttempts(delivery)) print(line);
      }
    });
}

function formatHead({ id, eventType, eventId, entity, status, ...to }: DeliveryDetail): string {
  const { webhookId, webhookName, webhookUrl } = to;
  return [
    escapeLine(`Delivery ${id}: ${eventType} (${eventId}) of ${entity.table}:${entity.key}`),
    escapeLine(`To ${webhookName ?? webhookId} ${webhookUrl ?? '(URL not recorded)'}: ${status}`),
  ].join('\n');
}

function formatAttempts({ attempts }: DeliveryDetail): string {
  return formatTable(
    ['attempt', 'begun (UTC)', 'ms', 'outcome', 'answer', 'reason', 'to'],
    attempts.map(({ number, startedAtMs, durationMs, outcome, responseStatus, reason, receiver }) => [
      number,
      formatMoment(startedAtMs),
      durationMs,
      outcome,
      responseStatus,
      reason,
      receiver && `${receiver.name} ${receiver.url}`,
    ]),
  );
}

/** Printed below the table, so that its cells stay narrow. If consecutive attempts have the same explanation, it is printed once. */
function explainAttempts({ attempts }: DeliveryDetail): string[] {
  const lines: { from: number; to: number; words: string }[] = [];
  for (const { number, explanation: words } of attempts) {
    const last = lines.at(-1);
    if (last?.words === words && last.to === number - 1) last.to = number;
    else if (words !== null) lines.push({ from: number, to: number, words });
  }
  return lines.map(({ from, to, words }) =>
    escapeLine(from === to ? `Attempt ${from}: ${words}` : `Attempts ${from} to ${to}: ${words}`),
  );
}
