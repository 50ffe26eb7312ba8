import { Command } from 'commander';
import { toPage } from '../../audit/page.ts';
import { toJson } from '../../audit/to-json.ts';
import { listReplays, type Replay } from '../../outbox/replay/replay.ts';
import { listWebhooks } from '../../outbox/webhook/webhook-registry.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { print, printError, printJson } from '../terminal/output.ts';
import { formatMoment, formatTable } from '../terminal/table.ts';
import { cursorOption, limitOption } from '../argument/query-option.ts';
import { withStore } from '../argument/with-store.ts';

/** `odontology-webhooks replay list` */
export function replayListCommand(): Command {
  return new Command('list')
    .description('replays, newest first, and how far they are')
    .addOption(configOption())
    .addOption(limitOption())
    .addOption(cursorOption())
    .option('--json', 'print the list as JSON')
    .action(async (options: ConfigOptions & { limit: number; cursor?: number; json?: true }) => {
      const { limit, ...from } = options;
      const { page, names } = await withStore(options, async (vault) => ({
        page: toPage(await listReplays(vault.store, { ...from, limit: limit + 1 }), limit),
        names: new Map((await listWebhooks(vault)).map(({ id, name }) => [id, name])),
      }));
      const { items: replays, nextCursor } = page;
      if (options.json) printJson({ replays: toJson(replays), next_cursor: nextCursor });
      else if (replays.length === 0) print('There is no replay.');
      else print(formatReplays(replays, names));
      if (!options.json && nextCursor !== null) printError(`There are more: --cursor ${nextCursor}`);
    });
}

function formatReplays(replays: readonly Replay[], names: ReadonlyMap<number, string>): string {
  return formatTable(
    ['id', 'when (UTC)', 'to', 'state', 'queued', 'of up to', 'by', 'why'],
    replays.map(({ id, createdAtMs, webhookId, state, queued, total, requestedBy, reason }) => [
      ...[id, formatMoment(createdAtMs), names.get(webhookId) ?? webhookId, state, queued, total],
      ...[requestedBy, reason],
    ]),
  );
}
