import type { TransactionStart } from '../gtid/read-gtid.ts';
import type { LogPlace } from '../types.ts';

/** The group of the log that is being read: a transaction, or between two of them one that has not begun. */
export interface Group {
  /** GTID or place; empty between two transactions. */
  id: string;
  gtid: string | null;
  /** Where it begins. */
  startedAt: LogPlace;
  isStandalone: boolean;
  isOpen: boolean;
  /** Its loss is accepted: nothing of it is read. */
  isWaived: boolean;
  /** It began with XA START: whether it commits now or is only prepared is seen when it ends. */
  isXa: boolean;
}

/** A group that begins with a GTID event; without a GTID its offset names it. */
export function beginGroup(start: TransactionStart, startedAt: LogPlace, offset: number): Group {
  return {
    id: start.gtid ?? `${startedAt.file}:${offset}`,
    gtid: start.gtid,
    startedAt,
    isStandalone: start.standalone,
    isOpen: start.opens,
    isWaived: false,
    isXa: false,
  };
}

/** Behind a group. */
export function endGroup({ startedAt, isStandalone }: Pick<Group, 'startedAt' | 'isStandalone'>): Group {
  return { id: '', gtid: null, startedAt, isStandalone, isOpen: false, isWaived: false, isXa: false };
}
