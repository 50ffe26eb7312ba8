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
 * The transaction that moves the checkpoint for the last time is itself in the log when the store is on the source server, and always
 * behind the checkpoint:
 *
 *   … all read … │checkpoint│ last transaction │ … unread …
 *
 * When the log is purged up to a file behind it, it is proved to be all that was purged unread:
 *
 *   1. Exactly one transaction of this server lies between the checkpoint and the oldest file.
 *   2. The remaining files do not hold the last transaction.
 *   3. So the last transaction, which was logged behind the checkpoint, was purged, and it is that one.
 *
 * Only positions with GTIDs can show the first: a file that was purged leaves no trace of its length.
 */

/**
 * Where reading continues when the log was purged up to a file behind the checkpoint, and all that was purged unread is the
 * transaction that stopped capture; null where that is not proved. Reads the remaining log once. Needs REPLICATION SLAVE.
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

/** MySQL: whether the oldest file presupposes one transaction more than was read, and that one is this server's. */
async function lacksOne({ source, identity, checkpoint }: Proof, start: Position): Promise<boolean> {
  const [row] = await source.query('SELECT GTID_SUBTRACT(?, ?) AS unread', [
    start.gtid ?? '',
    checkpoint.position.gtid ?? '',
  ]);
  const unread = String(row!['unread']).toLowerCase();
  return unread.startsWith(identity.serverUuid.toLowerCase()) && countGtids(parseGtidSet(unread)) === 1n;
}

/**
 * MariaDB: the same, by the last number of each server in each domain. The last number of the domain alone would hide a replicated
 * transaction with a lower number, which a server that is not strict accepts.
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

/** MariaDB: the last transaction of each server in each domain before a file, as the list at its beginning says. */
async function readGtidsOfFile(source: Proof['source'], file: string): Promise<MariadbGtid[]> {
  // The description of the format and, in an encrypted log, the beginning of the encryption come first.
  const rows = await source.query('SHOW BINLOG EVENTS IN ? LIMIT 3', [file]);
  const list = rows.find((row) => row['Event_type'] === 'Gtid_list');
  return parseMariadbGtids(String(list?.['Info'] ?? '').replace(/[[\]\s]/g, ''));
}

/** Whether the log from a position on may hold the transaction that stopped capture. */
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
    // What cannot be read may be it.
    if (error instanceof HaltError) return true;
    throw error;
  } finally {
    stream.close();
  }
}
