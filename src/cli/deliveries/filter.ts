import type { Command } from 'commander';
import { statusFilters, type DeliveryFilter, type StatusFilter } from '../../audit/deliveries.ts';
import { entityValue, eventValue, nameValue, wordValue } from '../../config/setting/query-value.ts';
import { requireKnownEvent } from '../../audit/known-event.ts';
import { configuredEventTypes } from '../../daemon/validate-webhook.ts';
import type { OpenedStore } from '../argument/with-store.ts';
import { findLoggedWebhook } from '../../outbox/webhook/find-logged-webhook.ts';
import { queryOption, sinceOption, untilOption } from '../argument/query-option.ts';

/** The options that select deliveries. */
export interface FilterOptions {
  event?: string;
  webhook?: string;
  status?: StatusFilter;
  entity?: { table: string; key: string };
  patient?: string;
  since?: number;
  until?: number;
}

export function addFilter(command: Command): Command {
  return command
    .addOption(queryOption('--event <type>', 'of one type, or of a noun: "appointment.*"', eventValue))
    .addOption(queryOption('--webhook <webhook>', 'to one webhook: id or name', nameValue))
    .addOption(
      queryOption('--status <status>', `one of ${statusFilters.join(', ')}`, wordValue(statusFilters)),
    )
    .addOption(queryOption('--entity <table:key>', 'of one row, as in appointments:45', entityValue))
    .addOption(queryOption('--patient <id>', 'with the data of one patient', nameValue))
    .addOption(sinceOption())
    .addOption(untilOption());
}

export async function filterOf(
  { config, store: session }: Pick<OpenedStore, 'config' | 'store'>,
  options: FilterOptions,
): Promise<DeliveryFilter> {
  const { event, webhook, status, entity, patient, since, until } = options;
  if (event !== undefined) await requireKnownEvent(session, event, configuredEventTypes(config));
  return {
    ...(event !== undefined && { event }),
    ...(webhook !== undefined && {
      webhookId: await findLoggedWebhook(session, webhook),
    }),
    ...(status !== undefined && { status }),
    ...(entity !== undefined && { entity }),
    ...(patient !== undefined && { patient }),
    ...(since !== undefined && { sinceMs: since }),
    ...(until !== undefined && { untilMs: until }),
  };
}
