import type { Session, Store } from './client.ts';
import { literal } from './sql-text.ts';

/** A role that one process at a time has, such as `capture`. */
export interface Lease {
  name: string;
  holder: string;
  /** Fencing token: grows with each acquisition. Work done under an older one must be refused. */
  token: number;
  /** The holder that the row named before: no process of this program, or with an expiry that none sets. */
  forgedBy?: string;
}

export interface LeaseRequest {
  name: string;
  /** This process, by a name that no other one has, not even its own next life. */
  holder: string;
  ttlMs: number;
}

/**
 * A holder renews every `renewMs`; others try every `pollMs`. A killed holder is succeeded within ttl + poll = 7 s,
 * one that ends cleanly at once.
 */
export const leaseTiming = { ttlMs: 6_000, renewMs: 2_000, pollMs: 1_000 } as const;

/** All times are the store's own clock: the processes' clocks need not agree. */
const expiry = 'UTC_TIMESTAMP(3) + INTERVAL ? MICROSECOND';

/**
 * SQL of a row that was written by a live process. A process never sets an expiry farther away than `ttlMs`; twice that allows for nodes
 * of a cluster whose clocks differ. A row that expires later was written by something else, and counts as expired: else one UPDATE to
 * the year 2099 would end capture for good.
 */
const latestOf = (ttlMs: number): string => `UTC_TIMESTAMP(3) + INTERVAL ${2 * ttlMs * 1_000} MICROSECOND`;
const inForceFor = (ttlMs: number): string => `(expires_at BETWEEN UTC_TIMESTAMP(3) AND ${latestOf(ttlMs)})`;
export const isInForce = inForceFor(leaseTiming.ttlMs);
/** SQL of a row that no process of this program wrote. */
export const isForged = `(expires_at > ${latestOf(leaseTiming.ttlMs)})`;
/**
 * SQL of a lease whose holder is no process of this program: each has a row under its own name from its start to its end
 * (outbox/queue/heartbeat.ts).
 */
const isForeign = '(holder NOT IN (SELECT own.name FROM leases own))';

interface Found {
  holder: string;
  token: number;
  inForce: number;
  forged: number;
}

/** Takes the lease when it is free, expired, forged, or held by this very holder; null when another process has it. */
export async function acquireLease(
  store: Store,
  { name, holder, ttlMs }: LeaseRequest,
): Promise<Lease | null> {
  const inForce = inForceFor(ttlMs);
  // Only a process that has a row of its own expects one of the others: one that ends has removed it.
  const [found] = await store.rows<Found>(
    `SELECT holder, token, ${inForce} AS inForce, (expires_at > ${latestOf(ttlMs)}
       OR (${inForce} AND ${isForeign} AND ? IN (SELECT own.name FROM leases own))) AS forged
     FROM leases WHERE name = ?`,
    [holder, name],
  );
  const isForgery = found?.forged === 1;
  if (found?.inForce === 1 && found.holder !== holder && !isForgery) return null;
  // Above both, because SQL may have deleted the row or lowered its token: then every append would fail.
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

/** Extends it; false when it has passed to another in the meantime: then the holder must stop at once. */
export async function renewLease(session: Session, lease: Lease, ttlMs: number): Promise<boolean> {
  const renewed = await session.run(
    `UPDATE leases SET expires_at = ${expiry} WHERE name = ? AND token = ? AND holder = ?`,
    [ttlMs * 1_000, lease.name, lease.token, lease.holder],
  );
  return renewed.affectedRows === 1;
}

/** Who has it now; null when it is free or forged. */
export async function readLeaseHolder(session: Session, name: string): Promise<string | null> {
  const [row] = await session.rows<{ holder: string }>(
    `SELECT holder FROM leases WHERE name = ? AND ${isInForce} AND NOT ${isForeign}`,
    [name],
  );
  return row?.holder ?? null;
}

/**
 * Who has the lease to capture and does not capture; null where it is free or its holder captures: that one writes the token of its lease
 * into the checkpoint before it reads.
 */
export async function findIdleHolder(session: Session): Promise<string | null> {
  const [row] = await session.rows<{ holder: string }>(
    `SELECT holder FROM leases WHERE name = 'capture' AND ${isInForce}
       AND token <> (SELECT fence FROM checkpoint WHERE id = 1)`,
  );
  return row?.holder ?? null;
}

/** Gives it back, so that a standby need not wait for its end. Writes nothing when it is lost or given back already. */
export async function releaseLease(session: Session, lease: Lease): Promise<void> {
  await session.run(releaseStatement(lease));
}

/** The same, for a transaction that writes more. */
export function releaseStatement({ name, token, holder }: Lease): string {
  return (
    'UPDATE leases SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND' +
    ` WHERE name = ${literal(name)} AND token = ${literal(token)} AND holder = ${literal(holder)} AND expires_at >= UTC_TIMESTAMP(3)`
  );
}
