import type { Session } from '../db/connection/client.ts';
import { fromSqlDatetime } from './sql-datetime.ts';

/** A halt of capture that is over and has the event `capture.halted`, but no `capture.resumed` yet. */
export interface EndedHalt {
  /** Id of the event `capture.halted`. */
  haltedEvent: string;
  haltedAtMs: number;
  /** Whether an operator has accepted a gap since. */
  isAccepted: boolean;
}

/**
 * The last halt, when it is over: `capture.halted` is in the log, `capture.resumed` of it is not, and capture is not halted. Older halts need no event,
 * because each ended before the next began.
 */
export async function findEndedHalt(session: Session): Promise<EndedHalt | undefined> {
  const [row] = await session.rows<{ id: string; type: string; occurredAt: string; accepted: number }>(
    `SELECT e.id, e.type, e.occurred_at AS occurredAt,
       EXISTS (SELECT 1 FROM event_log g WHERE g.entity_table = 'checkpoint' AND g.entity_key = '1' AND g.type = 'capture.gap'
               AND g.seq > e.seq) AS accepted
     FROM event_log e WHERE e.entity_table = 'checkpoint' AND e.entity_key = '1'
       AND e.type IN ('capture.halted', 'capture.resumed')
       AND (SELECT halt IS NULL FROM checkpoint WHERE id = 1)
     ORDER BY e.seq DESC LIMIT 1`,
  );
  if (row?.type !== 'capture.halted') return undefined;
  return { haltedEvent: row.id, haltedAtMs: fromSqlDatetime(row.occurredAt), isAccepted: row.accepted === 1 };
}
