import { Command } from 'commander';
import type { CheckResult } from '../binlog/preflight/preflight.ts';
import { freeLease } from '../capture/capture-lease.ts';
import { createRowValidator } from '../daemon/validate-webhook.ts';
import { findFailingChecks } from '../daemon/check/find-failing-checks.ts';
import { readStatus, shownByStatus, type InstallationStatus } from '../daemon/status.ts';
import { formatDuration } from '../lib/duration.ts';
import { formatFailingChecks } from './check/format-failing-checks.ts';
import { configOption, type ConfigOptions } from './argument/config-option.ts';
import { print, printJson } from './terminal/output.ts';
import { Lines, styled } from './terminal/styled.ts';
import { formatFacts, formatTable } from './terminal/table.ts';
import { problemLines } from './terminal/problem-lines.ts';
import { withDatabases } from './argument/with-databases.ts';

/** `odontology-webhooks status` */
export function statusCommand(): Command {
  return new Command('status')
    .description('position, lag, runway, queues, and why capture is halted; with or without a daemon')
    .addOption(configOption())
    .option('--json', 'print it as JSON')
    .action(async (options: ConfigOptions & { json?: true }) => {
      const { status, failing } = await withDatabases(options, async (opened) => {
        const problemsOf = createRowValidator(opened.config);
        const status = await readStatus(
          opened.source,
          opened,
          (rows) => new Map(rows.map((row) => [row.id, problemsOf(row)])),
        );
        return { status, failing: await findFailingChecks(opened, shownByStatus(status)) };
      });
      if (options.json) printJson({ ...status, failing_checks: failing });
      else print(formatStatus(status, failing));
    });
}

function formatStatus(
  { daemon, capture, source, webhooks }: InstallationStatus,
  failing: readonly CheckResult[],
): string {
  const { position, halt } = capture;
  const place =
    position &&
    `${position.file}:${position.offset}${position.gtid === null ? '' : `, GTIDs ${position.gtid}`}`;
  const facts: [string, string | Lines][] = [
    ['daemon', daemonText(daemon)],
    ['capture', halt ? styled('red', `halted since ${halt.at}`) : position ? 'running' : 'never began'],
    ['position', place ?? 'none yet'],
    ['last change', capture.committed_at ?? 'none yet'],
    ['lag', capture.lag_ms === null ? 'not known' : formatDuration(roundedSeconds(capture.lag_ms))],
    ...sourceFacts(source),
    ...cascadeFacts(capture),
  ];
  const rows = webhooks.map((webhook) => [
    webhook.id,
    webhook.name,
    webhook.standing === 'disabled' ? (webhook.disabled_reason ?? 'disabled') : webhook.standing,
    webhook.queued,
    webhook.sending,
    webhook.last_error,
  ]);
  return [
    formatFacts(facts),
    ...(halt ? [`${styled('bold', 'Why it is halted:')} ${halt.message}\n\n${halt.remedy}`] : []),
    ...(capture.blocked_by === null
      ? []
      : [
          `${styled('bold', 'Why nothing is captured:')} ${capture.blocked_by} has the lease to capture and does not capture.\n\n${freeLease}`,
        ]),
    ...(failing.length > 0
      ? [`${styled('bold', 'Checks that fail:')}\n\n${formatFailingChecks(failing)}`]
      : []),
    rows.length > 0
      ? formatTable(['id', 'webhook', 'state', 'queued', 'sending', 'last error'], rows)
      : 'There are no webhooks.',
    ...problemLines(webhooks),
  ].join('\n\n');
}

function daemonText({ running, capturing }: InstallationStatus['daemon']): string {
  if (running === 0) return 'not running';
  const count = running === 1 ? 'running' : `${running} are running`;
  return capturing ? count : `${count}, none of them captures`;
}

function sourceFacts(source: InstallationStatus['source']): [string, string | Lines][] {
  if ('error' in source) return [['source', new Lines([source.error, ...source.remedy.split('\n')])]];
  const { until_purge_ms: untilPurgeMs, behind_bytes: behindBytes } = source;
  return [
    ['unread log', `${(behindBytes / 1_048_576).toFixed(1)} MiB`],
    ['until it is purged', untilPurgeMs === null ? 'never' : formatDuration(roundedMinutes(untilPurgeMs))],
  ];
}

/** Empty if there are none. */
function cascadeFacts({ unlogged_cascades: cascades }: InstallationStatus['capture']): [string, string][] {
  if (cascades.length === 0) return [];
  return [['unlogged cascades', cascades.map(({ table, count }) => `${table} (${count})`).join(', ')]];
}

const roundedSeconds = (ms: number): number => Math.round(ms / 1_000) * 1_000;
const roundedMinutes = (ms: number): number => Math.floor(ms / 60_000) * 60_000;
