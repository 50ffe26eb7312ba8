import type { Session } from '../../db/connection/client.ts';
import { fromSqlDatetime } from '../../outbox/sql-datetime.ts';
import { readLastSeal } from './chain.ts';
import { nothingSealed } from './progress.ts';

/** How far sealing is behind. */
export interface UnsealedAge {
  /** Age of the oldest unsealed entry that needs a seal of its own; 0 without one. */
  ageMs: number;
  /** Age of the last seal; Infinity before the first. */
  sealAgeMs: number;
  /** The number of the last seal; 0 before the first. */
  lastSeal: number;
}

/** Allowed beyond two intervals: with the default of 10 s, a stop of sealing is reported within 45 s. */
const slackMs = 15_000;

/** How far sealing may be behind, in ms, when it seals every `intervalMs`. */
export const unsealedLimitMs = (intervalMs: number): number => 2 * intervalMs + slackMs;

/** While seals are still made, sealing has not stopped, however far it is behind. */
export function isSealingStopped({ ageMs, sealAgeMs }: UnsealedAge, limitMs: number): boolean {
  return Math.min(ageMs, sealAgeMs) > limitMs;
}

/** Attempts that report seals wait for other entries, and staged rows wait until their transaction is shown: neither counts. */
export async function readUnsealedAge(session: Session): Promise<UnsealedAge> {
  const last = await readLastSeal(session);
  const {
    attempts,
    audit_log: acts,
    event_log: events,
    delivery_log: deliveries,
  } = last?.progress ?? nothingSealed;
  const [row] = await session.rows<{ now: string } & Record<`at${number}`, string | null>>(
    `SELECT UTC_TIMESTAMP(3) AS now,
       (SELECT g.at FROM audit_log g WHERE g.id > ? ORDER BY g.id LIMIT 1) AS at1,
       (SELECT a.recorded_at FROM attempts a JOIN delivery_log d ON d.id = a.delivery_id JOIN event_log e ON e.seq = d.event_seq
        WHERE a.id > ? AND e.type <> 'audit.sealed' ORDER BY a.id LIMIT 1) AS at2,
       (SELECT e.created_at FROM event_log e
        WHERE e.seq > ? AND e.seq < LEAST(c.next_event_seq, COALESCE(c.staged_from_seq, c.next_event_seq))
          AND e.type <> 'audit.sealed' ORDER BY e.seq LIMIT 1) AS at3,
       (SELECT d.created_at FROM delivery_log d JOIN event_log e ON e.seq = d.event_seq
        WHERE d.id > ? AND d.id < LEAST(c.next_delivery_id, COALESCE(c.staged_from_delivery, c.next_delivery_id))
          AND e.type <> 'audit.sealed' ORDER BY d.id LIMIT 1) AS at4
     FROM (SELECT 1 AS one) o LEFT JOIN checkpoint c ON c.id = 1`,
    [acts.to, attempts.to, events.to, deliveries.to],
  );
  const nowMs = fromSqlDatetime(row!.now);
  const moments = [row!.at1, row!.at2, row!.at3, row!.at4].flatMap((at) => (at ? [fromSqlDatetime(at)] : []));
  return {
    ageMs: moments.length === 0 ? 0 : Math.max(0, nowMs - Math.min(...moments)),
    sealAgeMs: last ? nowMs - fromSqlDatetime(last.sealedAt) : Infinity,
    lastSeal: last?.number ?? 0,
  };
}
