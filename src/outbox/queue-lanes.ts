import type { Session } from '../db/client.ts';
import { literal } from '../db/sql-text.ts';

/** The lanes as a table: one look-up in the index for each, whatever the statistics say. */
function laneTable(lanes: Iterable<number>): string {
  return `JSON_TABLE('[${[...lanes].map(literal).join(',')}]', '$[*]' COLUMNS (lane BIGINT PATH '$')) l`;
}

const firstOfLane =
  '(SELECT h.delivery_id FROM queue h FORCE INDEX (queue_lane) WHERE h.lane = l.lane ORDER BY h.event_seq LIMIT 1)';

/** The lanes that occur in these. */
export function lanesOf(deliveries: readonly { lane: number | null }[]): Set<number> {
  return new Set(deliveries.map(({ lane }) => lane).filter((lane) => lane !== null));
}

/** Those of the lanes that have a delivery in the queue. */
export async function lanesInUse(session: Session, lanes: ReadonlySet<number>): Promise<Set<number>> {
  if (lanes.size === 0) return new Set();
  const rows = await session.rows<{ lane: number }>(
    `SELECT l.lane FROM ${laneTable(lanes)} WHERE ${firstOfLane} IS NOT NULL`,
  );
  return new Set(rows.map(({ lane }) => lane));
}

/** SELECT of the deliveries that stand first in these lanes and wait: `id`, `webhookId`, `lane`. Lanes must not be empty. */
export function selectWaitingHeads(lanes: Iterable<number>): string {
  return (
    'SELECT q.delivery_id AS id, q.webhook_id AS webhookId, q.lane AS lane' +
    ` FROM ${laneTable(lanes)} JOIN queue q ON q.delivery_id = ${firstOfLane} WHERE q.state = 'waiting'`
  );
}

/** Ids of the deliveries that stand first in these lanes. Lanes must not be empty. */
export async function readHeads(session: Session, lanes: Iterable<number>): Promise<number[]> {
  const rows = await session.rows<{ id: number | null }>(
    `SELECT ${firstOfLane} AS id FROM ${laneTable(lanes)}`,
  );
  return rows.map(({ id }) => id).filter((id) => id !== null);
}
