import type { Session } from '../../db/connection/client.ts';
import { isForged, isInForce, leaseTiming } from '../../db/connection/lease.ts';
import type { Claimant } from '../types.ts';

/** The rows that say that their holder lives: its own, and the lease to capture where there is one of its own. */
const signOfLife = "(name = holder OR (name = 'capture' AND holder IN (SELECT own.name FROM leases own)))";

/** SQL of the processes that live. */
export const aliveHolders = `SELECT holder FROM leases WHERE ${signOfLife} AND ${isInForce}`;

/** A process that was not heard for so long is dead, whatever its claims say. */
const aliveMicroseconds = leaseTiming.ttlMs * 1_000;

/**
 * Says that this process lives, for as long as a lease; again every `leaseTiming.renewMs`. Its claims outlast a whole request
 * (minutes), so those of a killed process must not be waited for. A process also lives while it holds the lease to capture. Nothing is
 * written, and nothing logged, when its own row was written within `unlessWithinMs`, or that lease within twice that: each write is a
 * transaction of 500 bytes in the binlog. Its own row must exist all the same: without one, its lease would be taken for a stolen one.
 */
export async function registerProcess(
  { store, owner }: { store: Session; owner: string },
  { unlessWithinMs = 0 } = {},
): Promise<void> {
  if (unlessWithinMs > 0) {
    const said = await store.rows(
      `SELECT 1 FROM leases WHERE holder = ? AND ${signOfLife}
         AND expires_at > UTC_TIMESTAMP(3) + INTERVAL ? - IF(name = holder, ?, ?) MICROSECOND AND ${isInForce}
         AND ? IN (SELECT own.name FROM leases own) LIMIT 1`,
      [owner, aliveMicroseconds, unlessWithinMs * 1_000, 2 * unlessWithinMs * 1_000, owner],
    );
    if (said.length > 0) return;
  }
  await store.run(
    `INSERT INTO leases (name, holder, token, expires_at) VALUES (?, ?, 1, UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND)
     ON DUPLICATE KEY UPDATE expires_at = VALUES(expires_at)`,
    [owner, owner, aliveMicroseconds],
  );
}

/**
 * Says once more that this process lives, where it was said before and not taken back: for a process that gives up a lease and may be
 * at its end.
 */
export async function extendAlive({ store, owner }: Pick<Claimant, 'store' | 'owner'>): Promise<void> {
  await store.run(
    'UPDATE leases SET expires_at = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND WHERE name = ? AND holder = ?',
    [aliveMicroseconds, owner, owner],
  );
}

/** The process that captures renews its lease every 2 s, which says it as well: it writes nothing else. */
export const saidWithLeaseMs = 1_500;

/** Unregisters this process. */
export async function unregisterProcess({ store, owner }: Claimant): Promise<void> {
  await store.run('DELETE FROM leases WHERE name = ? AND holder = ?', [owner, owner]);
}

/**
 * Lets the claims of dead processes expire at once, so that the rescue takes them, and claims that end later than any process sets.
 * Removes the rows of processes that are dead for an hour, and forged rows. Returns how many of these there were.
 */
export async function expireOrphans({
  store,
  claimMs,
}: Pick<Claimant, 'store' | 'claimMs'>): Promise<number> {
  await store.run(
    `UPDATE queue FORCE INDEX (queue_due) SET due_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND
     WHERE state = 'sending' AND due_at > UTC_TIMESTAMP(3)
       AND (claimed_by IS NULL OR claimed_by NOT IN (${aliveHolders}) OR due_at > UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND)`,
    [2 * claimMs * 1_000],
  );
  await store.run(
    // A process that has captured for an hour lives by its lease, and needs its own row when it gives that up.
    `DELETE FROM leases WHERE name = holder AND expires_at < UTC_TIMESTAMP(3) - INTERVAL 1 HOUR
       AND holder NOT IN (SELECT holder FROM (${aliveHolders}) alive)`,
  );
  const { affectedRows } = await store.run(`DELETE FROM leases WHERE name = holder AND ${isForged}`);
  return affectedRows;
}

/**
 * How many processes live on the store, and which of them this one is, in the order of their names, from 0. One that has just stopped to
 * announce itself counts as well.
 */
export async function readRank({ store, owner }: Claimant): Promise<{ rank: number; of: number }> {
  const rows = await store.rows<{ holder: string }>(
    `SELECT DISTINCT holder FROM leases WHERE ${signOfLife} AND ${isInForce} ORDER BY holder`,
  );
  const rank = rows.findIndex(({ holder }) => holder === owner);
  // Not announced yet: the last of them.
  return rank === -1 ? { rank: rows.length, of: rows.length + 1 } : { rank, of: rows.length };
}

/** Processes that live, and whether one of them captures. */
export async function countAlive(session: Session): Promise<{ running: number; capturing: boolean }> {
  const [row] = await session.rows<{ running: number; capturing: number }>(
    `SELECT COUNT(DISTINCT IF(${signOfLife}, holder, NULL)) AS running, COUNT(IF(name = 'capture', 1, NULL)) AS capturing
     FROM leases WHERE ${isInForce}`,
  );
  return { running: row!.running, capturing: row!.capturing > 0 };
}
