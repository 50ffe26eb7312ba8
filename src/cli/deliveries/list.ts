import { Command } from 'commander';
import { listDeliveries, type DeliveryRecord } from '../../audit/deliveries.ts';
import { recordListing } from '../../audit/act/reading-acts.ts';
import { toJson } from '../../audit/to-json.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printError, printJson } from '../terminal/output.ts';
import { formatMoment, formatTable } from '../terminal/table.ts';
import { cursorOption, limitOption } from '../argument/query-option.ts';
import { withStore } from '../argument/with-store.ts';
import { addFilter, filterOf, type FilterOptions } from './filter.ts';

interface ListOptions extends ConfigOptions, FilterOptions {
  limit: number;
  cursor?: number;
  json?: true;
}

/** `odontology-webhooks deliveries list` */
export function deliveriesListCommand(): Command {
  const command = new Command('list')
    .description('what was sent to whom, newest first; that it was read is put on record')
    .addOption(configOption())
    .addOption(limitOption())
    .addOption(cursorOption())
    .option('--json', 'print the deliveries as JSON');
  return addFilter(command)
    .addHelpText(
      'after',
      `
Examples:
  $ odontology-webhooks deliveries list --status exhausted --since 24h
  $ odontology-webhooks deliveries list --webhook Pagos --event "payment.*" --json`,
    )
    .action(async (options: ListOptions) => {
      const { items, nextCursor } = await withStore(options, async (vault) => {
        const filter = await filterOf(vault, options);
        await recordListing(vault, localActor(), filter);
        return listDeliveries(vault.store, filter, options);
      });
      if (options.json) printJson({ deliveries: toJson(items), next_cursor: nextCursor });
      else print(formatTable(['id', 'when (UTC)', 'event', 'to', 'status'], items.map(toLine)));
      if (!options.json && nextCursor !== null) printError(`There are more: --cursor ${nextCursor}`);
    });
}

function toLine(delivery: DeliveryRecord): unknown[] {
  const { id, occurredAtMs, eventType, entity, webhookId, webhookName, status, responseStatus, retryCount } =
    delivery;
  const answers = [
    ...(responseStatus === null ? [] : [`${responseStatus}`]),
    ...(retryCount === 0 ? [] : [`${retryCount} retries`]),
  ];
  return [
    id,
    formatMoment(occurredAtMs),
    `${eventType} ${entity.table}:${entity.key}`,
    webhookName ?? webhookId,
    answers.length === 0 ? status : `${status} (${answers.join(', ')})`,
  ];
}
