import type { TransactionStart } from '../gtid/read-gtid.ts';
import type { LogPlace } from '../types.ts';

/** The current group of the log: a transaction, or between two transactions a group that has not begun. */
export interface Group {
  /** GTID or place; empty between two transactions. */
  id: string;
  gtid: string | null;
  /** Where it begins. */
  startedAt: LogPlace;
  isStandalone: boolean;
  isOpen: boolean;
  /** Its loss is accepted: none of it is read. */
  isWaived: boolean;
  /** It began with XA START: its end shows whether it commits or is only prepared. */
  isXa: boolean;
}

/** Creates the group that begins with a GTID event; without a GTID its offset identifies it. */
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

/** Creates the state after a group. */
export function endGroup({ startedAt, isStandalone }: Pick<Group, 'startedAt' | 'isStandalone'>): Group {
  return { id: '', gtid: null, startedAt, isStandalone, isOpen: false, isWaived: false, isXa: false };
}
