import type { WebhookInput } from '../config/webhook-input.ts';
import type { Session } from '../db/client.ts';
import type { Along } from '../outbox/webhook-registry.ts';
import type { SyncOptions } from '../outbox/webhook-sync.ts';
import { underscored } from './to-json.ts';

/** Who did something: a token's name with its role, the operating system's user at the command line, or the configuration file. */
export interface Actor {
  name: string;
  role: 'admin' | 'operator' | 'auditor' | 'local' | 'file';
}

/** What a person did. `details` never holds a payload or a secret. */
export interface Act {
  actor: Actor;
  /** `webhook.rotate-secret`, `capture.accept-gap`: noun and verb. */
  action: string;
  /** Name or id of what it was done to. */
  target?: string;
  details?: Readonly<Record<string, unknown>>;
}

/** Writes an act into the audit log: in the transaction of the act itself, where there is one. */
export async function recordAct(session: Session, { actor, action, target, details }: Act): Promise<void> {
  await session.run('INSERT INTO audit_log (actor, role, action, target, details) VALUES (?, ?, ?, ?, ?)', [
    actor.name,
    actor.role,
    action,
    target ?? null,
    details === undefined ? null : JSON.stringify(details),
  ]);
}

/** Puts what is done to a webhook on record, within the transaction of the change. */
export function recordAlong(actor: Actor, action: `webhook.${string}`, details?: Act['details']): Along {
  return (tx, id) =>
    recordAct(tx, { actor, action, target: String(id), ...(details !== undefined && { details }) });
}

/**
 * What stands on record of a change of a webhook: what was named, and where its events go. Never the secret; filters and headers by
 * name alone, for their values may be secrets or about a patient.
 */
export function changeDetails({ url, events, ...rest }: WebhookInput): Act['details'] {
  const said = { ...(url !== undefined && { url }), ...(events && { events }), ...rest };
  return {
    changed: Object.keys(said).map(underscored),
    ...(url !== undefined && { url }),
    ...(events !== undefined && { events }),
  };
}

/**
 * Puts on record what the configuration file does to its webhooks. `fingerprint` tells which edit of the file: whoever may write
 * it is not known here.
 */
export function recordSync(fingerprint: string): NonNullable<SyncOptions['record']> {
  return (tx, { id, kind, webhook: { name, url, events }, changed }) =>
    recordAct(tx, {
      actor: { name: 'configuration file', role: 'file' },
      action: `webhook.${kind}`,
      target: String(id),
      details: {
        name,
        ...(kind !== 'deactivate' && { url, events }),
        ...(kind === 'update' && { changed: changed.map(underscored) }),
        file_sha256: fingerprint,
      },
    });
}
