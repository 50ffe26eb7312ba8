import { Command, InvalidArgumentError } from 'commander';
import { findPositionAt } from '../../binlog/position/position-at.ts';
import { readErasureMoments, recordDryRun } from '../../audit/act/reading-acts.ts';
import { openSource, type Source, type SourceIdentity } from '../../binlog/source/source.ts';
import type { Config } from '../../config/types.ts';
import { lineageName } from '../../capture/resume-position.ts';
import { filterNames, readCompiledSource } from '../../capture/compiled-source.ts';
import { dryRun, type TestedWebhook } from '../../capture/dry-run/dry-run.ts';
import type {
  Difference,
  DryRunReport,
  MayShow,
  WebhookCount,
} from '../../capture/dry-run/dry-run-report.ts';
import { openStore } from '../../db/connection/client.ts';
import { openCipher } from '../../crypto/cipher.ts';
import { builtInRulesFile, readRules } from '../../event/rule/rule-file.ts';
import type { Rules } from '../../event/types.ts';
import { systemClock } from '../../lib/clock.ts';
import { AppError } from '../../lib/errors.ts';
import { readCaptureState } from '../../outbox/checkpoint.ts';
import { storedKey } from '../../outbox/append/lane.ts';
import { findWebhookId, getWebhook } from '../../outbox/webhook/webhook-registry.ts';
import { escapeLine } from '../../lib/terminal-text.ts';
import { localActor } from '../argument/local-actor.ts';
import { withStore } from '../argument/with-store.ts';
import { configOf, configOption, type ConfigOptions } from '../argument/config-option.ts';
import { print, printJson } from '../terminal/output.ts';
import { styled } from '../terminal/styled.ts';
import { formatTable } from '../terminal/table.ts';
import { createProgress } from '../terminal/progress.ts';
import { sinceOption, untilOption } from '../argument/query-option.ts';
import type { EncryptedStore } from '../../db/connection/encrypted-store.ts';
import { definitionNotes } from './definition-notes.ts';

const clockSkewMs = 60_000;

interface TestOptions extends ConfigOptions {
  rules?: string;
  webhook?: string;
  since: number;
  until?: number;
  limit: number;
  showData?: true;
  json?: true;
}

/** `odontology-webhooks events test` */
export function eventsTestCommand(): Command {
  return new Command('test')
    .description(
      'a dry run: what other rules would have made of past changes, beside what the present ones make',
    )
    .addOption(configOption())
    .option('--rules <file>', 'the rules to try; without it the present ones')
    .option(
      '--webhook <name>',
      'count how many events this webhook would be sent: by name, of the file or the store',
    )
    .addOption(sinceOption().makeOptionMandatory())
    .addOption(untilOption())
    .option('--limit <n>', 'examples of each kind of difference for each event type', parseLimit, 3)
    .option(
      '--show-data',
      "print the data of the examples as well: these are patients' data, so it is put on record",
    )
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      `
Nothing is sent; a running daemon is not disturbed. Rows that a rule looks up are read as they are now.
Without --show-data the examples have the names of fields and the key of the row, never a value, and nothing is written. With it the data of
patients who were erased is left out, and the audit log has an act for each patient whose data is shown.
Exit code 1 when something in the range could not be read.

Examples:
  $ odontology-webhooks events test --rules new.yaml --since 2h
  $ odontology-webhooks events test --webhook 'Payment Notifications' --since 2h`,
    )
    .action(async (options: TestOptions) => {
      const report = options.showData
        ? await withStore(options, (vault) => testRules(options, vault))
        : await testRules(options);
      if (options.json) printJson(report);
      else print(formatReport(report));
      if (report.halts.length > 0) process.exitCode = 1;
    });
}

/** Shows data only if `vault` is given: it contains the erasures and records the acts. */
async function testRules(options: TestOptions, vault?: EncryptedStore): Promise<DryRunReport> {
  const config = configOf(options);
  if (options.rules === undefined && options.webhook === undefined) {
    throw new AppError('ERR_USAGE', 'nothing to try was named', {
      remedy: 'Add --rules FILE, --webhook NAME, or both.',
    });
  }
  const file = readRules(options.rules ?? config.rulesFile ?? builtInRulesFile);
  const webhook = options.webhook === undefined ? undefined : await findWebhook(options.webhook, config);
  const source = openSource(config.source.url);
  const progress = createProgress('reading the binlog, MiB');
  try {
    const names = filterNames(config.webhooks, webhook ? [webhook] : []);
    const next = await readCompiledSource(source, config, { filterNames: names, ruleFile: file });
    const { rules: present, problem } = await compilePresent(source, config);
    const sinceMs = Math.floor(options.since / 1_000) * 1_000;
    const from = await findPositionAt(source, next.identity, sinceMs);
    if (!from) throw new AppError('ERR_PREFLIGHT', 'The binary log of the source is off.');
    const untilMs = options.until ?? systemClock.now();
    const lineage = await readLineage(config, next.identity);
    const mayShow = vault ? await readMayShow(vault) : null;
    const { report, shownPatients } = await dryRun({
      source,
      next,
      present,
      from,
      sinceMs,
      untilMs,
      lineage,
      limit: options.limit,
      mayShow,
      ...(webhook && { webhook }),
      onProgress: ({ bytes, ofBytes }) => progress.update(bytes / 2 ** 20, ofBytes / 2 ** 20),
    });
    if (vault) await recordDryRun(vault, localActor(), { patients: shownPatients, sinceMs });
    const shorter = from.reachesBack
      ? []
      : [`the log begins at ${new Date(from.begunAtMs).toISOString()}: what came before is purged`];
    return { ...report, warnings: [...shorter, ...problem, ...report.warnings] };
  } finally {
    progress.end();
    await source.close();
  }
}

/** Hides data that a recorded erasure covers. The clock of the store may be behind the clock of the source. */
async function readMayShow(vault: EncryptedStore): Promise<MayShow> {
  const erasedMs = await readErasureMoments(vault);
  return ({ subject, occurredAtMs }) =>
    subject === null || occurredAtMs > (erasedMs.get(storedKey(subject)) ?? -Infinity) + clockSkewMs;
}

/** The webhook as it is in the file, which may contain an edit that is not in force yet; otherwise the webhook in the store. */
async function findWebhook(name: string, config: Config): Promise<TestedWebhook> {
  const inFile = config.webhooks.find((webhook) => webhook.name.toLowerCase() === name.toLowerCase());
  if (inFile) return inFile;
  const store = openStore(config.store.url, { connections: 1 });
  try {
    return await getWebhook({ store, cipher: openCipher(config.store) }, await findWebhookId(store, name));
  } finally {
    await store.close();
  }
}

/** Compiles the present rules. If they do not fit the schema, they count as no rules, and every event counts as added. */
async function compilePresent(
  source: Source,
  config: Config,
): Promise<{ rules: Rules | null; problem: string[] }> {
  try {
    return {
      rules: (await readCompiledSource(source, config, { filterNames: filterNames(config.webhooks) })).rules,
      problem: [],
    };
  } catch (error) {
    if (!(error instanceof AppError) || error.code !== 'ERR_RULES') throw error;
    return { rules: null, problem: [`the present rules do not fit, they count as none: ${error.message}`] };
  }
}

/** The lineage of the running installation, so that the ids equal the ids of delivered events; otherwise the lineage of a first run. */
async function readLineage(config: Config, identity: SourceIdentity): Promise<string> {
  const store = openStore(config.store.url, { connections: 1 });
  try {
    const { checkpoint, epoch } = await readCaptureState(store);
    return checkpoint?.lineage ?? lineageName(identity, epoch);
  } catch {
    return lineageName(identity, 0);
  } finally {
    await store.close();
  }
}

function parseLimit(text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 0)
    throw new InvalidArgumentError('Write a whole number, 0 or more.');
  return limit;
}

const marks = {
  added: styled('green', '+'),
  removed: styled('red', '-'),
  changed: styled('yellow', '~'),
};

function formatReport({ range, ...report }: DryRunReport): string {
  const { events, differences, halts, definitions, lookups, warnings } = report;
  const seen = events.filter((count) => count.present + count.new > 0);
  const rows = seen.map((each) => [
    each.event,
    each.present,
    each.new,
    each.same,
    each.changed,
    each.added,
    each.removed,
  ]);
  const notes = [
    ...new Set(warnings),
    ...definitionNotes(definitions),
    ...(lookups > 0 ? [`${lookups} questions to the database were answered with rows as they are now`] : []),
  ];
  const unread = halts.map(({ message, remedy }) => `${styled('red', 'not read')}  ${message}\n${remedy}`);
  return [
    `${range.since} to ${range.until}, from ${range.file} on: ${report.transactions} transactions, ${report.changes} changes of watched rows.`,
    seen.length === 0
      ? 'Neither the present rules nor the new ones make an event of it.'
      : formatTable(['event', 'present', 'new', 'same', 'changed', 'added', 'removed'], rows),
    ...(report.webhook ? [formatWebhook(report.webhook)] : []),
    ...(differences.length > 0 ? [differences.map(formatDifference).join('\n')] : []),
    ...(notes.length > 0 ? [notes.map((note) => `${styled('yellow', 'note')}  ${note}`).join('\n')] : []),
    ...unread,
  ].join('\n\n');
}

function formatWebhook({ name, events }: WebhookCount): string {
  const total = (key: 'subscribed' | 'passed'): number => events.reduce((sum, each) => sum + each[key], 0);
  const sentence = `Webhook ${escapeLine(name)} would be sent ${total('passed')} of ${total('subscribed')} events that it subscribes to.`;
  if (events.length === 0) return sentence;
  const rows = events.map((each) => [each.event, each.subscribed, each.passed]);
  return `${sentence}\n\n${formatTable(['event', 'subscribed', 'passed'], rows)}`;
}

function formatDifference({ kind, event, id, at, table, key, fields, erased, ...data }: Difference): string {
  const line = `${marks[kind]} ${event}  ${table} ${key}  ${at}  ${id}  ${fields.join(', ')}`;
  const shown = Object.entries(data).map(([side, values]) => `\n    ${side}: ${JSON.stringify(values)}`);
  return line + (erased ? '\n    data: left out, the patient was erased' : shown.join(''));
}
