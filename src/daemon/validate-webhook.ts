import { isIP } from 'node:net';
import type { PreflightReport } from '../binlog/preflight/preflight.ts';
import type { Source } from '../binlog/source/source.ts';
import {
  checkWebhooks,
  guessEventPattern,
  checkEventPatterns,
  type EventTypes,
} from '../config/check-webhooks.ts';
import type { Watch } from '../binlog/types.ts';
import { problemsError, type Problem } from '../config/problems.ts';
import type { Config } from '../config/types.ts';
import { checkClientCertificate, checkCertificateFiles } from '../delivery/send/client-certificates.ts';
import { checkWebhookUrl, createGuard, type GuardOptions } from '../delivery/send/guard.ts';
import { checkWebhookHeaders } from '../delivery/send/headers.ts';
import { describeRules } from '../event/rule/describe.ts';
import { systemEventTypes } from '../event/system-events.ts';
import { builtInRulesFile, readRules } from '../event/rule/rule-file.ts';
import {
  findUnsent,
  checkSelection,
  matchesPattern,
  type Selection,
  type SelectionProblem,
} from '../event/subscription.ts';
import type { CompiledEventType, EventTypeInfo } from '../event/types.ts';
import { AppError, appErrorWithin } from '../lib/errors.ts';
import type { Subscription } from '../outbox/types.ts';
import { urlProblem } from '../outbox/webhook/webhook-shape.ts';
import { readCompiledSource, type CompiledSource } from '../capture/compiled-source.ts';

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

/** What is known of the rules when the file's webhooks are checked. */
export interface KnownRules {
  types: readonly (EventTypeInfo & Partial<CompiledEventType>)[];
  /** Events whose rules have a mistake of form: what they send is unknown. */
  unread: readonly string[];
  /** Events of tables that are unknown, and with them the columns that a filter may name. */
  withoutColumns: readonly string[];
  watch: Watch;
}

/**
 * Event names, URLs, headers, filters, fields and client certificates of the file's webhooks. Throws ERR_CONFIG with each mistake and its
 * line.
 */
export function requireFitWebhooks(config: Config, { rules }: CompiledSource): void {
  const problems = validateFileWebhooks(config, { ...rules, unread: [], withoutColumns: [] });
  if (problems.length > 0) throw problemsError('ERR_CONFIG', problems);
}

/** The mistakes of the file's webhooks, as far as they can be checked by what is known. `rules`: null where nothing is. */
export function validateFileWebhooks(config: Config, rules: KnownRules | null): Problem[] {
  const eventTypes = rules && eventTypesOf(rules);
  const guard = guardOptions(config);
  const webhooks = checkWebhooks(config.webhooks, {
    eventTypes,
    // With http:// refused already, what else is wrong with the URL.
    checkUrl: (url) => checkWebhookUrl(guard.allowHttp ? url : url.replace(/^http:/i, 'https:'), guard),
    checkHeaders: (headers) => checkWebhookHeaders(headers),
    checkClientCertificate: (name) => checkClientCertificate(name, config.delivery.clientCertificates),
    checkSelection: (webhook) => (rules && eventTypes ? validateKnown(webhook, rules, eventTypes) : []),
  });
  const told = webhooks.map((problem) => ({ ...problem, ...openingRemedy(problem, config) }));
  return [...told, ...validateCertificates(config)];
}

/** What `allow_private_networks` would have to open: the address and its port; of a name, which may have several addresses, an example. */
function networkOf({ hostname, port, protocol }: URL): { network: string; port: number } {
  const host = hostname.replace(/^\[|\]$/g, '');
  const network = { 0: '10.0.0.0/8', 4: `${host}/32`, 6: `${host}/128` }[isIP(host)]!;
  return { network, port: Number(port) || (protocol === 'https:' ? 443 : 80) };
}

/** The lines that let a webhook reach a receiver that is not on the public internet, where that is what is missing. */
function openingRemedy({ path }: Problem, config: Config): Pick<Problem, 'remedy'> {
  const [, index, key] = path;
  const { url } = config.webhooks[Number(index)]!;
  if (key !== 'url' || !URL.canParse(url)) return {};
  const options = { ...guardOptions(config), allowHttp: true };
  const { network, port } = networkOf(new URL(url));
  // Any port would do, and still it is refused: what is missing is the network.
  const anyPort = { ...options, allowedPorts: [...options.allowedPorts, port] };
  const opened = { cidr: network, port };
  const withNetwork = { ...options, allowPrivateNetworks: [...options.allowPrivateNetworks, opened] };
  if (!isRefused(url, anyPort) || isRefused(url, withNetwork)) return {};
  const place = `${isIP(network.split('/')[0]!) === 6 ? `[${network}]` : network}:${port}`;
  return {
    remedy: `If this receiver is yours, open its address and port:\ndelivery: { allow_private_networks: ['${place}'] }`,
  };
}

const isRefused = (url: string, options: GuardOptions): boolean =>
  'problem' in createGuard(options).checkUrl(url);

/** What `filter` and `fields` name that cannot be right. An entry of `events` that names no event does not hide it. */
function validateKnown(
  { events, filter, fields }: Selection,
  { types, unread, withoutColumns, watch }: KnownRules,
  eventTypes: EventTypes,
): SelectionProblem[] {
  const meant = events.map((pattern) => guessEventPattern(pattern, eventTypes));
  const isMeant = (type: string): boolean => meant.some((pattern) => matchesPattern(pattern, type));
  if (unread.some(isMeant)) return [];
  const problems = checkSelection({ events: meant, filter, fields }, { types, watch });
  return problems.filter(({ key }) => key !== 'filter' || !withoutColumns.some(isMeant));
}

function validateCertificates({ delivery, certificatePositions }: Config): Problem[] {
  return Object.entries(delivery.clientCertificates).flatMap(([name, files]) => {
    const message = checkCertificateFiles(files);
    const path = ['delivery', 'client_certificates', name];
    return message === undefined ? [] : [{ path, position: certificatePositions[name]!, message }];
  });
}

type ValidatedRow = Pick<
  Subscription,
  'events' | 'filter' | 'fields' | 'url' | 'headers' | 'clientCertificate'
>;

/** What a webhook names that the rules do not make or have, and what the guard refuses: sentences about a row that SQL may have written. */
export function validateWebhook(
  { events, filter, fields, ...row }: ValidatedRow,
  { config, clinic: { rules } }: { config: Config; clinic: CompiledSource },
): string[] {
  return [
    ...validateRow({ events, ...row }, config, rules.types),
    ...checkSelection({ events, filter, fields }, rules).map(({ key, message }) => `${key}: ${message}`),
    ...findUnsent({ events, filter }, rules),
  ];
}

/**
 * The same without the source. `types`: those of the rules; null where they cannot be read, and names of events are not checked.
 */
function validateRow(
  { events, url, headers, clientCertificate }: Omit<ValidatedRow, 'filter' | 'fields'>,
  config: Config,
  types: readonly EventTypeInfo[] | null,
): string[] {
  // What is wrong with its form is among the problems of the row.
  const address = urlProblem(url) === undefined ? checkWebhookUrl(url, guardOptions(config)) : [];
  const unknown = types === null ? [] : checkEventPatterns(events, eventTypesOf({ types }));
  const certificate = checkClientCertificate(clientCertificate, config.delivery.clientCertificates);
  return [...address, ...unknown, ...checkWebhookHeaders(headers), ...certificate];
}

/** `validateRow` for a command, with the configuration's rules. */
export function createRowValidator(
  config: Config,
): (row: Omit<ValidatedRow, 'filter' | 'fields'>) => string[] {
  let types: readonly EventTypeInfo[] | null = null;
  try {
    types = describedRules(config);
  } catch (error) {
    // `check` says what is wrong with the rules: the list of webhooks is printed all the same.
    if (!appErrorWithin(error)) throw error;
  }
  return (row) => validateRow(row, config, types);
}

function eventTypesOf({ types, unread = [] }: Pick<KnownRules, 'types'> & Partial<KnownRules>): EventTypes {
  return { domain: [...types.map(({ type }) => type), ...unread], own: systemEventTypes };
}

/**
 * What is wrong with a webhook that a person writes at the command line or by the API, without asking the source. `types`: those of
 * the rules in force; without them, the configuration's rules are read.
 */
export function validateInput(
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
    ...checkEventPatterns(events ?? [], eventTypes),
    ...(headers === undefined ? [] : checkWebhookHeaders(headers)),
    ...checkClientCertificate(clientCertificate, config.delivery.clientCertificates),
  ];
}

/** The event types of the configuration's rules, and our own. Throws AppError ERR_RULES. */
export const configuredEventTypes = (config: Config): EventTypes =>
  eventTypesOf({ types: describedRules(config) });

function describedRules({ rulesFile }: Config): EventTypeInfo[] {
  return describeRules(readRules(rulesFile ?? builtInRulesFile));
}

export interface SelectionContext {
  config: Config;
  /** A source for one question, which the caller closes. */
  source: Source;
  /** The rules in force; without them, the configuration's are read. */
  clinic?: CompiledSource;
}

/** What `validateInputSelection` finds: what is refused, and what is said and accepted. */
export interface CheckedSelection {
  problems: string[];
  /** Events that are never sent, because the filter asks of what they lack. */
  notes: string[];
}

/**
 * What is wrong with `filter` and `fields` of such a webhook. The source is asked about a filter, whose names may be columns and whose
 * values must fit their kinds; when it does not answer, the daemon warns of what does not fit.
 */
export async function validateInputSelection(
  selection: Selection,
  { config, source, clinic }: SelectionContext,
): Promise<CheckedSelection> {
  let rules: Pick<KnownRules, 'types' | 'watch'> = clinic?.rules ?? {
    types: describedRules(config),
    watch: new Map(),
  };
  let problems = checkSelection(selection, rules);
  let notes = clinic === undefined ? [] : findUnsent(selection, rules);
  if (selection.filter !== null && (clinic === undefined || problems.some(({ key }) => key === 'filter'))) {
    try {
      const names = new Set([...Object.keys(selection.filter ?? {}), ...(clinic?.filterNames ?? [])]);
      const options = { filterNames: names, ...(clinic && { ruleFile: clinic.ruleFile }) };
      ({ rules } = await readCompiledSource(source, config, options));
      problems = checkSelection(selection, rules);
      notes = findUnsent(selection, rules);
    } catch (error) {
      if (!appErrorWithin(error)?.code.startsWith('ERR_SOURCE_')) throw error;
      problems = problems.filter(({ key }) => key !== 'filter');
    }
  }
  return { problems: problems.map(({ key, message }) => `${key}: ${message}`), notes };
}
