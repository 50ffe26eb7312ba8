import { countGtids, joinGtidSets, parseGtidSet } from './gtid-set.ts';
import { parseMariadbGtids } from './gtid.ts';
import { hasReached } from './log-place.ts';
import type { Flavour, Position } from './types.ts';

/** Whether a position lies behind a transaction: a GTID, or `file:offset` of its start. */
export function hasPassed(
  { gtid, file, offset }: Position,
  flavour: Flavour,
  transactionId: string,
): boolean {
  const start = /^(.+\.\d+):(\d+)$/.exec(transactionId);
  if (start) {
    // What has no GTID a server sends again that is asked for what follows one: all that the file has of it.
    const reached = gtid === null ? offset - 1 : 0;
    return hasReached({ file, offset: reached }, { file: start[1]!, offset: Number(start[2]) });
  }
  if (gtid === null) return false;
  if (flavour === 'mysql') {
    const read = parseGtidSet(gtid);
    return countGtids(joinGtidSets(read, parseGtidSet(transactionId))) === countGtids(read);
  }
  const [wanted] = parseMariadbGtids(transactionId);
  return parseMariadbGtids(gtid).some(
    ({ domain, sequence }) => domain === wanted?.domain && sequence >= wanted.sequence,
  );
}
