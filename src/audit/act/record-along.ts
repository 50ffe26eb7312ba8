import type { Cipher } from '../../crypto/cipher.ts';
import { isSameName } from '../../outbox/webhook/file-claims.ts';
import type { AfterWrite } from '../../outbox/webhook/webhook-registry.ts';
import type { SyncOptions } from '../../outbox/webhook/webhook-sync.ts';
import { explainWebhook, explainWebhooks, recordPutBack, type SqlChange } from './explain-webhooks.ts';
import { engine, file, recordWebhookAct, type WebhookAct } from './record-act.ts';
import { underscored } from '../to-json.ts';

/** For operations of the registry: records what SQL did to the webhook before, and then the act. */
export function recordAlong(cipher: Cipher, act: WebhookAct): AfterWrite {
  return {
    before: (tx, id) => explainWebhook(tx, cipher, id),
    async after(tx, id) {
      await recordWebhookAct(tx, cipher, id, act);
    },
  };
}

/** For the engine, when it stores which events a webhook missed while it was inactive. */
export function recordMissed(cipher: Cipher): AfterWrite {
  return recordAlong(cipher, { actor: engine, action: 'webhook.missed' });
}

interface RecordedSync extends Required<Omit<SyncOptions, 'overlapMs' | 'memory'>> {
  bySql: readonly SqlChange[];
  /** Webhooks that were removed from the file. */
  left: { id: number; name: string }[];
}

/**
 * Records what the configuration file does to its webhooks, and before that what SQL did to any webhook. `fingerprint` identifies the edit
 * of the file; this program does not know who may write it.
 */
export function recordSync(cipher: Cipher, fingerprint: string): RecordedSync {
  const bySql: SqlChange[] = [];
  const left: RecordedSync['left'] = [];
  return {
    bySql,
    left,
    async before(tx, isOfOther) {
      // Start over if the transaction is retried.
      bySql.splice(0, bySql.length, ...(await explainWebhooks(tx, cipher, isOfOther)));
      left.length = 0;
    },
    idOf: (name) =>
      bySql.find(
        ({ kind, isOfFile, name: deleted }) => kind === 'delete' && isOfFile && isSameName(deleted, name),
      )?.id,
    async record(tx, { id, kind, webhook: { name, url, events }, changed, from }) {
      const details = {
        name,
        ...(kind !== 'deactivate' && { url, events }),
        ...(from !== undefined && { renamed_from: from }),
        ...((kind === 'update' || kind === 'rename') && { changed: changed.map(underscored) }),
        file_sha256: fingerprint,
      };
      await recordWebhookAct(tx, cipher, id, { actor: file, action: `webhook.${kind}`, details });
      if (kind === 'deactivate') left.push({ id, name });
    },
    after: (tx) => recordPutBack(tx, cipher, bySql),
  };
}
