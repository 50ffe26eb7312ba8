import type { Session } from '../../db/connection/client.ts';
import { aliveHolders } from '../queue/heartbeat.ts';

/*
 * Daemons on one store may have different configuration files. Each daemon records in `webhook_claims` which webhooks its file defines, and with which
 * definition. Its claims count while it is alive (queue/heartbeat.ts).
 *
 * A definition is used, unless another running daemon uses a different one for the same name: then it is refused until that daemon has ended
 * or has the same. A webhook is deactivated when no file of a running daemon names it any more, and none that has just ended
 * (ended-claims.ts): it may be restarting.
 */

/** One webhook of the file of one running daemon. */
export interface Claim {
  owner: string;
  name: string;
  /** What `digestOf` returns for the definition. */
  digest: string;
  /** The name of the webhook of another daemon because of which this definition is not used; null while it is used. */
  refusedFor: string | null;
}

/** Names are compared case-insensitively. */
export const isSameName = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

const running = `owner IN (${aliveHolders})`;

/** The claims of running daemons. */
export async function readClaims(session: Session): Promise<Claim[]> {
  return session.rows<Claim>(
    `SELECT owner, name, digest, refused_for AS refusedFor FROM webhook_claims WHERE ${running} ORDER BY owner, name`,
  );
}

/** The definitions that running daemons do not use, because another daemon has a different one. */
export async function readRefused(session: Session): Promise<Claim[]> {
  return (await readClaims(session)).filter(({ refusedFor }) => refusedFor !== null);
}

/** SQL of a checksum of the result of `readRefused`. */
export const refusedVersion = `SELECT COALESCE(SUM(CRC32(CONCAT_WS('|', name, refused_for))), 0) FROM webhook_claims
  WHERE refused_for IS NOT NULL AND ${running}`;

/** Replaces the claims of this process, and removes those of ended processes. */
export async function writeClaims(tx: Session, owner: string, claims: readonly Claim[]): Promise<void> {
  const rows = await tx.rows<Claim>(
    'SELECT owner, name, digest, refused_for AS refusedFor FROM webhook_claims WHERE owner = ?',
    [owner],
  );
  const isWritten = (claim: Claim): boolean => rows.some((row) => isSameClaim(row, claim));
  await tx.run(`DELETE FROM webhook_claims WHERE owner <> ? AND NOT ${running}`, [owner]);
  for (const row of rows.filter((row) => !claims.some((claim) => isSameClaim(row, claim)))) {
    await tx.run('DELETE FROM webhook_claims WHERE owner = ? AND name = ?', [owner, row.name]);
  }
  for (const { name, digest, refusedFor } of claims.filter((claim) => !isWritten(claim))) {
    await tx.run('INSERT INTO webhook_claims (owner, name, digest, refused_for) VALUES (?, ?, ?, ?)', [
      owner,
      name,
      digest,
      refusedFor,
    ]);
  }
}

function isSameClaim(one: Claim, other: Claim): boolean {
  return one.name === other.name && one.digest === other.digest && one.refusedFor === other.refusedFor;
}

/** Whether another daemon uses a different definition for this name. */
export function isRefused(
  others: readonly Claim[],
  { name, digest }: Pick<Claim, 'name' | 'digest'>,
): boolean {
  return others.some(
    (other) => other.refusedFor === null && isSameName(other.name, name) && other.digest !== digest,
  );
}

/** Whether the file of another daemon names this webhook. */
export function isNamed(others: readonly Claim[], name: string): boolean {
  return others.some((other) => isSameName(other.name, name));
}

/** Whether the file of another daemon names this webhook, or would rename it. */
export function isNeeded(others: readonly Claim[], name: string): boolean {
  return isNamed(others, name) || others.some(({ refusedFor }) => refusedFor === name);
}

/** Webhooks that a sync left unchanged because of other daemons. */
export interface Standing {
  /** The claims of this process. */
  claims: readonly Claim[];
  /** Webhooks that are not in its file, and stay active because another file names them. */
  kept: readonly string[];
}

/** What daemons on one store claim. */
export interface ClaimsNow {
  /** Of daemons that run, this one included. */
  present: readonly Claim[];
  /** Of daemons that have just ended: they still name webhooks, and refuse none. */
  ended: readonly Claim[];
}

/** Whether a sync would now have another result, because another daemon has ended or changed its claims. */
export function isOutdated(
  { present, ended }: ClaimsNow,
  owner: string,
  { claims, kept }: Standing,
): boolean {
  const others = present.filter((claim) => claim.owner !== owner);
  const naming = [...others, ...ended];
  const own = present.filter((claim) => claim.owner === owner);
  return (
    kept.some((name) => !isNeeded(naming, name)) ||
    claims.some((claim) => {
      if (!own.some((row) => isSameClaim(row, claim))) return true;
      if (claim.refusedFor === null) return isRefused(others, claim);
      return isSameName(claim.refusedFor, claim.name)
        ? !isRefused(others, claim)
        : !isNamed(naming, claim.refusedFor);
    })
  );
}

/** A refused definition, as a problem of the webhook that it is refused for. */
export function describeRefused({ name, refusedFor }: Pick<Claim, 'name' | 'refusedFor'>): string {
  const what = isSameName(name, refusedFor!)
    ? 'the files of two running daemons define it differently'
    : `the file of one running daemon renames it to "${name}", and the file of another one does not`;
  return `${what}: the present definition stays until a daemon ends or both files are the same`;
}
