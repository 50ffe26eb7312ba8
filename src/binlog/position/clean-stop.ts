import { countGtids, parseGtidSet } from '../gtid/gtid-set.ts';
import { parseMariadbGtids, type MariadbGtid } from '../gtid/gtid.ts';
import { HaltError } from '../halt.ts';
import { readCharsets } from '../source/dictionary.ts';
import { startOfFile } from '../source/log-file.ts';
import { isBare } from '../stream/part-queue.ts';
import { openPastStream } from '../stream/read-past.ts';
import type { Position } from '../types.ts';
import type { CleanStop, Proof } from './verdict.ts';

/*
 * If the store is on the source server, the transaction that moves the checkpoint for the last time is itself in the log, always after
 * the checkpoint:
 *
 *   … all read … │checkpoint│ last transaction │ … unread …
 *
 * If the log is purged up to a file after the checkpoint, this proves that only that transaction was purged unread:
 *
 *   1. Exactly one transaction of this server lies between the checkpoint and the oldest file.
 *   2. The remaining files do not contain the last transaction.
 *   3. So the last transaction, which was logged after the checkpoint, was purged, and it is that one transaction.
 *
 * Only positions with GTIDs can prove step 1: a purged file leaves no trace of its length.
 */

/**
 * Returns where reading continues if the log was purged up to a file after the checkpoint and the only unread purged transaction is the
 * one that stopped capture; null if that is not proved. Reads the remaining log once. Needs REPLICATION SLAVE.
 */
export async function findStartBehindStop(proof: Proof): Promise<Position | null> {
  const { source, identity, files, checkpoint, sameServer } = proof;
  const [oldest] = files;
  if (!checkpoint.cleanStop || !sameServer || !oldest) return null;
  const start = await startOfFile(source, identity, oldest.name);
  const isOne =
    identity.flavour === 'mysql' ? await lacksOne(proof, start) : await lacksOneOfState(proof, oldest.name);
  return isOne && !(await holdsStop(proof, checkpoint.cleanStop, start)) ? start : null;
}

/** MySQL: whether the oldest file presupposes exactly one transaction that was not read, and this server wrote it. */
async function lacksOne({ source, identity, checkpoint }: Proof, start: Position): Promise<boolean> {
  const [row] = await source.query('SELECT GTID_SUBTRACT(?, ?) AS unread', [
    start.gtid ?? '',
    checkpoint.position.gtid ?? '',
  ]);
  const unread = String(row!['unread']).toLowerCase();
  return unread.startsWith(identity.serverUuid.toLowerCase()) && countGtids(parseGtidSet(unread)) === 1n;
}

/**
 * MariaDB: the same, by the last number of each server in each domain. The last number of a domain alone would hide a replicated
 * transaction with a lower number, which a server without gtid_strict_mode accepts.
 */
async function lacksOneOfState(
  { source, identity, checkpoint }: Proof,
  oldestFile: string,
): Promise<boolean> {
  const read = parseMariadbGtids(checkpoint.cleanStop?.state ?? '');
  const begun = await readGtidsOfFile(source, oldestFile);
  const pairOf = ({ domain, server }: MariadbGtid): string => `${domain}-${server}`;
  const before = new Map(read.map((each) => [pairOf(each), each.sequence]));
  const changed = begun.filter((each) => before.get(pairOf(each)) !== each.sequence);
  const [only] = changed;
  if (!only || changed.length > 1 || read.some((each) => !begun.some((one) => pairOf(one) === pairOf(each))))
    return false;
  const last = read
    .filter(({ domain }) => domain === only.domain)
    .reduce((most, { sequence }) => (sequence > most ? sequence : most), 0n);
  return only.server === identity.serverId && only.sequence === last + 1n;
}

/** MariaDB: the last transaction of each server in each domain before a file, from the list at its beginning. */
async function readGtidsOfFile(source: Proof['source'], file: string): Promise<MariadbGtid[]> {
  // The list follows the format description and, in an encrypted log, the start of encryption.
  const rows = await source.query('SHOW BINLOG EVENTS IN ? LIMIT 3', [file]);
  const list = rows.find((row) => row['Event_type'] === 'Gtid_list');
  return parseMariadbGtids(String(list?.['Info'] ?? '').replace(/[[\]\s]/g, ''));
}

/** Whether the log from a position may contain the transaction that stopped capture. */
async function holdsStop(
  { source, identity }: Proof,
  { schema }: CleanStop,
  position: Position,
): Promise<boolean> {
  const fold = (name: string): string => (identity.lowerCaseTableNames === 0 ? name : name.toLowerCase());
  const isOurs = (name: string): boolean => fold(name) === fold(schema);
  const charsets = await readCharsets(source, identity);
  const stream = await openPastStream({
    url: source.url,
    serverUuid: identity.serverUuid,
    flavour: identity.flavour,
    position,
    byFile: identity.flavour === 'mariadb',
    charsetOf: (collation) => charsets.get(collation),
    columnsOf: (database, table) =>
      isOurs(database) && table.toLowerCase() === 'clean_stop' ? new Set(['id']) : undefined,
    hintsOf: () => undefined,
    isWatchedSchema: isOurs,
    watchedTables: () => ['clean_stop'],
    waived: new Set(),
    baseline: {},
  });
  try {
    for (;;) {
      const parts = await stream.take();
      if (parts.length === 0) return false;
      if (!parts.every(isBare)) return true;
    }
  } catch (error) {
    // An unreadable transaction may be the one that stopped capture.
    if (error instanceof HaltError) return true;
    throw error;
  } finally {
    stream.close();
  }
}
