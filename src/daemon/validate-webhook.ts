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

/** The source is not ready to be read; `report` contains the remedies. */
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

/** Networks that deliveries may reach: the networks that the configuration allows, never the daemon's own servers. */
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

/** What is known about the rules when the file's webhooks are checked. */
export interface KnownRules {
  types: readonly (EventTypeInfo & Partial<CompiledEventType>)[];
  /** Events whose rules are malformed: their fields are unknown. */
  unread: readonly string[];
  /** Events of unknown tables, for which the columns that a filter may name are unknown too. */
  withoutColumns: readonly string[];
  watch: Watch;
}

/**
 * Checks event names, URLs, headers, filters, fields and client certificates of the file's webhooks. Throws ERR_CONFIG with each mistake
 * and its line.
 */
export function requireFitWebhooks(config: Config, { rules }: CompiledSource): void {
  const problems = validateFileWebhooks(config, { ...rules, unread: [], withoutColumns: [] });
  if (problems.length > 0) throw problemsError('ERR_CONFIG', problems);
}

/** Returns the mistakes of the file's webhooks, as far as they can be checked. `rules`: null if nothing is known about them. */
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

/** The address and port that `allow_private_networks` would have to allow; for a name, which may have several addresses, an example. */
function networkOf({ hostname, port, protocol }: URL): { network: string; port: number } {
  const host = hostname.replace(/^\[|\]$/g, '');
  const network = { 0: '10.0.0.0/8', 4: `${host}/32`, 6: `${host}/128` }[isIP(host)]!;
  return { network, port: Number(port) || (protocol === 'https:' ? 443 : 80) };
}

/** The configuration lines that let a webhook reach a receiver outside the public internet, if they are missing. */
function openingRemedy({ path }: Problem, config: Config): Pick<Problem, 'remedy'> {
  const [, index, key] = path;
  const { url } = config.webhooks[Number(index)]!;
  if (key !== 'url' || !URL.canParse(url)) return {};
  const options = { ...guardOptions(config), allowHttp: true };
  const { network, port } = networkOf(new URL(url));
  // If the URL is refused with any port, the network is missing.
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

/** Returns invalid names in `filter` and `fields`. An entry of `events` that names no event does not hide them. */
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

/**
 * Returns the names in a webhook that the rules do not contain, and the URLs that the guard refuses, as sentences about a row that SQL may
 * have written.
 */
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
 * The same without the source. `types`: the event types of the rules; null if they cannot be read, in which case event names are not
 * checked.
 */
function validateRow(
  { events, url, headers, clientCertificate }: Omit<ValidatedRow, 'filter' | 'fields'>,
  config: Config,
  types: readonly EventTypeInfo[] | null,
): string[] {
  // Problems of the URL's form are among the problems of the row.
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
    // `check` reports the problems of the rules: the list of webhooks is printed nevertheless.
    if (!appErrorWithin(error)) throw error;
  }
  return (row) => validateRow(row, config, types);
}

function eventTypesOf({ types, unread = [] }: Pick<KnownRules, 'types'> & Partial<KnownRules>): EventTypes {
  return { domain: [...types.map(({ type }) => type), ...unread], own: systemEventTypes };
}

/**
 * Returns the problems of a webhook that a person writes at the command line or through the API, without querying the source. `types`: the
 * event types of the rules in force; without them, the configuration's rules are read.
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

/** Returns the event types of the configuration's rules, and the daemon's own. Throws AppError ERR_RULES. */
export const configuredEventTypes = (config: Config): EventTypes =>
  eventTypesOf({ types: describedRules(config) });

function describedRules({ rulesFile }: Config): EventTypeInfo[] {
  return describeRules(readRules(rulesFile ?? builtInRulesFile));
}

export interface SelectionContext {
  config: Config;
  /** A source for one query, which the caller closes. */
  source: Source;
  /** The rules in force; without them, the configuration's rules are read. */
  clinic?: CompiledSource;
}

/** Result of `validateInputSelection`: what is refused, and notes about what is accepted. */
export interface CheckedSelection {
  problems: string[];
  /** Events that are never sent, because the filter tests columns that they lack. */
  notes: string[];
}

/**
 * Checks `filter` and `fields` of such a webhook. A filter is checked against the source, because its names may be columns and its values
 * must fit their types; if the source does not answer, the daemon logs a warning later for values that do not fit.
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
