import { Command } from 'commander';
import type { Position } from '../binlog/types.ts';
import { acceptGap, findGap, tellGap, type Gap } from '../daemon/accept-gap.ts';
import { AppError } from '../lib/errors.ts';
import { configOption, type ConfigOptions } from './config-option.ts';
import { confirm, yesDescription, yesFlag, type ConfirmOptions } from './confirm.ts';
import { localActor } from './local-actor.ts';
import { formatTable, print, printError, printJson } from './output.ts';
import { withDatabases } from './with-databases.ts';

interface ResumeOptions extends ConfigOptions, ConfirmOptions {
  acceptGap?: true;
  reason?: string;
  json?: true;
}

/** `odontology-webhooks resume` */
export function resumeCommand(): Command {
  return new Command('resume')
    .description('after a halt: let capture go on, with the gap accepted on record')
    .addOption(configOption())
    .option('--accept-gap', 'give up what cannot be read')
    .option('--reason <text>', 'why, for the audit log')
    .option(yesFlag, yesDescription)
    .option('--json', 'print what was given up as JSON')
    .addHelpText(
      'after',
      '\nIt shows exactly what is given up, and asks. A running daemon goes on within 2 seconds.' +
        '\n\nExample:\n  $ npx odontology-webhooks resume --accept-gap --reason "test data, emptied by TRUNCATE"',
    )
    .action((options: ResumeOptions) => resume(options, requireConsent(options)));
}

/** Nobody gives up changes by mistake: both must be said. */
function requireConsent({ acceptGap: accepted, reason }: ResumeOptions): string {
  if (!accepted) {
    throw new AppError(
      'ERR_USAGE',
      'Going on gives up what cannot be read: that must be said with --accept-gap.',
      { remedy: 'odontology-webhooks status -- shows why capture stopped and what mends it without a loss' },
    );
  }
  const given = reason?.trim() ?? '';
  if (given !== '') return given;
  throw new AppError('ERR_USAGE', 'The audit log wants to know why: --reason is missing.', {
    remedy: 'odontology-webhooks resume --accept-gap --reason "test data, emptied by TRUNCATE"',
  });
}

function resume(options: ResumeOptions, reason: string): Promise<void> {
  return withDatabases(options, async ({ source, store, box }) => {
    const { yes, json } = options;
    const gap = await findGap(source, store);
    if (!json || !yes) printError(describeGap(gap));
    await confirm('Go on?', options);
    await acceptGap({ store, box }, gap, { actor: localActor(), reason });
    if (json) printJson(tellGap(gap));
    else
      print('Capture goes on; it is on record in the audit log. A running daemon goes on within 2 seconds.');
  });
}

/** What a person must know before saying yes. */
function describeGap(gap: Gap): string {
  const { halt, from } = gap;
  const rows: [string, string][] = [
    ['Why capture stopped', `${halt.reason}: ${halt.message}`],
    ['Where', placeOf(from.position)],
    ...(halt.table === null ? [] : [['Table', halt.table] as [string, string]]),
    ['What is given up', lossOf(gap)],
    ...(gap.kind === 'definition' ? [] : [['Committed', spanOf(halt.span)] as [string, string]]),
    ...(gap.kind === 'interval'
      ? [['Where it goes on', `${placeOf(gap.to.position)}. ${gap.why}`] as [string, string]]
      : []),
  ];
  return formatTable(['', ''], rows).trimStart();
}

function lossOf({ kind, halt }: Gap): string {
  switch (kind) {
    case 'interval':
      return `every change in ${halt.missing ?? 'the log between, which cannot be told any closer'}`;
    case 'transaction':
      return `every change of the transaction ${halt.transactionId ?? ''}, and nothing else`;
    case 'definition':
      return 'no change: the table is read on with the columns that it has. What a rule needs and it lacks is null from here on';
  }
}

function placeOf({ gtid, file, offset }: Position): string {
  return `${file}:${offset}${gtid === null ? '' : ` (GTIDs up to ${gtid})`}`;
}

function spanOf({ fromMs, untilMs }: Gap['halt']['span']): string {
  const time = (ms: number): string => new Date(ms).toISOString();
  if (fromMs !== null && fromMs === untilMs) return `at ${time(fromMs)}`;
  return `${fromMs === null ? 'from a time that is not known' : `after ${time(fromMs)}`}, ${untilMs === null ? 'until a time that is not known' : `before ${time(untilMs)}`}`;
}
