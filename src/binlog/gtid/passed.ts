import { hasReached } from '../position/log-place.ts';
import type { Flavour, Position } from '../types.ts';

/**
 * Whether a position lies behind a transaction: a GTID, or `file:offset` of its start. A MariaDB transaction of another server id
 * than the last of its domain counts as still to come: numbers may be lower after a promotion. Rejects with an Error for a text
 * that is no GTID.
 */
export async function hasPassed(
  { gtid, file, offset }: Position,
  flavour: Flavour,
  transactionId: string,
): Promise<boolean> {
  const start = /^(.+\.\d+):(\d+)$/.exec(transactionId);
  if (start) {
    // A position with GTIDs says nothing of a transaction without one: the server sends again all that the file has.
    const reached = gtid === null ? offset - 1 : 0;
    return hasReached({ file, offset: reached }, { file: start[1]!, offset: Number(start[2]) });
  }
  if (gtid === null) return false;
  // Loaded when it is needed: 12 ms, and most starts have no accepted gap to look at.
  const { GtidSet, MariadbGtidPosition } = await import('@vlasky/zongji');
  return flavour === 'mysql'
    ? GtidSet.parse(gtid).contains(transactionId)
    : MariadbGtidPosition.parse(gtid).covers(transactionId);
}
