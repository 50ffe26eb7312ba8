import { findUnsent } from '../event/subscription.ts';
import type { CheckResult } from '../binlog/preflight/preflight.ts';
import type { CompiledSource } from '../capture/compiled-source.ts';
import { problemsError, type Problem } from '../config/problems.ts';
import type { Config } from '../config/types.ts';
import type { DraftRules } from './draft-rules.ts';
import type { KnownState } from './known-state.ts';
import { validateWebhook } from './validate-webhook.ts';

/*
 * The lines of `check` about the configuration, the rules and the webhooks.
 */

const line = (
  id: string,
  title: string,
  [level, detail, remedy = null]: [CheckResult['level'], string, (string | null)?],
): CheckResult => ({ id, title, level, detail, remedy });

/** The line about the file itself, without the problems of its webhooks. */
export function configurationLine(problems: readonly Problem[]): CheckResult {
  const title = 'Configuration file';
  if (problems.length === 0) return line('configuration', title, ['pass', 'Every key and value fits.']);
  const { message, remedy } = problemsError('ERR_CONFIG', problems);
  return line('configuration', title, ['fail', message, remedy]);
}

export function rulesLine({ clinic, mistake, silence, known }: DraftRules): CheckResult {
  const title = 'Rules';
  if (mistake) return line('rules', title, ['fail', mistake.message, mistake.remedy]);
  if (silence) return line('rules', title, ['skip', 'The source does not answer.']);
  if (clinic) return line('rules', title, ['pass', `${clinic.rules.types.length} event types.`]);
  const missing = known ? 'source.url' : '`rules`';
  return line('rules', title, ['skip', `${missing} must be corrected first.`]);
}

export function payloadLine({ rules: { warnings } }: CompiledSource): CheckResult {
  const title = 'Fields of payloads';
  if (warnings.length === 0) return line('payload-fields', title, ['pass', 'None is always null.']);
  const count = warnings.length === 1 ? 'One name is' : `${warnings.length} names are`;
  return line('payload-fields', title, [
    'warn',
    `${count} without a value in this schema:\n${warnings.join('\n')}`,
    'Name the columns of this clinic in a rules file (rules: events.yaml); or leave it, where a field may be null or an event is not wanted.',
  ]);
}

export function webhooksLine(
  { webhooks }: Config,
  { clinic, known }: DraftRules,
  unfit: readonly Problem[],
): CheckResult {
  const title = 'Webhooks of the file';
  if (unfit.length > 0) {
    const { message, remedy } = problemsError('ERR_CONFIG', unfit);
    return line('webhooks', title, ['fail', message, remedy]);
  }
  if (webhooks.length === 0) return line('webhooks', title, ['pass', 'The file has none.']);
  if (!clinic || known?.unread.length !== 0) {
    const detail = 'What can be checked without the rules and the source fits.';
    return line('webhooks', title, ['skip', detail]);
  }
  const unsent = webhooks.flatMap((webhook) =>
    findUnsent(webhook, clinic.rules).map((message) => `${webhook.name}: ${message}.`),
  );
  if (unsent.length > 0) {
    const remedy =
      'Change events or filter of these webhooks; or leave it, where these events are not wanted.';
    return line('webhooks', title, ['warn', unsent.join('\n'), remedy]);
  }
  return line('webhooks', title, [
    'pass',
    webhooks.length === 1 ? 'It fits.' : `All ${webhooks.length} fit.`,
  ]);
}

/** Includes a running daemon that reads this same file: until it has applied an edit, it uses another definition. */
export function daemonWebhooksLine({ refused }: Pick<KnownState, 'refused'>): CheckResult[] {
  if (refused.length === 0) return [];
  const detail = `A running daemon uses another definition of: ${refused.join(', ')}.`;
  const remedy =
    'If that daemon reads this file, reload it (SIGHUP). Else the definition of this file is not used while that daemon runs: ' +
    'stop it, or define these webhooks in both files alike.';
  return [line('daemon-webhooks', 'Webhooks of running daemons', ['warn', detail, remedy])];
}

/** Rows of the database may be written by SQL: problems with them never stop a start, and each is reported by name. */
export function storeWebhooksLine(
  config: Config,
  clinic: CompiledSource,
  { webhooks, problems }: KnownState['webhooks'],
): CheckResult[] {
  const title = 'Webhooks of the database';
  const own = webhooks.filter(
    ({ managedBy, collects, standing }) => managedBy === 'database' && (collects || standing === 'unfit'),
  );
  const found = [
    ...problems.map(({ name, message }) => `${name}: ${message}`),
    ...own.flatMap((webhook) =>
      validateWebhook(webhook, { config, clinic }).map((message) => `${webhook.name}: ${message}`),
    ),
  ];
  if (found.length > 0) {
    const remedy = 'Correct each with `webhooks update` and the name of the webhook.';
    return [line('store-webhooks', title, ['warn', found.join('\n'), remedy])];
  }
  if (own.length === 0) return [];
  return [line('store-webhooks', title, ['pass', own.length === 1 ? 'It fits.' : `All ${own.length} fit.`])];
}
