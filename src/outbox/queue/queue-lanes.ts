import type { Session } from '../../db/connection/client.ts';
import { literal } from '../../db/connection/sql-text.ts';

/** The lanes as a table: one index look-up for each, independent of the statistics. */
function laneTable(lanes: Iterable<number>): string {
  return `JSON_TABLE('[${[...lanes].map(literal).join(',')}]', '$[*]' COLUMNS (lane BIGINT PATH '$')) l`;
}

const inLane = 'FROM queue h FORCE INDEX (queue_lane) WHERE h.lane = l.lane';
/** The deliveries for which the others of the lane wait. */
const activeInLane = `${inLane} AND h.waiting = 0`;
const firstWaiting = `(SELECT h.delivery_id ${inLane} AND h.waiting = 1 ORDER BY h.event_seq LIMIT 1)`;

/** The distinct lanes of these deliveries. */
export function lanesOf(deliveries: readonly { lane: number | null }[]): Set<number> {
  return new Set(deliveries.map(({ lane }) => lane).filter((lane) => lane !== null));
}

/** The lanes among these that have a delivery in the queue. */
export async function lanesInUse(session: Session, lanes: ReadonlySet<number>): Promise<Set<number>> {
  if (lanes.size === 0) return new Set();
  const rows = await session.rows<{ lane: number }>(
    `SELECT l.lane FROM ${laneTable(lanes)} WHERE EXISTS (SELECT 1 ${inLane})`,
  );
  return new Set(rows.map(({ lane }) => lane));
}

/**
 * SELECT of the first deliveries of these lanes that wait for no other: `id`. A reopened delivery is older than the one in flight in its lane, and still
 * waits for it. Lanes must not be empty.
 */
export function selectFreeHeads(lanes: Iterable<number>): string {
  return (
    `SELECT q.delivery_id AS id FROM ${laneTable(lanes)} JOIN queue q ON q.delivery_id = ${firstWaiting}` +
    ` WHERE NOT EXISTS (SELECT 1 ${activeInLane})`
  );
}

/** Ids of the deliveries for which the others of these lanes wait, one for each lane. Lanes must not be empty. */
export async function readActive(session: Session, lanes: Iterable<number>): Promise<number[]> {
  const rows = await session.rows<{ id: number | null }>(
    `SELECT (SELECT h.delivery_id ${activeInLane} ORDER BY h.event_seq LIMIT 1) AS id FROM ${laneTable(lanes)}`,
  );
  return rows.map(({ id }) => id).filter((id) => id !== null);
}
