import { Command } from 'commander';
import { listAccess, type AccessRecord } from '../audit/deliveries.ts';
import { knowsPatient, unknownPatient } from '../audit/erase.ts';
import { nameValue } from '../config/setting/query-value.ts';
import { recordAct } from '../audit/act/record-act.ts';
import { storedKey } from '../outbox/append/lane.ts';
import { toJson } from '../audit/to-json.ts';
import { configOption, type ConfigOptions } from './argument/config-option.ts';
import { localActor } from './argument/local-actor.ts';
import { print, printError, printJson } from './terminal/output.ts';
import { Lines } from './terminal/styled.ts';
import { formatMoment, formatTable } from './terminal/table.ts';
import { cursorOption, limitOption, queryOption, sinceOption, untilOption } from './argument/query-option.ts';
import { withStore } from './argument/with-store.ts';

interface AccessOptions extends ConfigOptions {
  patient: string;
  since?: number;
  until?: number;
  limit: number;
  cursor?: number;
  json?: true;
}

/** `odontology-webhooks access` */
export function accessCommand(): Command {
  return new Command('access')
    .description('who received what about a patient: every delivery that carried that patient’s data')
    .addOption(configOption())
    .addOption(
      queryOption('--patient <id>', 'as the clinic numbers patients', nameValue).makeOptionMandatory(),
    )
    .addOption(sinceOption())
    .addOption(untilOption())
    .addOption(limitOption())
    .addOption(cursorOption())
    .option('--json', 'print the deliveries as JSON')
    .addHelpText(
      'after',
      `
That it was asked is put on record. Numbers are compared exactly; if nothing is known about one, the exit code is 1.

Example:
  $ odontology-webhooks access --patient 45`,
    )
    .action(async ({ patient, ...options }: AccessOptions) => {
      const { items, nextCursor } = await withStore(options, async (vault) => {
        const act = { actor: localActor(), action: 'patient.access', target: storedKey(patient) };
        await recordAct(vault.store, vault.cipher, act);
        if (!(await knowsPatient(vault.store, patient))) throw unknownPatient([patient]);
        const { since, until } = options;
        const period = {
          ...(since !== undefined && { sinceMs: since }),
          ...(until !== undefined && { untilMs: until }),
        };
        return listAccess(vault, { patient, ...period }, options);
      });
      if (options.json) printJson({ deliveries: toJson(items), next_cursor: nextCursor });
      else if (items.length === 0) print(nothingSent(options));
      else
        print(formatTable(['delivery', 'when (UTC)', 'to', 'event', 'fields', 'outcome'], items.map(toLine)));
      if (!options.json && nextCursor !== null) printError(`There are more: --cursor ${nextCursor}`);
    });
}

/** The sentence names the period: there may be deliveries outside it. */
function nothingSent({ since, until }: Pick<AccessOptions, 'since' | 'until'>): string {
  const [from, to] = [since, until].map((ms) => ms !== undefined && `${formatMoment(ms)} UTC`);
  const rest = 'othing about this patient was sent to any receiver.';
  if (from && to) return `From ${from} to ${to} n${rest}`;
  if (from) return `From ${from} on n${rest}`;
  return to ? `Before ${to} n${rest}` : `N${rest}`;
}

function toLine({
  id,
  occurredAtMs,
  webhookId,
  webhookName,
  webhookUrl,
  ...record
}: AccessRecord): unknown[] {
  const { eventType, fields, receivers, status, responseStatus } = record;
  return [
    id,
    formatMoment(occurredAtMs),
    receivers.length > 0
      ? new Lines(receivers.map(({ name, url }) => `${name} ${url}`))
      : `${webhookName ?? webhookId} ${webhookUrl ?? '(URL not recorded)'}`,
    eventType,
    fields?.join(', ') ?? 'pruned or erased',
    responseStatus === null ? status : `${status} (${responseStatus})`,
  ];
}
