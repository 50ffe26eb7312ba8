import { didYouMean, nearest } from '../lib/suggest.ts';
import type { Problem, YamlPath } from './problems.ts';
import type { ConfiguredWebhook } from './types.ts';

/** All event types. */
export interface EventTypes {
  /** The event types that the rules can produce: `*` and `noun.*` match these. */
  domain: readonly string[];
  /** System events (`webhook.disabled`), which are sent only to webhooks that name them. */
  own: readonly string[];
}

/** Suggests a correction for an entry of `events`: the nearest known word, else all events. */
export function guessEventPattern(pattern: string, types: EventTypes): string {
  if (namesEvent(pattern, types)) return pattern;
  return nearest(pattern, [...types.domain, ...types.own]) ?? '*';
}

/** Checks of a webhook that need later rooms. Each returns sentences about mistakes, which quote no value. */
export interface WebhookChecks {
  /** Null when the rules cannot be read: then event names are not checked. */
  eventTypes: EventTypes | null;
  checkUrl(url: string): readonly string[];
  checkHeaders(headers: Readonly<Record<string, string>>): readonly string[];
  checkClientCertificate(name: string | null): readonly string[];
  /** Names in `filter` and `fields` that none of its events has. */
  checkSelection(
    webhook: Pick<ConfiguredWebhook, 'events' | 'filter' | 'fields'>,
  ): readonly { key: 'filter' | 'fields'; message: string }[];
}

/** Says what is wrong with an entry of a webhook's `events`; undefined when it names at least one event. */
export function checkEventPattern(pattern: string, types: EventTypes): string | undefined {
  return namesEvent(pattern, types) ? undefined : unknownEvent(pattern, types);
}

function namesEvent(pattern: string, { domain, own }: EventTypes): boolean {
  if (pattern === '*') return true;
  if (!pattern.endsWith('.*')) return domain.includes(pattern) || own.includes(pattern);
  return domain.some((type) => type.startsWith(pattern.slice(0, -1)));
}

const maximumPattern = 128;

function unknownEvent(given: string, { domain, own }: EventTypes): string {
  const pattern = given.length > maximumPattern ? `${given.slice(0, maximumPattern)}…` : given;
  if (!pattern.endsWith('.*')) {
    return `there is no event "${pattern}"${didYouMean(pattern, [...domain, ...own])}`;
  }
  const known = new Set(domain.map((type) => type.replace(/[^.]*$/, '*')));
  return `no event begins with "${pattern.slice(0, -1)}"${didYouMean(pattern, known)}`;
}

/** A row edited by SQL may name thousands of unknown events: this many are quoted, the others are counted. */
const quotedEvents = 5;

/** Sentences about the entries of `events` that name no event, bounded in number and length. */
export function checkEventPatterns(patterns: readonly string[], types: EventTypes): string[] {
  const wrong = patterns.filter((pattern) => !namesEvent(pattern, types));
  const rest = wrong.length - quotedEvents;
  return [
    ...wrong.slice(0, quotedEvents).map((pattern) => unknownEvent(pattern, types)),
    ...(rest > 0 ? [`${rest} more entries of events name no event`] : []),
  ];
}

/**
 * Checks the file's webhooks against later rooms: the event types of the compiled rules, the address guard, the rules for headers. Returns all problems with their places; `problemsError('ERR_CONFIG', …)` makes an error of them.
 */
export function checkWebhooks(webhooks: readonly ConfiguredWebhook[], checks: WebhookChecks): Problem[] {
  return webhooks.flatMap((webhook, index) => {
    const problemAt = (path: YamlPath, key: string, message: string | undefined): Problem[] => {
      const position = webhook.positions[key] ?? webhook.positions[''];
      if (message === undefined || position === undefined) return [];
      return [{ path: ['webhooks', index, ...path], position, message }];
    };
    return [
      ...checks.checkUrl(webhook.url).flatMap((message) => problemAt(['url'], 'url', message)),
      ...webhook.events.flatMap((pattern, item) =>
        problemAt(
          ['events', item],
          `events[${item}]`,
          checks.eventTypes === null ? undefined : checkEventPattern(pattern, checks.eventTypes),
        ),
      ),
      ...checks
        .checkHeaders(webhook.headers)
        .flatMap((message) => problemAt(['headers'], 'headers', message)),
      ...checks
        .checkClientCertificate(webhook.clientCertificate)
        .flatMap((message) => problemAt(['client_certificate'], 'client_certificate', message)),
      ...checks.checkSelection(webhook).flatMap(({ key, message }) => problemAt([key], key, message)),
    ];
  });
}
