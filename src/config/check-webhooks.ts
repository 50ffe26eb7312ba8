import { didYouMean } from '../lib/suggest.ts';
import type { Problem, YamlPath } from './problems.ts';
import type { ConfiguredWebhook } from './types.ts';

/** The event types there are. */
export interface EventTypes {
  /** Those that the rules can make: what `*` and `noun.*` stand for. */
  domain: readonly string[];
  /** Our own (`webhook.disabled`), which are sent only to those who name them. */
  own: readonly string[];
}

/** What only later rooms know about webhooks. Each verb returns sentences about what is wrong, which quote no value. */
export interface WebhookJudges {
  eventTypes: EventTypes;
  judgeUrl(url: string): readonly string[];
  judgeHeaders(headers: Readonly<Record<string, string>>): readonly string[];
  /** What `filter` and `fields` name that none of its events has. */
  judgeSelection(
    webhook: Pick<ConfiguredWebhook, 'events' | 'filter' | 'fields'>,
  ): readonly { key: 'filter' | 'fields'; message: string }[];
}

/** Says what is wrong with an entry of a webhook's `events`; undefined when it names something. */
export function judgeEventPattern(pattern: string, { domain, own }: EventTypes): string | undefined {
  if (pattern === '*') return undefined;
  if (pattern.endsWith('.*')) {
    const noun = pattern.slice(0, -1);
    if (domain.some((type) => type.startsWith(noun))) return undefined;
    const known = new Set(domain.map((type) => type.replace(/[^.]*$/, '*')));
    return `no event begins with "${noun}"${didYouMean(pattern, known)}`;
  }
  const all = [...domain, ...own];
  return all.includes(pattern) ? undefined : `there is no event "${pattern}"${didYouMean(pattern, all)}`;
}

/**
 * Checks the file's webhooks against what stands to the right of this room: the event types of the compiled rules, the guard of
 * addresses, the rules for headers. Returns all problems with their places; `problemsError('ERR_CONFIG', …)` tells them.
 */
export function checkWebhooks(webhooks: readonly ConfiguredWebhook[], judges: WebhookJudges): Problem[] {
  return webhooks.flatMap((webhook, index) => {
    const problemAt = (path: YamlPath, key: string, message: string | undefined): Problem[] => {
      const position = webhook.positions[key] ?? webhook.positions[''];
      if (message === undefined || position === undefined) return [];
      return [{ path: ['webhooks', index, ...path], position, message }];
    };
    return [
      ...judges.judgeUrl(webhook.url).flatMap((message) => problemAt(['url'], 'url', message)),
      ...webhook.events.flatMap((pattern, item) =>
        problemAt(['events', item], `events[${item}]`, judgeEventPattern(pattern, judges.eventTypes)),
      ),
      ...judges
        .judgeHeaders(webhook.headers)
        .flatMap((message) => problemAt(['headers'], 'headers', message)),
      ...judges.judgeSelection(webhook).flatMap(({ key, message }) => problemAt([key], key, message)),
    ];
  });
}
