import { hasReached } from '../position/log-place.ts';
import { parseMariadbGtids } from './gtid.ts';
import type { Flavour, Position } from '../types.ts';

/** `unclear`: on MariaDB, if another server has continued the domain and may have used lower numbers (gtid_strict_mode=0). */
export type Passage = 'passed' | 'ahead' | 'unclear';

/**
 * Compares a transaction with a position: like `containsPosition`, and for MariaDB also whether a promotion makes the answer unclear. A
 * server promoted normally continues with the next number, so a number above the position's is ahead, whichever server wrote it.
 * Rejects with an Error for a text that is not a GTID.
 */
export async function readPassage(
  position: Position,
  flavour: Flavour,
  transactionId: string,
): Promise<Passage> {
  if (await containsPosition(position, flavour, transactionId)) return 'passed';
  if (flavour === 'mysql' || position.gtid === null || isPlace.test(transactionId)) return 'ahead';
  const [transaction] = parseMariadbGtids(transactionId);
  const last = parseMariadbGtids(position.gtid).find(({ domain }) => domain === transaction?.domain);
  const isOtherServer = transaction && last && last.server !== transaction.server;
  return isOtherServer && transaction.sequence <= last.sequence ? 'unclear' : 'ahead';
}

/** `file:offset` */
const isPlace = /^(.+\.\d+):(\d+)$/;

/**
 * Whether a position is past a transaction, given as a GTID or as `file:offset` of its start. A MariaDB transaction whose server id
 * differs from the last one of its domain counts as not yet read, because numbers may be lower after a promotion; where that would do
 * harm, use `readPassage`. Rejects with an Error for a text that is not a GTID.
 */
export async function containsPosition(
  { gtid, file, offset }: Position,
  flavour: Flavour,
  transactionId: string,
): Promise<boolean> {
  const start = isPlace.exec(transactionId);
  if (start) {
    // A position with GTIDs does not cover a transaction without one: the server sends everything in the file again.
    const reached = gtid === null ? offset - 1 : 0;
    return hasReached({ file, offset: reached }, { file: start[1]!, offset: Number(start[2]) });
  }
  if (gtid === null) return false;
  // Loaded on demand: the import takes 12 ms, and most starts have no accepted gap to check.
  const { GtidSet, MariadbGtidPosition } = await import('@vlasky/zongji');
  return flavour === 'mysql'
    ? GtidSet.parse(gtid).contains(transactionId)
    : MariadbGtidPosition.parse(gtid).covers(transactionId);
}
