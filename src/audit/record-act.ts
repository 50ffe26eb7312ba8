import type { WebhookInput } from '../config/webhook-input.ts';
import type { Session } from '../db/client.ts';
import type { Along } from '../outbox/webhook-registry.ts';
import { underscored } from './to-json.ts';

/** Who did something: a token's name with its role, or the operating system's user at the command line. */
export interface Actor {
  name: string;
  role: 'admin' | 'operator' | 'auditor' | 'local';
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
