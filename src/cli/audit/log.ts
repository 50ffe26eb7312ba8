import { Command } from 'commander';
import { listActs, type ActFilter, type ActRecord } from '../../audit/act/acts.ts';
import { toJson } from '../../audit/to-json.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { print, printError, printJson } from '../terminal/output.ts';
import { formatMoment, formatTable } from '../terminal/table.ts';
import {
  cursorOption,
  limitOption,
  sinceOption,
  untilOption,
  queryOption,
} from '../argument/query-option.ts';
import { actionValue, nameValue } from '../../config/setting/query-value.ts';
import { withStore } from '../argument/with-store.ts';

interface LogOptions extends ConfigOptions {
  actor?: string;
  action?: string;
  target?: string;
  since?: number;
  until?: number;
  limit: number;
  cursor?: number;
  json?: true;
}

/** `odontology-webhooks audit log` */
export function auditLogCommand(): Command {
  return new Command('log')
    .description('who did what, newest first')
    .addOption(configOption())
    .addOption(queryOption('--actor <name>', 'of one person', nameValue))
    .addOption(queryOption('--action <action>', 'of one kind: webhook.update, or "webhook.*"', actionValue))
    .addOption(queryOption('--target <target>', 'done to this webhook, delivery or patient', nameValue))
    .addOption(sinceOption())
    .addOption(untilOption())
    .addOption(limitOption())
    .addOption(cursorOption())
    .option('--json', 'print the acts as JSON')
    .addHelpText(
      'after',
      `
Examples:
  $ odontology-webhooks audit log --since 7d
  $ odontology-webhooks audit log --action "webhook.*" --actor ana --json`,
    )
    .action(async (options: LogOptions) => {
      const { items, nextCursor } = await withStore(options, ({ store }) =>
        listActs(store, filterOf(options), options),
      );
      if (options.json) printJson({ acts: toJson(items), next_cursor: nextCursor });
      else print(formatActs(items));
      if (!options.json && nextCursor !== null) printError(`There are more: --cursor ${nextCursor}`);
    });
}

function filterOf({ actor, action, target, since, until }: LogOptions): ActFilter {
  return {
    ...(actor !== undefined && { actor }),
    ...(action !== undefined && { action }),
    ...(target !== undefined && { target }),
    ...(since !== undefined && { sinceMs: since }),
    ...(until !== undefined && { untilMs: until }),
  };
}

function formatActs(acts: readonly ActRecord[]): string {
  return formatTable(
    ['id', 'when (UTC)', 'who', 'role', 'action', 'to', 'details'],
    acts.map(({ id, atMs, actor, role, action, target, details }) => [
      id,
      formatMoment(atMs),
      actor,
      role,
      action,
      target,
      details === null ? null : formatDetails(details),
    ]),
  );
}

/** `name: Pagos, events: ["payment.*"]` */
function formatDetails(details: unknown): string {
  if (typeof details !== 'object' || details === null) return JSON.stringify(details);
  return Object.entries(details)
    .map(([key, value]) => `${key}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
}
