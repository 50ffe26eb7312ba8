import { Command } from 'commander';
import type { TimeSpan } from '../binlog/halt.ts';
import type { Source } from '../binlog/source/source.ts';
import type { Position } from '../binlog/types.ts';
import { acceptGap, countGivenUp, countReasons, gapInWords } from '../capture/gap/accept-gap.ts';
import { findGap, type Gap, type Transactions } from '../capture/gap/gap.ts';
import { findFailingChecks } from '../daemon/check/find-failing-checks.ts';
import { AppError, appErrorWithin } from '../lib/errors.ts';
import { refusalWithin } from '../lib/server-error.ts';
import type { OpenedStore } from './argument/with-store.ts';
import { formatFailingChecks } from './check/format-failing-checks.ts';
import { momentValue, readQueryValue, reasonValue } from '../config/setting/query-value.ts';
import { configOption, type ConfigOptions } from './argument/config-option.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from './terminal/confirm.ts';
import { localActor } from './argument/local-actor.ts';
import { print, printError, printJson } from './terminal/output.ts';
import { formatFacts } from './terminal/table.ts';
import { queryOption } from './argument/query-option.ts';
import { withDatabases } from './argument/with-databases.ts';

interface ResumeOptions extends ConfigOptions, ConfirmOptions {
  acceptGap?: true;
  reason?: string;
  until?: number;
  json?: true;
}

/** `odontology-webhooks resume` */
export function resumeCommand(): Command {
  return new Command('resume')
    .description('after a halt: resume capture, with the gap accepted on record')
    .addOption(configOption())
    .option('--accept-gap', 'give up what cannot be read')
    .option(
      '--until <when>',
      'all that cannot be read up to then: now, 2h (so long ago) or a time',
      parseUntil,
    )
    .addOption(queryOption('--reason <text>', 'why, for the audit log', reasonValue))
    .option(yesFlag, yesDescription)
    .option('--json', 'print what was given up as JSON')
    .addHelpText(
      'after',
      `
It shows exactly what is given up, and asks. A running daemon resumes within 2 seconds.
With --until the log is read to there first: what cannot be read is counted and given up, all other changes are delivered.

Examples:
  $ odontology-webhooks resume --accept-gap --reason "test data, emptied by TRUNCATE"
  $ odontology-webhooks resume --accept-gap --until now --reason "an hour of binlog_format=STATEMENT"`,
    )
    .action((options: ResumeOptions) => resume(options, requireConsent(options)));
}

/** Changes are never skipped by mistake: both options are required. */
function requireConsent({ acceptGap: accepted, reason }: ResumeOptions): string {
  if (!accepted) {
    throw new AppError(
      'ERR_USAGE',
      'To resume is to give up what cannot be read: --accept-gap must say so.',
      {
        remedy:
          'odontology-webhooks status shows why capture stopped, and what ends the halt without a loss.',
      },
    );
  }
  const given = reason?.trim() ?? '';
  if (given !== '') return given;
  throw new AppError('ERR_USAGE', 'The audit log records why: --reason is missing.', {
    remedy: 'odontology-webhooks resume --accept-gap --reason "test data, emptied by TRUNCATE"',
  });
}

function resume(options: ResumeOptions, reason: string): Promise<void> {
  return withDatabases(options, async (opened) => {
    const { yes, json, until } = options;
    const gap = await findGap(opened, until).catch(async (error: unknown) => {
      throw await withFailingChecks(error, opened);
    });
    const failing = await findFailingChecks(opened, ['lineage']);
    if (!json || !yes) printError(describeGap(gap));
    if (failing.length > 0) printError(`\nThese checks fail, too:\n\n${formatFailingChecks(failing)}\n`);
    await confirm('Continue?', options);
    await acceptGap(opened, gap, { actor: localActor(), reason });
    if (json) printJson(gapInWords(gap));
    else
      print('Capture resumes; it is on record in the audit log. A running daemon resumes within 2 seconds.');
  });
}

/**
 * If capture is not halted, a failing check may keep the daemon from being ready; if the source refuses a query, a check says what is
 * missing.
 */
async function withFailingChecks(error: unknown, opened: OpenedStore & { source: Source }): Promise<unknown> {
  const known = appErrorWithin(error);
  const notHalted = known?.code === 'ERR_NOT_HALTED' ? known : undefined;
  // Other errors of ours have their own remedy, such as the error about a dropped schema.
  if (!notHalted && (known || refusalWithin(error) === undefined)) return error;
  const failing = await findFailingChecks(opened);
  if (failing.length === 0) return error;
  const remedy = `\n${formatFailingChecks(failing)}`;
  if (!notHalted)
    return new AppError('ERR_SOURCE_ACCESS', 'The source refuses what must be known of its log.', { remedy });
  return new AppError(
    notHalted.code,
    `${notHalted.message} Checks fail, which keeps the daemon from being ready.`,
    {
      remedy,
    },
  );
}

/** The facts that an operator needs before confirming. */
function describeGap(gap: Gap): string {
  const { halt, from } = gap;
  const rows: [string, string][] = [
    ['Why capture stopped', `${halt.reason}: ${halt.message}`],
    [
      'Where',
      from ? placeOf(from.position) : 'no position: capture begins as at a first run (source.start_from)',
    ],
    ...(halt.table === null ? [] : [['Table', halt.table] as [string, string]]),
    ['What is given up', lossOf(gap)],
    ...(gap.kind === 'definition' || gap.kind === 'decoder' || gap.kind === 'edited'
      ? []
      : [['Committed', spanOf(gap)] as [string, string]]),
    ...(gap.kind === 'interval'
      ? [['Where it resumes', `${placeOf(gap.to.position)}. ${gap.why}`] as [string, string]]
      : []),
    ...(gap.kind === 'transaction' ? describeScan(gap) : []),
  ];
  return formatFacts(rows);
}

function lossOf(gap: Gap): string {
  const { halt } = gap;
  switch (gap.kind) {
    case 'interval':
      return `every change in ${halt.missing ?? 'the log between, whose changes are not known more closely'}`;
    case 'transaction':
      return `every change of ${whichOf(gap)}${ofGone(gap.gone) || ', and nothing else'}`;
    case 'edited':
      return 'what was committed between where capture had come to, which is not known, and this place. If this place is the earlier one, those changes are read again, and none is sent twice while its event is in the log';
    case 'decoder':
      return 'no change: these columns are delivered as our decoder reads them. They do not stop capture again';
    case 'definition':
      return gap.gone.length > 0
        ? `the rows that ${gap.gone.join(', ')} held when it went, of which the log says nothing`
        : 'no change: the table is read on with the columns that it has. What a rule needs and it lacks is null from here on';
  }
}

/** The binlog has no row event for rows that were dropped with their table. */
function ofGone(gone: readonly string[]): string {
  return gone.length === 0 ? '' : `, and the rows that ${gone.join(', ')} held when it was dropped`;
}

function whichOf(gap: Transactions): string {
  const count = countGivenUp(gap);
  if (!gap.scan || count === 1) return `the transaction ${gap.halt.transactionId ?? ''}`;
  const reasons = Object.entries(countReasons(gap.scan.unreadable));
  return `${count} transactions (${reasons.map(([reason, times]) => `${reason}: ${times}`).join(', ')})`;
}

function describeScan({ scan }: Transactions): [string, string][] {
  if (!scan) return [];
  const { readable, reached, stoppedAt } = scan;
  return [
    ['Looked at', `the log up to ${placeOf(reached)}`],
    ['What is delivered', `the changes of the other transactions up to there: ${readable} have some`],
    ...(stoppedAt ? [['Where it stops again', stoppedAt.message] as [string, string]] : []),
  ];
}

function placeOf({ gtid, file, offset }: Position): string {
  return `${file}:${offset}${gtid === null ? '' : ` (GTIDs up to ${gtid})`}`;
}

function spanOf(gap: Gap): string {
  const { fromMs, untilMs }: TimeSpan = (gap.kind === 'transaction' && gap.scan?.span) || gap.halt.span;
  const time = (ms: number): string => new Date(ms).toISOString();
  if (fromMs !== null && fromMs === untilMs) return `at ${time(fromMs)}`;
  const isExact = gap.kind === 'transaction' && fromMs !== null && untilMs !== null;
  if (isExact) return `from ${time(fromMs)} to ${time(untilMs)}`;
  return `${fromMs === null ? 'from a time that is not known' : `after ${time(fromMs)}`}, ${untilMs === null ? 'until a time that is not known' : `before ${time(untilMs)}`}`;
}

function parseUntil(text: string): number {
  // For `now`, the end of the binlog is the limit: the source's clock may differ from ours.
  return text === 'now' ? Infinity : readQueryValue(momentValue, { name: '--until', text });
}
