import type { MarkedAttempt, Marker } from '../../db/proof/marks.ts';
import { insertRows, literal } from '../../db/connection/sql-text.ts';

const columns =
  'delivery_id, number, started_at, duration_ms, outcome, response_status, reason, explanation, recorded_at, receiver, mark';

/** INSERTs of attempts that ended, each with its mark. */
export function insertAttemptRows(attempts: readonly MarkedAttempt[], marker: Marker): string[] {
  const rows = attempts.map((attempt) => {
    const { delivery, number, startedAt, durationMs, outcome, responseStatus, reason } = attempt;
    return (
      `(${delivery},${number},'${startedAt}',${durationMs},'${outcome}',${literal(responseStatus)},${literal(reason)},` +
      `${literal(attempt.explanation)},${literal(attempt.recordedAt)},${literal(attempt.receiver)},` +
      `X'${marker.ofAttempt(attempt).toString('hex')}')`
    );
  });
  return insertRows(`attempts (${columns})`, rows);
}
