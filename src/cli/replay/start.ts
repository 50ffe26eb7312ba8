import { Command } from 'commander';
import { recordReplay } from '../../audit/act/replay-acts.ts';
import { toJson } from '../../audit/to-json.ts';
import { entityValue, nameValue, rateValue, reasonValue } from '../../config/setting/query-value.ts';
import { validateInput } from '../../daemon/validate-webhook.ts';
import { sleep, systemClock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import {
  createReplay,
  getReplay,
  previewReplay,
  type Replay,
  type ReplayPreview,
  type ReplayRequest,
} from '../../outbox/replay/replay.ts';
import { findWebhookId, loadWebhooks } from '../../outbox/webhook/webhook-registry.ts';
import { configOption, type ConfigOptions } from '../argument/config-option.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from '../terminal/confirm.ts';
import { localActor } from '../argument/local-actor.ts';
import { print, printError, printJson } from '../terminal/output.ts';
import { formatTable } from '../terminal/table.ts';
import { createProgress } from '../terminal/progress.ts';
import { queryOption, sinceOption, untilOption } from '../argument/query-option.ts';
import { withStore, type OpenedStore } from '../argument/with-store.ts';

interface ReplayOptions extends ConfigOptions, ConfirmOptions {
  webhook: string;
  since: number;
  until?: number;
  event?: string[];
  entity?: ReplayRequest['entity'];
  exhausted?: true;
  rate?: number;
  reason: string;
  detach?: true;
  json?: true;
}

const lookEveryMs = 500;

/** `odontology-webhooks replay start`, or `replay` alone */
export function replayStartCommand(): Command {
  return new Command('start')
    .description('send past events again to one webhook: counts and asks first')
    .addOption(configOption())
    .addOption(queryOption('--webhook <webhook>', 'id or name', nameValue).makeOptionMandatory())
    .addOption(sinceOption().makeOptionMandatory())
    .addOption(untilOption())
    .option('--event <type...>', 'only these event types')
    .addOption(queryOption('--entity <table:key>', 'only those of one row, as in patients:45', entityValue))
    .option('--exhausted', 'only what was given up: the recovery after an outage')
    .addOption(queryOption('--rate <rate>', 'no more than so many, as in 50/s', rateValue))
    .addOption(queryOption('--reason <text>', 'why, for the audit log', reasonValue).makeOptionMandatory())
    .option(yesFlag, yesDescription)
    .option('--detach', 'do not wait: the daemon continues it')
    .option('--json', 'print the result as JSON')
    .addHelpText(
      'after',
      `
The daemon does the work, also after this command has ended and after a restart. Ids stay, webhook-timestamp is new. What has lost its
payload (retention.payloads, erase) is left out, and so is what is under way.

Example:
  $ odontology-webhooks replay --webhook Pagos --since 6h --event "payment.*" --reason "their database was restored"`,
    )
    .action(async (options: ReplayOptions) => {
      const replay = await withStore(options, (opened) => run(opened, options));
      if (replay === undefined) print('There is nothing to send again.');
      else if (options.json) printJson(toJson(replay));
      else print(inWords(replay));
    });
}

async function run(opened: OpenedStore, options: ReplayOptions): Promise<Replay | undefined> {
  const { config, store, cipher } = opened;
  const { since, until = systemClock.now(), event, entity, exhausted, rate = null, reason } = options;
  if (since >= until) throw new AppError('ERR_USAGE', '--since must lie before --until');
  const problems = validateInput({ events: event ?? [] }, config);
  if (problems.length > 0) throw new AppError('ERR_USAGE', problems.join('\n'));
  const webhookId = await findWebhookId(store, options.webhook);
  const request: ReplayRequest = {
    webhookId,
    sinceMs: since,
    untilMs: until,
    exhaustedOnly: exhausted ?? false,
    ...(event === undefined ? {} : { events: event }),
    ...(entity === undefined ? {} : { entity }),
  };
  const { webhooks } = await loadWebhooks({ store, cipher });
  const preview = await previewReplay(store, request, webhooks);
  if (preview.total === 0) return undefined;
  printError(formatPreview(preview));
  await confirm(`Send up to ${preview.total} events again to webhook ${webhookId}?`, options);
  const actor = localActor();
  const { id } = await createReplay(
    store,
    { ...request, requestedBy: actor.name, reason, ratePerSecond: rate },
    webhooks,
    recordReplay(cipher, webhookId, {
      actor,
      details: { reason, since: iso(since), until: iso(until), events: event ?? null, rate },
    }),
  );
  return options.detach ? getReplay(store, id) : untilDone(opened, id);
}

/** Shows progress while the daemon works. If no daemon runs, prints a hint and waits for one. */
async function untilDone({ store }: OpenedStore, id: number): Promise<Replay> {
  const progress = createProgress(`replay ${id}`);
  let told = false;
  for (;;) {
    const replay = await getReplay(store, id);
    progress.update(replay.queued, replay.total);
    if (replay.state !== 'running') {
      progress.end();
      return replay;
    }
    if (!told && systemClock.now() - replay.createdAtMs > 10_000 && replay.queued === 0) {
      told = true;
      printError('Nothing has been sent yet: is `run` running? It continues the replay by itself.');
    }
    await sleep(lookEveryMs);
  }
}

function formatPreview({ byType }: ReplayPreview): string {
  return formatTable(
    ['event', 'count'],
    byType.map(({ type, count }) => [type, count]),
  );
}

function inWords({ id, state, queued, total }: Replay): string {
  switch (state) {
    case 'running':
      return `Replay ${id} of up to ${total} events continues in the daemon.`;
    case 'cancelled':
      return `Replay ${id} was cancelled after ${queued} deliveries.`;
    case 'done':
      return `Replay ${id}: ${queued} of ${total} events are sent again; the others were under way, or its filter keeps them back.`;
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();
