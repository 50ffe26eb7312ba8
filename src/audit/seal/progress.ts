import { createHash } from 'node:crypto';
import { canonical } from '../../db/proof/marks.ts';

/** How far a log is sealed whose ids appear in commit order. */
export interface OrderedProgress {
  /** The highest id that was read. */
  to: number;
}

/** How far a log is sealed whose ids are assigned before the commit. */
export interface LogProgress extends OrderedProgress {
  /** Ranges of ids up to `to` in which rows may still appear, with the time since when that is known, ms of the store's clock. */
  open: readonly OpenRange[];
}

export interface OpenRange {
  from: number;
  to: number;
  sinceMs: number;
  /** The seal that found it; absent in ranges of version f84be48. */
  seal?: number;
}

/** How far all logs are sealed: a part of each seal, signed with it. */
export interface Progress {
  attempts: LogProgress;
  audit_log: LogProgress;
  event_log: OrderedProgress;
  delivery_log: OrderedProgress;
  /** How far version f84be48 had sealed, with leaves of version 1, and the last delivery that it created. */
  old: { attempts: number; audit_log: number; delivery_log: number };
  /** The last rows without a mark: version f84be48 made none. */
  unmarked: { attempts: number; audit_log: number };
}

export const gappedLogs = ['audit_log', 'attempts'] as const;
export type GappedLog = (typeof gappedLogs)[number];

export const nothingSealed: Progress = {
  attempts: { to: 0, open: [] },
  audit_log: { to: 0, open: [] },
  event_log: { to: 0 },
  delivery_log: { to: 0 },
  old: { attempts: 0, audit_log: 0, delivery_log: 0 },
  unmarked: { attempts: 0, audit_log: 0 },
};

/** The hash of the progress in a seal and in a head. */
export function progressHash(progress: Progress): string {
  return createHash('sha256')
    .update(JSON.stringify(canonical(progress)))
    .digest('hex');
}
