import type { Session, Store } from '../../db/connection/client.ts';

const retryRows = 2_000;

/** Settings that decide whether a request arrives: their names in the code, in rows and in acts. */
const deciding: ReadonlySet<string> = new Set([
  ...['url', 'secret', 'headers', 'timeoutMs', 'maxInFlight', 'ratePerSecond', 'clientCertificate'],
  ...['timeout_ms', 'max_in_flight', 'rate_per_second', 'client_certificate'],
]);

/** Whether a change of these settings may make failed deliveries succeed. */
export function freesRetries(changed: readonly string[]): boolean {
  return changed.some((name) => deciding.has(name));
}

/**
 * Makes retries that are hours away due now, because an operator has corrected the endpoint or its webhook. The schedule of each starts over after its
 * first delay, because verification treats a delivery whose schedule starts from the beginning as reopened by a person. It runs in bounded steps, because
 * there may be 100,000.
 */
export async function makeRetriesDue(store: Store, webhookId: number): Promise<void> {
  for (let moved = retryRows; moved === retryRows;) {
    const written = await store.run(
      `UPDATE queue FORCE INDEX (queue_due)
       SET due_at = UTC_TIMESTAMP(3), attempts_before = GREATEST(attempts_before, attempt - 1)
       WHERE state = 'pending' AND webhook_id = ? AND due_at > UTC_TIMESTAMP(3) LIMIT ?`,
      [webhookId, retryRows],
    );
    moved = written.affectedRows;
  }
}

/** The number of unfinished deliveries of a webhook. */
export async function countOwed(session: Session, webhookId: number): Promise<number> {
  const [row] = await session.rows<{ owed: number }>(
    `SELECT COUNT(*) AS owed FROM queue FORCE INDEX (queue_due)
     WHERE state IN ('sending', 'pending', 'waiting') AND webhook_id = ?`,
    [webhookId],
  );
  return row!.owed;
}
