import { formatMariadbGtid, parseMariadbGtids, type MariadbGtid } from '../gtid/gtid.ts';
import { globalVariable, gtidAt, gtidAtStart, startOfFile } from '../source/log-file.ts';
import type { Position } from '../types.ts';
import { findStartBehindStop } from './clean-stop.ts';
import { findRetiredDomains } from './retired-domains.ts';
import {
  broken,
  foreign,
  purgedBroken,
  transactions,
  type BrokenLineage,
  type Lineage,
  type Proof,
} from './verdict.ts';

/** Proves by GTIDs that a MariaDB server's log continues from the checkpoint. */
export async function proveMariadbGtid(proof: Proof, gtid: string): Promise<Lineage> {
  const read = parseMariadbGtids(gtid);
  const state = parseMariadbGtids(await globalVariable(proof.source, 'gtid_binlog_state'));
  const last = new Map(state.map(({ domain, server, sequence }) => [`${domain}-${server}`, sequence]));
  const lastOf = ({ domain, server }: MariadbGtid): bigint => last.get(`${domain}-${server}`) ?? -1n;
  const isKnown = (each: MariadbGtid): boolean => each.sequence <= lastOf(each);
  if (!proof.sameServer) {
    if (read.every((each) => lastOf(each) === -1n))
      return foreign(
        proof.identity,
        proof.checkpoint,
        'Its log holds no transaction of the servers that were read.',
      );
    const ahead = read.filter((each) => !isKnown(each));
    return ahead.length > 0
      ? aheadOf(proof, ahead, lastOf)
      : ((await findPurged(proof, read)) ?? { kind: 'ok' });
  }
  const retired = await findRetiredDomains(proof.source, proof.files, proof.checkpoint.position);
  const kept = read.filter(({ domain }) => !retired.has(domain));
  const ahead = kept.filter((each) => !isKnown(each));
  // Out-of-order numbers lower a domain's last number; a log whose domains were all retired looks like a log that was reset.
  const isDoubtful = ahead.length > 0 || (kept.length === 0 && read.length > 0);
  if (isDoubtful && !(await isRead(proof, read)))
    return aheadOf(proof, ahead.length > 0 ? ahead : read, lastOf);
  const purged = await findPurged(proof, read);
  if (purged && !(await findStartBehindStop(proof))) return purged;
  if (retired.size > 0) return { ...(await readByFile(proof, kept)), retired: true };
  if (ahead.length > 0 || purged) return readByFile(proof, kept);
  return (await isDropped(proof, read)) ? readByFile(proof, read) : { kind: 'ok' };
}

/** Whether the log at the checkpoint's place is the log that was read: its GTIDs there are those of the position. */
async function isRead(proof: Proof, read: readonly MariadbGtid[]): Promise<boolean> {
  const { position } = proof.checkpoint;
  const there = parseMariadbGtids((hasFile(proof) && (await gtidAt(proof.source, position))) || '');
  const shown = new Set(there.map(formatMariadbGtid));
  return read.every((each) => shown.has(formatMariadbGtid(each)));
}

/** Whether the checkpoint's file begins with a domain missing from the position: the domain was retired, and left the position. */
async function isDropped(proof: Proof, read: readonly MariadbGtid[]): Promise<boolean> {
  if (!hasFile(proof)) return false;
  const named = new Set(read.map(({ domain }) => domain));
  const begun = parseMariadbGtids(await gtidAtStart(proof.source, proof.checkpoint.position.file));
  return begun.some(({ domain }) => !named.has(domain));
}

/**
 * Requests the log by file and offset, which are valid on this server. By GTIDs, MariaDB refuses a position that lacks a retired domain
 * while the file that the dump must start in still lists it; and if a position names a retired domain, MariaDB ends its dump as soon as
 * the domain is used again (10.11 and 11.8).
 */
async function readByFile(
  { source, identity, checkpoint, files }: Proof,
  kept: MariadbGtid[],
): Promise<{ kind: 'ok'; from: Position }> {
  const { position } = checkpoint;
  const gtid = kept.map(formatMariadbGtid).join(',');
  if (files.some(({ name }) => name === position.file)) return { kind: 'ok', from: { ...position, gtid } };
  // A file begun after the checkpoint's file is entirely unread.
  return { kind: 'ok', from: { ...(await startOfFile(source, identity, files[0]!.name)), gtid } };
}

function aheadOf(
  proof: Proof,
  ahead: readonly MariadbGtid[],
  lastOf: (gtid: MariadbGtid) => bigint,
): BrokenLineage {
  return broken(proof, 'ahead-of-source', {
    message:
      `The source's log does not reach ${ahead.map(formatMariadbGtid).join(',')}, up to which it was read. ` +
      'It lost the end of its log, its log was reset, it was restored from a backup, or a failover left transactions behind.',
    missing: ahead
      .map((each) => {
        const { domain, server, sequence } = each;
        const known = lastOf(each);
        return `${domain}-${server}-${known < 0n ? 1n : known + 1n} to ${domain}-${server}-${sequence}`;
      })
      .join(', '),
  });
}

/** Returns the break if transactions that the oldest file presupposes were not read; null if all were. */
async function findPurged(proof: Proof, read: readonly MariadbGtid[]): Promise<BrokenLineage | null> {
  const oldest = proof.files[0];
  // While the file being read exists, nothing after it is purged, whatever domains the oldest file lists.
  if (!oldest || hasFile(proof)) return null;
  const reached = new Map(read.map(({ domain, sequence }) => [domain, sequence]));
  const gaps = parseMariadbGtids(await gtidAtStart(proof.source, oldest.name))
    .filter(({ domain, sequence }) => sequence > (reached.get(domain) ?? 0n))
    .map(({ domain, server, sequence }) => {
      const from = (reached.get(domain) ?? 0n) + 1n;
      return { text: `${domain}-*-${from} to ${domain}-${server}-${sequence}`, count: sequence - from + 1n };
    });
  if (gaps.length === 0) return null;
  const missing = gaps.map(({ text }) => text).join(', ');
  const count = gaps.reduce((sum, gap) => sum + gap.count, 0n);
  return purgedBroken(proof, missing, `${transactions(count)} that were never read: ${missing}`);
}

function hasFile({ files, sameServer, checkpoint }: Proof): boolean {
  return sameServer && files.some(({ name }) => name === checkpoint.position.file);
}
