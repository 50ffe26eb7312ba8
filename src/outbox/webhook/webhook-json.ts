import { formatDuration } from '../../lib/duration.ts';
import type { WebhookRecord } from './webhook-row.ts';

/**
 * A webhook in the API and in `--json`, with the names of the configuration file, so that the result can be sent back.
 */
export function webhookJson(webhook: WebhookRecord) {
  return {
    id: webhook.id,
    name: webhook.name,
    url: webhook.url,
    events: webhook.events,
    is_active: webhook.isActive,
    standing: webhook.standing,
    managed_by: webhook.managedBy,
    filter: webhook.filter,
    fields: webhook.fields,
    headers: webhook.headers,
    order: webhook.order,
    max_in_flight: webhook.maxInFlight,
    rate_limit: webhook.ratePerSecond === null ? null : formatRate(webhook.ratePerSecond),
    timeout: webhook.timeoutMs % 1_000 === 0 ? formatDuration(webhook.timeoutMs) : `${webhook.timeoutMs}ms`,
    legacy_signature: webhook.legacySignature,
    client_certificate: webhook.clientCertificate,
    created_at: webhook.createdAt.toISOString(),
    updated_at: webhook.updatedAt.toISOString(),
    rotation_ends_at: webhook.rotationEndsAt?.toISOString() ?? null,
    failing_since: webhook.failingSince?.toISOString() ?? null,
    paused_at: webhook.pausedAt?.toISOString() ?? null,
    disabled_at: webhook.disabledAt?.toISOString() ?? null,
    disabled_reason: webhook.disabledReason,
    problems: webhook.problems,
  };
}

/** `50/s`, `30/m`, `100/h`: in the largest unit that gives a whole number. */
function formatRate(perSecond: number): string {
  const spellings = [
    ['s', perSecond],
    ['m', perSecond * 60],
    ['h', perSecond * 3_600],
  ] as const;
  const isWhole = (count: number): boolean => Math.abs(count - Math.round(count)) < 1e-6;
  const [unit, count] = spellings.find(([, each]) => isWhole(each)) ?? spellings[2];
  return `${Math.round(count)}/${unit}`;
}
