import type { Session } from '../../db/connection/client.ts';
import { isForged, isInForce, leaseTiming } from '../../db/connection/lease.ts';
import type { Claimant } from '../types.ts';

/** The rows that prove that a process is alive: its own row, and the capture lease if the process also has its own row. */
const signOfLife = "(name = holder OR (name = 'capture' AND holder IN (SELECT own.name FROM leases own)))";

/** SQL that selects the live processes. */
export const aliveHolders = `SELECT holder FROM leases WHERE ${signOfLife} AND ${isInForce}`;

/** A process without a heartbeat for this time is dead, regardless of its claims. */
const aliveMicroseconds = leaseTiming.ttlMs * 1_000;

/**
 * Registers this process as alive for the time of a lease; repeat it every `leaseTiming.renewMs`. Claims last longer than a whole request (minutes), which
 * is too long to wait for after a process is killed. A process is also alive while it holds the capture lease. Nothing is written when its own row was
 * written within `unlessWithinMs`, or the lease within twice that time: each write is a transaction of 500 bytes in the binlog. Its own row must exist
 * nevertheless: without it, the lease would look stolen.
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
 * Renews the registration of this process, if it is registered: for a process that gives up a lease and may be about to end.
 */
export async function extendAlive({ store, owner }: Pick<Claimant, 'store' | 'owner'>): Promise<void> {
  await store.run(
    'UPDATE leases SET expires_at = UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND WHERE name = ? AND holder = ?',
    [aliveMicroseconds, owner, owner],
  );
}

/** The capturing process renews its lease every 2 s, which also proves that it is alive: it writes nothing else. */
export const saidWithLeaseMs = 1_500;

/** Unregisters this process. */
export async function unregisterProcess({ store, owner }: Claimant): Promise<void> {
  await store.run('DELETE FROM leases WHERE name = ? AND holder = ?', [owner, owner]);
}

/**
 * Expires the claims of dead processes at once, so that the rescue takes them, and claims that end later than any process sets. Removes the rows of
 * processes that have been dead for an hour, and forged rows. Returns how many of these there were.
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
    // A process that has captured for an hour is alive by its lease, and needs its own row when it releases the lease.
    `DELETE FROM leases WHERE name = holder AND expires_at < UTC_TIMESTAMP(3) - INTERVAL 1 HOUR
       AND holder NOT IN (SELECT holder FROM (${aliveHolders}) alive)`,
  );
  const { affectedRows } = await store.run(`DELETE FROM leases WHERE name = holder AND ${isForged}`);
  return affectedRows;
}

/**
 * The number of live processes on the store, and the rank of this one by name, from 0. A process that stopped its heartbeat very recently still counts.
 */
export async function readRank({ store, owner }: Claimant): Promise<{ rank: number; of: number }> {
  const rows = await store.rows<{ holder: string }>(
    `SELECT DISTINCT holder FROM leases WHERE ${signOfLife} AND ${isInForce} ORDER BY holder`,
  );
  const rank = rows.findIndex(({ holder }) => holder === owner);
  // Not registered yet: it ranks last.
  return rank === -1 ? { rank: rows.length, of: rows.length + 1 } : { rank, of: rows.length };
}

/** The number of live processes, and whether one of them captures. */
export async function countAlive(session: Session): Promise<{ running: number; capturing: boolean }> {
  const [row] = await session.rows<{ running: number; capturing: number }>(
    `SELECT COUNT(DISTINCT IF(${signOfLife}, holder, NULL)) AS running, COUNT(IF(name = 'capture', 1, NULL)) AS capturing
     FROM leases WHERE ${isInForce}`,
  );
  return { running: row!.running, capturing: row!.capturing > 0 };
}
