import type { Session } from '../../db/connection/client.ts';
import { findWebhookId } from './webhook-registry.ts';

/**
 * The id of the webhook by which a list of deliveries is filtered: by id, also of one that was deleted, or by name. Throws AppError ERR_NOT_FOUND for
 * an id or a name that no webhook has or had, ERR_USAGE when two have the name.
 */
export async function findLoggedWebhook(session: Session, idOrName: string): Promise<number> {
  if (/^\d+$/.test(idOrName)) {
    const found = await session.rows<{ id: number }>(
      `(SELECT id FROM webhooks WHERE id = ?) UNION (SELECT webhook_id FROM delivery_log WHERE webhook_id = ? LIMIT 1)`,
      [idOrName, idOrName],
    );
    if (found[0]) return found[0].id;
  }
  return findWebhookId(session, idOrName);
}
