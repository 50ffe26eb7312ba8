import { didYouMean, nearest } from '../lib/suggest.ts';
import type { Problem, YamlPath } from './problems.ts';
import type { ConfiguredWebhook } from './types.ts';

/** The event types there are. */
export interface EventTypes {
  /** The event types that the rules can make: what `*` and `noun.*` match. */
  domain: readonly string[];
  /** Our own (`webhook.disabled`), which are sent only to webhooks that name them. */
  own: readonly string[];
}

/** What an entry of `events` may have meant: the nearest right word, else all events. */
export function guessEventPattern(pattern: string, types: EventTypes): string {
  if (namesEvent(pattern, types)) return pattern;
  return nearest(pattern, [...types.domain, ...types.own]) ?? '*';
}

/** What only later rooms know about webhooks. Each verb returns sentences about what is wrong, which quote no value. */
export interface WebhookChecks {
  /** Null where the rules cannot be read: names of events are not checked. */
  eventTypes: EventTypes | null;
  checkUrl(url: string): readonly string[];
  checkHeaders(headers: Readonly<Record<string, string>>): readonly string[];
  checkClientCertificate(name: string | null): readonly string[];
  /** What `filter` and `fields` name that none of its events has. */
  checkSelection(
    webhook: Pick<ConfiguredWebhook, 'events' | 'filter' | 'fields'>,
  ): readonly { key: 'filter' | 'fields'; message: string }[];
}

/** Says what is wrong with an entry of a webhook's `events`; undefined when it names something. */
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

/** A row edited by SQL may name thousands that there are not: so many are quoted, and the others counted. */
const quotedEvents = 5;

/** Sentences about the entries of `events` that name nothing, in bounded number and length. */
export function checkEventPatterns(patterns: readonly string[], types: EventTypes): string[] {
  const wrong = patterns.filter((pattern) => !namesEvent(pattern, types));
  const rest = wrong.length - quotedEvents;
  return [
    ...wrong.slice(0, quotedEvents).map((pattern) => unknownEvent(pattern, types)),
    ...(rest > 0 ? [`${rest} more entries of events name no event`] : []),
  ];
}

/**
 * Checks the file's webhooks against what stands to the right of this room: the event types of the compiled rules, the guard of
 * addresses, the rules for headers. Returns all problems with their places; `problemsError('ERR_CONFIG', …)` makes an error of them.
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
