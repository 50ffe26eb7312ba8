import type { PreflightReport } from '../binlog/preflight/preflight.ts';
import type { Source } from '../binlog/source/source.ts';
import { checkWebhooks, judgeEventPatterns, type EventTypes } from '../config/check-webhooks.ts';
import { problemsError } from '../config/problems.ts';
import type { Config } from '../config/types.ts';
import { checkClientCertificate, readClientCertificate } from '../delivery/send/client-certificates.ts';
import { checkWebhookUrl, type GuardOptions } from '../delivery/send/guard.ts';
import { checkWebhookHeaders } from '../delivery/send/headers.ts';
import { describeRules } from '../event/rule/describe.ts';
import { ownEventTypes } from '../event/own-events.ts';
import { builtInRulesFile, readRules } from '../event/rule/rule-file.ts';
import { judgeSelection, type Selection } from '../event/subscription.ts';
import type { EventTypeInfo } from '../event/types.ts';
import { AppError } from '../lib/errors.ts';
import type { Subscription } from '../outbox/types.ts';
import { readClinic, type Clinic } from '../capture/clinic.ts';

/** The source is not ready to be read; `report` has the remedies. */
export class PreflightError extends AppError {
  readonly report: PreflightReport;

  constructor(report: PreflightReport) {
    const failed = report.checks.filter(({ level }) => level === 'fail').length;
    super(
      'ERR_PREFLIGHT',
      `${report.server} is not ready: ${failed} of ${report.checks.length} checks fail.`,
    );
    this.report = report;
  }
}

/** What deliveries may reach: what the configuration opens, never our own doors. */
export function guardOptions({ delivery, http, source, store }: Config): GuardOptions {
  const { allowHttp, allowPrivateNetworks, allowedPorts, proxies } = delivery;
  const databases = [source.url, store.url]
    .filter(({ socketPath }) => socketPath === undefined)
    .map(({ host, port }) => ({ address: host, port }));
  return {
    allowHttp,
    allowPrivateNetworks,
    allowedPorts,
    forbidden: [...databases, { address: http.host, port: http.port }],
    ...(proxies === null ? {} : { proxies }),
  };
}

/**
 * Event names, URLs, headers, filters, fields and client certificates of the file's webhooks: throws ERR_CONFIG with each mistake and its line,
 * or with the client certificate that cannot be used.
 */
export function requireFitWebhooks(config: Config, { rules }: Clinic): void {
  const guard = guardOptions(config);
  for (const [name, files] of Object.entries(config.delivery.clientCertificates))
    readClientCertificate(name, files);
  const problems = checkWebhooks(config.webhooks, {
    eventTypes: eventTypesOf(rules),
    judgeUrl: (url) => checkWebhookUrl(url, guard),
    judgeHeaders: (headers) => checkWebhookHeaders(headers),
    judgeClientCertificate: (name) => checkClientCertificate(name, config.delivery.clientCertificates),
    judgeSelection: (webhook) => judgeSelection(webhook, rules),
  });
  if (problems.length > 0) throw problemsError('ERR_CONFIG', problems);
}

type JudgedRow = Pick<
  Subscription,
  'events' | 'filter' | 'fields' | 'url' | 'headers' | 'standing' | 'clientCertificate'
>;

/** What a webhook names that the rules do not make or have, and what the guard refuses: sentences about a row that SQL may have written. */
export function judgeWebhook(
  { events, filter, fields, ...row }: JudgedRow,
  { config, clinic: { rules } }: { config: Config; clinic: Clinic },
): string[] {
  return [
    ...judgeRow({ events, ...row }, config, rules.types),
    ...judgeSelection({ events, filter, fields }, rules).map(({ key, message }) => `${key}: ${message}`),
  ];
}

/**
 * The same without the source. `types`: those of the rules; null where they cannot be read, and names of events are not judged.
 */
function judgeRow(
  { events, url, headers, standing, clientCertificate }: Omit<JudgedRow, 'filter' | 'fields'>,
  config: Config,
  types: readonly EventTypeInfo[] | null,
): string[] {
  // Its row says already what is wrong with it.
  const address = standing === 'unfit' ? [] : checkWebhookUrl(url, guardOptions(config));
  const unknown = types === null ? [] : judgeEventPatterns(events, eventTypesOf({ types }));
  const certificate = checkClientCertificate(clientCertificate, config.delivery.clientCertificates);
  return [...address, ...unknown, ...checkWebhookHeaders(headers), ...certificate];
}

/** `judgeRow` for a command, with the configuration's rules. */
export function createRowJudge(config: Config): (row: Omit<JudgedRow, 'filter' | 'fields'>) => string[] {
  let types: readonly EventTypeInfo[] | null = null;
  try {
    types = describedRules(config);
  } catch (error) {
    // `check` says what is wrong with the rules: the list of webhooks is printed all the same.
    if (!(error instanceof AppError)) throw error;
  }
  return (row) => judgeRow(row, config, types);
}

function eventTypesOf({ types }: { types: readonly EventTypeInfo[] }): EventTypes {
  return { domain: types.map(({ type }) => type), own: ownEventTypes };
}

/**
 * What is wrong with a webhook that a person writes at the command line or by the API, without asking the source. `types`: those of
 * the rules in force; without them, the configuration's rules are read.
 */
export function judgeInput(
  {
    url,
    events,
    headers,
    clientCertificate = null,
  }: Partial<Pick<Subscription, 'url' | 'events' | 'headers' | 'clientCertificate'>>,
  config: Config,
  types: readonly EventTypeInfo[] = describedRules(config),
): string[] {
  const eventTypes = eventTypesOf({ types });
  return [
    ...(url === undefined ? [] : checkWebhookUrl(url, guardOptions(config))),
    ...judgeEventPatterns(events ?? [], eventTypes),
    ...(headers === undefined ? [] : checkWebhookHeaders(headers)),
    ...checkClientCertificate(clientCertificate, config.delivery.clientCertificates),
  ];
}

function describedRules({ rulesFile }: Config): EventTypeInfo[] {
  return describeRules(readRules(rulesFile ?? builtInRulesFile));
}

export interface SelectionContext {
  config: Config;
  /** A source for one question, which the caller closes. */
  source: Source;
  /** The rules in force; without them, the configuration's are read. */
  clinic?: Clinic;
}

/**
 * What is wrong with `filter` and `fields` of such a webhook. The source is asked about a filter, whose names may be columns and whose
 * values must fit their kinds; when it does not answer, the daemon warns of what does not fit.
 */
export async function judgeInputSelection(
  selection: Selection,
  { config, source, clinic }: SelectionContext,
): Promise<string[]> {
  const rules = clinic?.rules ?? {
    types: describedRules(config),
    watch: new Map(),
  };
  let problems = judgeSelection(selection, rules);
  if (selection.filter !== null && (clinic === undefined || problems.some(({ key }) => key === 'filter'))) {
    try {
      const names = new Set([...Object.keys(selection.filter ?? {}), ...(clinic?.filterNames ?? [])]);
      const options = { filterNames: names, ...(clinic && { ruleFile: clinic.ruleFile }) };
      problems = judgeSelection(selection, (await readClinic(source, config, options)).rules);
    } catch (error) {
      if (!(error instanceof AppError && error.code.startsWith('ERR_SOURCE_'))) throw error;
      problems = problems.filter(({ key }) => key !== 'filter');
    }
  }
  return problems.map(({ key, message }) => `${key}: ${message}`);
}
