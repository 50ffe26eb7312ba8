import type { MarkedAttempt, Marker } from '../../db/proof/marks.ts';
import { literal } from '../../db/connection/sql-text.ts';

const columns =
  'delivery_id, number, started_at, duration_ms, outcome, response_status, reason, recorded_at, receiver, mark';

/** INSERT of attempts that ended, each with its mark. */
export function insertAttemptRows(attempts: readonly MarkedAttempt[], marker: Marker): string {
  const rows = attempts.map((attempt) => {
    const { delivery, number, startedAt, durationMs, outcome, responseStatus, reason } = attempt;
    return (
      `(${delivery},${number},'${startedAt}',${durationMs},'${outcome}',${literal(responseStatus)},${literal(reason)},` +
      `${literal(attempt.recordedAt)},${literal(attempt.receiver)},X'${marker.ofAttempt(attempt).toString('hex')}')`
    );
  });
  return `INSERT INTO attempts (${columns}) VALUES ${rows.join(',')}`;
}
