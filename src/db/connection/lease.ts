import type { Session, Store } from './client.ts';
import { literal } from './sql-text.ts';

/** A role that one process at a time has, such as `capture`. */
export interface Lease {
  name: string;
  holder: string;
  /** Fencing token: grows with each acquisition. Work done under an older one must be refused. */
  token: number;
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

/** Takes the lease when it is free, expired, or held by this very holder; null when another has it. */
export async function acquireLease(
  store: Store,
  { name, holder, ttlMs }: LeaseRequest,
): Promise<Lease | null> {
  return store.transaction(async (tx) => {
    const taken = await tx.run(
      `UPDATE leases SET holder = ?, token = token + 1, expires_at = ${expiry}
       WHERE name = ? AND (expires_at < UTC_TIMESTAMP(3) OR holder = ?)`,
      [holder, ttlMs * 1_000, name, holder],
    );
    if (taken.affectedRows === 0) {
      const first = await tx.run(
        `INSERT IGNORE INTO leases (name, holder, token, expires_at) VALUES (?, ?, 1, ${expiry})`,
        [name, holder, ttlMs * 1_000],
      );
      return first.affectedRows === 0 ? null : { name, holder, token: 1 };
    }
    const [row] = await tx.rows<{ token: number }>('SELECT token FROM leases WHERE name = ?', [name]);
    return { name, holder, token: row!.token };
  });
}

/** Extends it; false when it has passed to another in the meantime: then the holder must stop at once. */
export async function renewLease(session: Session, lease: Lease, ttlMs: number): Promise<boolean> {
  const renewed = await session.run(`UPDATE leases SET expires_at = ${expiry} WHERE name = ? AND token = ?`, [
    ttlMs * 1_000,
    lease.name,
    lease.token,
  ]);
  return renewed.affectedRows === 1;
}

/** Who has it now; null when it is free. */
export async function readLeaseHolder(session: Session, name: string): Promise<string | null> {
  const [row] = await session.rows<{ holder: string }>(
    'SELECT holder FROM leases WHERE name = ? AND expires_at >= UTC_TIMESTAMP(3)',
    [name],
  );
  return row?.holder ?? null;
}

/** Gives it back, so that a standby need not wait for its end. Writes nothing when it is lost or given back already. */
export async function releaseLease(session: Session, lease: Lease): Promise<void> {
  await session.run(releaseStatement(lease));
}

/** The same, for a transaction that writes more. */
export function releaseStatement({ name, token }: Lease): string {
  return (
    'UPDATE leases SET expires_at = UTC_TIMESTAMP(3) - INTERVAL 1 SECOND' +
    ` WHERE name = ${literal(name)} AND token = ${literal(token)} AND expires_at >= UTC_TIMESTAMP(3)`
  );
}
