import { systemClock } from '../../lib/clock.ts';
import { joinGtidSets, formatGtidSet, parseGtidSet } from '../gtid/gtid-set.ts';
import { formatMariadbGtid, parseMariadbGtids } from '../gtid/gtid.ts';
import { findRetiredDomains } from './retired-domains.ts';
import { endOfSecondMs, type BrokenLineage, type Checkpoint } from './verdict.ts';
import {
  currentPosition,
  gtidAt,
  isBegunBefore,
  listLogFiles,
  oldestPosition,
  readFileCreatedAt,
  startOfFile,
} from '../source/log-file.ts';
import type { Source, SourceIdentity } from '../source/source.ts';
import type { Position } from '../types.ts';

/** Where reading can continue although the log does not continue from the checkpoint. */
export interface NextStart {
  position: Position;
  /** The log existed at this moment, ms since 1970 UTC; null when unknown. */
  atMs: number | null;
  /** One sentence: what is read from there, and what is skipped. */
  why: string;
  /** Whether this is the history that was read before; then its transactions keep their event ids. */
  sameHistory: boolean;
}

/**
 * Finds the place that loses least and repeats nothing:
 *
 *   purged                     the oldest available place, minus what was read before
 *   diverged, ahead-of-source  the first file begun after the last transaction that was read: a log loses its end only when the
 *                              server restarts, and a restart begins a file, so all in it is later than what was read
 *   foreign-server             the end: which of its changes were read before is unknown
 *
 * Undefined when the server writes no log.
 */
export async function findNextStart(
  source: Source,
  identity: SourceIdentity,
  { kind, checkpoint }: { kind: BrokenLineage['kind']; checkpoint: Checkpoint },
): Promise<NextStart | undefined> {
  switch (kind) {
    case 'purged':
      return afterPurge(source, identity, checkpoint);
    case 'diverged':
    case 'ahead-of-source':
      return firstNewFile(source, identity, checkpoint);
    case 'foreign-server':
      return endOfLog(source, identity);
  }
}

async function afterPurge(
  source: Source,
  identity: SourceIdentity,
  { position }: Checkpoint,
): Promise<NextStart | undefined> {
  const oldest = await oldestPosition(source, identity);
  if (!oldest) return undefined;
  // A retired domain starts over: its transactions in the log are unread, and may have numbers that were read.
  const retired =
    identity.flavour === 'mariadb'
      ? await findRetiredDomains(source, await listLogFiles(source), position)
      : new Set<number>();
  const gtid =
    oldest.gtid === null || position.gtid === null
      ? oldest.gtid
      : identity.flavour === 'mysql'
        ? formatGtidSet(joinGtidSets(parseGtidSet(oldest.gtid), parseGtidSet(position.gtid)))
        : laterOf(oldest.gtid, withoutDomains(position.gtid, retired));
  return {
    position: { ...oldest, gtid },
    atMs: createdAtMs(oldest),
    why: 'That is the oldest that the source still has: everything in its log that was not read yet is read.',
    sameHistory: retired.size === 0,
  };
}

function withoutDomains(gtids: string, domains: ReadonlySet<number>): string {
  return parseMariadbGtids(gtids)
    .filter(({ domain }) => !domains.has(domain))
    .map(formatMariadbGtid)
    .join(',');
}

/** For each MariaDB domain, the later of two transactions. */
function laterOf(a: string, b: string): string {
  const last = new Map(parseMariadbGtids(a).map((gtid) => [gtid.domain, gtid]));
  for (const gtid of parseMariadbGtids(b)) {
    if (gtid.sequence > (last.get(gtid.domain)?.sequence ?? -1n)) last.set(gtid.domain, gtid);
  }
  return [...last.values()].map(formatMariadbGtid).join(',');
}

async function firstNewFile(
  source: Source,
  identity: SourceIdentity,
  { committedAtMs, position: read }: Checkpoint,
): Promise<NextStart | undefined> {
  // A file's creation time has a resolution of one second.
  const since = committedAtMs === null ? (read.fileCreatedAt ?? Infinity) : Math.floor(committedAtMs / 1_000);
  let first: string | undefined;
  const files = await listLogFiles(source);
  for (let index = files.length - 1; index >= 0; index -= 1) {
    const { name, bytes } = files[index]!;
    const createdAt = await readFileCreatedAt(source, name);
    const isTheOneRead =
      name === read.file &&
      createdAt === read.fileCreatedAt &&
      !(await isBegunAgain(source, identity, { read, bytes, isLast: index === files.length - 1 }));
    if (createdAt === undefined || isTheOneRead) break;
    if (await isBegunBefore(source, { files, index }, since * 1_000)) break;
    first = name;
  }
  if (first === undefined) return endOfLog(source, identity);
  const position = await withPurged(source, identity, await startOfFile(source, identity, first));
  return {
    position,
    atMs: createdAtMs(position),
    why: 'That is the first file of its log begun after the last change that was read: everything in it is new and is read.',
    sameHistory: false,
  };
}

interface Suspect {
  read: Position;
  bytes: number;
  isLast: boolean;
}

/**
 * Whether a file with the name and creation second of the file that was read is a different one: the log was reset within that second.
 * A server that lost the end of its log begins a new file when it restarts, so the file being written cannot be the one that was read
 * if it is shorter than the part read. A different file that is long enough holds other transactions up to the offset.
 */
async function isBegunAgain(
  source: Source,
  identity: SourceIdentity,
  { read: { file, offset, gtid }, bytes, isLast }: Suspect,
): Promise<boolean> {
  if (bytes < offset) return isLast;
  if (gtid === null || identity.gtidMode !== 'on') return false;
  if (identity.flavour === 'mysql') {
    const [row] = await source.query('SELECT GTID_SUBSET(?, @@GLOBAL.gtid_executed) AS whole', [gtid]);
    return Number(row!['whole']) === 0;
  }
  const there = await gtidAt(source, { file, offset });
  return there === null || joinOf(there) !== joinOf(gtid);
}

/** A MariaDB position with its domains in order. */
function joinOf(gtids: string): string {
  return parseMariadbGtids(gtids).map(formatMariadbGtid).toSorted().join(',');
}

/**
 * MySQL refuses to send its log to a reader that lacks a purged transaction. SET GLOBAL gtid_purged, with which a restored backup
 * begins, does not change what the first file says about earlier transactions (MySQL 9.7).
 */
async function withPurged(source: Source, identity: SourceIdentity, position: Position): Promise<Position> {
  if (identity.flavour !== 'mysql' || position.gtid === null) return position;
  const [row] = await source.query('SELECT @@GLOBAL.gtid_purged AS purged');
  const purged = parseGtidSet(String(row!['purged']));
  return { ...position, gtid: formatGtidSet(joinGtidSets(parseGtidSet(position.gtid), purged)) };
}

async function endOfLog(source: Source, identity: SourceIdentity): Promise<NextStart | undefined> {
  const position = await currentPosition(source, identity);
  return (
    position && {
      position,
      atMs: systemClock.now(),
      why: 'That is the end of its log: what it logged before is not read, because it is unknown what of it was read on the other server.',
      sameHistory: false,
    }
  );
}

function createdAtMs({ fileCreatedAt }: Position): number | null {
  return fileCreatedAt === undefined ? null : endOfSecondMs(fileCreatedAt);
}
