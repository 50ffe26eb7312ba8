import { Command } from 'commander';
import { createRowValidator } from '../../daemon/validate-webhook.ts';
import { webhookJson } from '../../outbox/webhook/webhook-json.ts';
import { listWebhooks } from '../../outbox/webhook/webhook-registry.ts';
import type { WebhookRecord } from '../../outbox/webhook/webhook-row.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { print, printJson } from '../terminal/output.ts';
import { formatTable } from '../terminal/table.ts';
import { withStore } from '../argument/with-store.ts';
import { problemLines } from '../terminal/problem-lines.ts';

/** `odontology-webhooks webhooks list` */
export function webhooksListCommand(): Command {
  return new Command('list')
    .description('every webhook, active or not; never its secret')
    .addOption(configOption())
    .option('--json', 'print the list as JSON')
    .action(async (options: ConfigOptions & { json?: true }) => {
      const webhooks = await withStore(options, async (vault) => {
        const problemsOf = createRowValidator(vault.config);
        return (await listWebhooks(vault)).map((webhook) => ({
          ...webhook,
          problems: [...webhook.problems, ...problemsOf(webhook)],
        }));
      });
      if (options.json) printJson({ webhooks: webhooks.map(webhookJson) });
      else if (webhooks.length === 0) print('There is no webhook. Make one: webhooks create, or the file.');
      else {
        const table = formatTable(
          ['id', 'name', 'url', 'events', 'state', 'managed by'],
          webhooks.map(toLine),
        );
        print([table, ...problemLines(webhooks)].join('\n\n'));
      }
    });
}

function toLine(webhook: WebhookRecord): unknown[] {
  const { id, name, url, events, managedBy } = webhook;
  return [id, name, url, events.join(' '), stateOf(webhook), managedBy];
}

/** The state in words: whether an operator or the engine stopped it, and since when it fails. */
function stateOf({
  isActive,
  standing,
  pausedAt,
  disabledReason,
  disabledAt,
  failingSince,
  rotationEndsAt,
}: WebhookRecord): string {
  const at = (moment: Date | null): string => moment?.toISOString().slice(0, 19).concat('Z') ?? '';
  if (!isActive)
    return disabledReason === null ? 'inactive' : `disabled ${at(disabledAt)} (${disabledReason})`;
  if (standing === 'paused') return `paused since ${at(pausedAt)}`;
  if (standing === 'unfit') return 'unfit: nothing is sent';
  const rotating = rotationEndsAt === null ? '' : `, two secrets until ${at(rotationEndsAt)}`;
  return (failingSince === null ? 'active' : `failing since ${at(failingSince)}`) + rotating;
}
