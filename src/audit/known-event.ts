import { checkEventPattern, type EventTypes } from '../config/check-webhooks.ts';
import type { Session } from '../db/connection/client.ts';
import { AppError } from '../lib/errors.ts';
import { matchWord } from './page.ts';

/**
 * Refuses an event type, or a `noun.*`, that neither the rules nor the log contain: an empty list would look like an answer. An event type
 * that was removed from the rules may still be in the log. Throws AppError ERR_USAGE with the nearest name.
 */
export async function requireKnownEvent(
  session: Session,
  event: string,
  { domain, own }: EventTypes,
): Promise<void> {
  // Lists show the daemon's own events too, so `capture.*` is accepted.
  const problem = checkEventPattern(event, { domain: [...domain, ...own], own: [] });
  if (problem === undefined) return;
  const [condition, ...values] = matchWord('type', event);
  const [recorded] = await session.rows(`SELECT 1 FROM event_log WHERE ${condition} LIMIT 1`, values);
  if (recorded) return;
  throw new AppError('ERR_USAGE', problem, {
    remedy: '`events list` and GET /api/events show every event type.',
  });
}
