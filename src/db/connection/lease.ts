import type { Session, Store } from './client.ts';
import { literal } from './sql-text.ts';

/** A role that one process at a time holds, such as `capture`. */
export interface Lease {
  name: string;
  holder: string;
  /** Fencing token: grows with each acquisition. Work done under an older token must be refused. */
  token: number;
  /** The previous holder in the row, if it was no process of this program or had an expiry that no process sets. */
  forgedBy?: string;
}

export interface LeaseRequest {
  name: string;
  /** Name of this process, unique even across its restarts. */
  holder: string;
  ttlMs: number;
}

/**
 * A holder renews every `renewMs`; others try every `pollMs`. A killed holder is succeeded within ttl + poll = 7 s,
 * one that ends cleanly at once.
 */
export const leaseTiming = { ttlMs: 6_000, renewMs: 2_000, pollMs: 1_000 } as const;

/** All times use the store's clock: the clocks of the processes need not agree. */
const expiry = 'UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND';

/**
 * SQL for the latest expiry that a live process can have written. A process never sets an expiry later than `ttlMs`; the factor of two
 * allows for cluster nodes whose clocks differ. A row that expires later was written by something else and counts as expired: otherwise one
 * UPDATE to the year 2099 would end capture for good.
 */
const latestOf = (ttlMs: number): string => `UTC_TIMESTAMP(3) + INTERVAL ${2 * ttlMs * 1_000} MICROSECOND`;
const inForceFor = (ttlMs: number): string => `(expires_at BETWEEN UTC_TIMESTAMP(3) AND ${latestOf(ttlMs)})`;
export const isInForce = inForceFor(leaseTiming.ttlMs);
/** SQL condition for a row that no process of this program wrote. */
export const isForged = `(expires_at > ${latestOf(leaseTiming.ttlMs)})`;
/**
 * SQL condition for a lease whose holder is no process of this program: each process has a row under its own name from its start to its end
 * (outbox/queue/heartbeat.ts).
 */
const isForeign = '(holder NOT IN (SELECT own.name FROM leases own))';

interface Found {
  holder: string;
  token: number;
  inForce: number;
  forged: number;
}

/** Takes the lease if it is free, expired, forged, or already held by this holder; returns null if another process has it. */
export async function acquireLease(
  store: Store,
  { name, holder, ttlMs }: LeaseRequest,
): Promise<Lease | null> {
  const inForce = inForceFor(ttlMs);
  // Only a process with its own row expects rows of the others: a process that ends has removed its row.
  const [found] = await store.rows<Found>(
    `SELECT holder, token, ${inForce} AS inForce, (expires_at > ${latestOf(ttlMs)}
       OR (${inForce} AND ${isForeign} AND ? IN (SELECT own.name FROM leases own))) AS forged
     FROM leases WHERE name = ?`,
    [holder, name],
  );
  const isForgery = found?.forged === 1;
  if (found?.inForce === 1 && found.holder !== holder && !isForgery) return null;
  // Above both values, because SQL may have deleted the row or lowered its token: then every append would fail.
  const [checkpoint] = await store.rows<{ fence: number }>('SELECT fence FROM checkpoint WHERE id = 1');
  const token = Math.max(found?.token ?? 0, checkpoint?.fence ?? 0) + 1;
  const taken = found
    ? await store.run(
        `UPDATE leases SET holder = ?, token = ?, expires_at = ${expiry}
         WHERE name = ? AND token = ? AND holder = ? AND (NOT ${inForce} OR holder = ? OR ?)`,
        [holder, token, ttlMs * 1_000, name, found.token, found.holder, holder, isForgery],
      )
    : await store.run(
        `INSERT IGNORE INTO leases (name, holder, token, expires_at) VALUES (?, ?, ?, ${expiry})`,
        [name, holder, token, ttlMs * 1_000],
      );
  if (taken.affectedRows === 0) return null;
  return { name, holder, token, ...(isForgery && { forgedBy: found.holder }) };
}

/** Extends the lease; returns false if another process has taken it meanwhile: then the holder must stop at once. */
export async function renewLease(session: Session, lease: Lease, ttlMs: number): Promise<boolean> {
  const renewed = await session.run(
    `UPDATE leases SET expires_at = ${expiry} WHERE name = ? AND token = ? AND holder = ?`,
    [ttlMs * 1_000, lease.name, lease.token, lease.holder],
  );
  return renewed.affectedRows === 1;
}

/** Returns the present holder; null if the lease is free or forged. */
export async function readLeaseHolder(session: Session, name: string): Promise<string | null> {
  const [row] = await session.rows<{ holder: string }>(
    `SELECT holder FROM leases WHERE name = ? AND ${isInForce} AND NOT ${isForeign}`,
    [name],
  );
  return row?.holder ?? null;
}

/**
 * Returns the holder of the capture lease if it does not capture; null if the lease is free or its holder captures: a holder writes the
 * token of its lease into the checkpoint before it reads.
 */
export async function findIdleHolder(session: Session): Promise<string | null> {
  const [row] = await session.rows<{ holder: string }>(
    `SELECT holder FROM leases WHERE name = 'capture' AND ${isInForce}
       AND token <> (SELECT fence FROM checkpoint WHERE id = 1)`,
  );
  return row?.holder ?? null;
}

/** Releases the lease, so that a standby need not wait until it expires. Writes nothing if it is lost or released already. */
export async function releaseLease(session: Session, lease: Lease): Promise<void> {
  await session.run(releaseStatement(lease));
}

/** The same, for a transaction that writes other rows too. */
export function releaseStatement({ name, token, holder }: Lease): string {
  return (
    'UPDATE leases SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND' +
    ` WHERE name = ${literal(name)} AND token = ${literal(token)} AND holder = ${literal(holder)} AND expires_at >= UTC_TIMESTAMP(3)`
  );
}
