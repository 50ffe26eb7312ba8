import type { DeliveryStore } from '../delivery/types.ts';
import type { Log } from '../lib/log.ts';
import { claim } from '../outbox/queue/claim.ts';
import { release } from '../outbox/queue/release-claims.ts';
import { settle } from '../outbox/queue/settle.ts';
import type { Claimant } from '../outbox/types.ts';
import type { DisableByEngine } from './disable-webhook.ts';

export interface DeliveryStoreOptions {
  claimant: Claimant;
  log: Log;
  nameOf(webhookId: number): string;
  disable: DisableByEngine;
  /** Called with how many deliveries were refused because SQL had added or edited them. */
  onRefused(count: number): void;
}

/** Creates the dispatcher's access to the store. */
export function createDeliveryStore({
  claimant,
  log,
  nameOf,
  disable,
  onRefused,
}: DeliveryStoreOptions): DeliveryStore {
  return {
    async claim(wants) {
      const claimed = await claim(claimant, wants);
      const { refused } = claimed;
      if (refused.length > 0) {
        onRefused(refused.length);
        log.error(
          { deliveries: refused },
          'these deliveries were not sent: SQL had added or edited them, or their payloads',
        );
      }
      return claimed;
    },
    async settle(settlements) {
      const { lost, promoted, begun } = await settle(claimant, settlements);
      if (lost > 0)
        log.warn(
          { lost },
          'claims had expired before their outcomes were known: those deliveries are sent again',
        );
      for (const { delivery, outcome, explanation } of begun) {
        const { kind, reason } = outcome;
        const failure = { outcome: kind, reason: reason ?? kind, explanation };
        log.warn(
          { webhook: nameOf(delivery.webhookId), delivery: delivery.id, ...failure },
          'a delivery failed, the first since this webhook was last sent to with success',
        );
      }
      return promoted > 0;
    },
    release: (deliveries) => release(claimant, deliveries),
    disable: (webhookId) => disable(webhookId, 'gone'),
  };
}
