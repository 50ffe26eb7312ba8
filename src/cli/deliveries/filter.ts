import { InvalidArgumentError, Option, type Command } from 'commander';
import { statusFilters, type DeliveryFilter, type StatusFilter } from '../../audit/deliveries.ts';
import type { Session } from '../../db/connection/client.ts';
import { findWebhookId } from '../../outbox/webhook/webhook-registry.ts';
import { sinceOption, untilOption } from '../argument/time-option.ts';

/** The options that choose deliveries. */
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
    .option('--event <type>', 'of one type, or of a noun: "appointment.*"')
    .option('--webhook <webhook>', 'to one webhook: id or name')
    .addOption(new Option('--status <status>', 'in this state').choices(statusFilters))
    .addOption(new Option('--entity <table:key>', 'of one row, as in appointments:45').argParser(parseEntity))
    .option('--patient <id>', 'with the data of one patient')
    .addOption(sinceOption())
    .addOption(untilOption());
}

export async function filterOf(session: Session, options: FilterOptions): Promise<DeliveryFilter> {
  const { event, webhook, status, entity, patient, since, until } = options;
  return {
    ...(event !== undefined && { event }),
    ...(webhook !== undefined && {
      webhookId: /^\d+$/.test(webhook) ? Number(webhook) : await findWebhookId(session, webhook),
    }),
    ...(status !== undefined && { status }),
    ...(entity !== undefined && { entity }),
    ...(patient !== undefined && { patient }),
    ...(since !== undefined && { sinceMs: since }),
    ...(until !== undefined && { untilMs: until }),
  };
}

function parseEntity(text: string): { table: string; key: string } {
  const colon = text.indexOf(':');
  if (colon < 1 || colon === text.length - 1) throw new InvalidArgumentError('expected table:key');
  return { table: text.slice(0, colon), key: text.slice(colon + 1) };
}
