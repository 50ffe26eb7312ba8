import type { SecretBox } from '../db/encryption.ts';
import type { Along } from '../outbox/webhook-registry.ts';
import type { SyncOptions } from '../outbox/webhook-sync.ts';
import { explainWebhook, explainWebhooks, recordPutBack, type SqlChange } from './explain-webhooks.ts';
import { file, recordWebhookAct, type WebhookAct } from './record-act.ts';
import { underscored } from './to-json.ts';

/** For a verb of the registry: puts on record what SQL did to the webhook before, and the act. */
export function recordAlong(box: SecretBox, act: WebhookAct): Along {
  return {
    before: (tx, id) => explainWebhook(tx, box, id),
    async after(tx, id) {
      await recordWebhookAct(tx, box, id, act);
    },
  };
}

/**
 * Puts on record what the configuration file does to its webhooks, and what SQL did to any before. `fingerprint` tells which edit of the
 * file: who may write it is not known here.
 */
export function recordSync(
  box: SecretBox,
  fingerprint: string,
): Required<Omit<SyncOptions, 'overlapMs'>> & { bySql: readonly SqlChange[] } {
  const bySql: SqlChange[] = [];
  return {
    bySql,
    async before(tx) {
      // Anew where the transaction is tried again.
      bySql.splice(0, bySql.length, ...(await explainWebhooks(tx, box)));
    },
    async record(tx, { id, kind, webhook: { name, url, events }, changed }) {
      const details = {
        name,
        ...(kind !== 'deactivate' && { url, events }),
        ...(kind === 'update' && { changed: changed.map(underscored) }),
        file_sha256: fingerprint,
      };
      await recordWebhookAct(tx, box, id, { actor: file, action: `webhook.${kind}`, details });
    },
    after: (tx) => recordPutBack(tx, box, bySql),
  };
}
