import { settingsJson } from '../../config/setting/webhook-settings.ts';
import type { WebhookRecord } from './webhook-row.ts';

/**
 * A webhook in the API and in `--json`, with the names of the configuration file, so that the result can be sent back.
 */
export function webhookJson(webhook: WebhookRecord) {
  const { is_active, ...settings } = settingsJson(webhook);
  return {
    id: webhook.id,
    name: webhook.name,
    url: webhook.url,
    events: webhook.events,
    is_active,
    standing: webhook.standing,
    managed_by: webhook.managedBy,
    ...settings,
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
