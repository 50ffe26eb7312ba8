import type { Session } from '../db/connection/client.ts';
import { cascadeEntity } from '../event/unlogged-cascade.ts';
import { fromSqlDatetime } from './sql-datetime.ts';

/** How often a parent's rows were deleted or re-keyed while the log did not show the cascaded changes. */
export interface UnloggedCascadeCount {
  /** The parent, with its schema if that is not the watched schema. */
  table: string;
  /** Number of transactions within the retention of the log; one that both deletes and re-keys counts twice. */
  count: number;
  lastAtMs: number;
}

/** Counts the events `capture.unlogged_cascade` by parent, by the index of entities. */
export async function countUnloggedCascades(session: Session): Promise<UnloggedCascadeCount[]> {
  const rows = await session.rows<{ parent: string; count: number; lastAt: string }>(
    `SELECT entity_key AS parent, COUNT(*) AS count, MAX(occurred_at) AS lastAt FROM event_log
     WHERE entity_table = ? AND type = 'capture.unlogged_cascade'
       AND staging < (SELECT staging FROM checkpoint WHERE id = 1)
     GROUP BY entity_key ORDER BY entity_key`,
    [cascadeEntity],
  );
  return rows.map(({ parent, count, lastAt }) => ({
    table: parent,
    count,
    lastAtMs: fromSqlDatetime(lastAt),
  }));
}
