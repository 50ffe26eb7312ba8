import type { Halt } from '../binlog/halt.ts';
import type { LogPlace } from '../binlog/types.ts';
import { AppError, messageOf } from '../lib/errors.ts';

/*
 *   standby ──lease──▶ connecting ──lineage proved──▶ capturing ──cut──▶ connecting
 *      ▲                   │                             │
 *      └───lease lost──────┴──────── HaltError ──────────┴──▶ halted ──resumed, or the cause gone──▶ connecting
 */
export type CaptureRole = 'standby' | 'connecting' | 'capturing' | 'halted';

export interface CaptureStatus {
  role: CaptureRole;
  /** Set until reading continues past it, also during retries. */
  halt: Halt | null;
  /** Why the last reader ended; null while a reader is open. */
  lastError: string | null;
  /** The remedy. */
  lastRemedy: string | null;
  /** Failed tries since the checkpoint last moved. */
  failures: number;
  /** Milliseconds since the last packet from the source; null while no reader is open. */
  silentMs: number | null;
  /** The position up to which the log is read and its changes are in the outbox; null while no reader is open. */
  doneTo: LogPlace | null;
  /** Readers opened so far. */
  readers: number;
  /** The process that holds the lease but has not captured for some time; otherwise null. */
  blockedBy: string | null;
}

/** The part of the status that the loop knows; the rest comes from the reader. */
export type LoopStatus = Readonly<Omit<CaptureStatus, 'silentMs' | 'doneTo'>>;

/** Events of the loop. */
export type CaptureEvent =
  /** Another process has the lease. */
  | { kind: 'standby' }
  /** It does not capture (`by`), or it does (null). */
  | { kind: 'blocked'; by: string | null }
  /** This process has the lease, and no reader. */
  | { kind: 'connecting' }
  /** A reader was opened. */
  | { kind: 'capturing' }
  /** The checkpoint was moved. */
  | { kind: 'moved' }
  | { kind: 'halted'; halt: Halt }
  /** The gap was accepted, or the cause is gone. */
  | { kind: 'resumed' }
  /** A try ended with an error that is no halt. */
  | { kind: 'failed'; error: unknown };

export const firstStatus: LoopStatus = {
  role: 'connecting',
  halt: null,
  lastError: null,
  lastRemedy: null,
  failures: 0,
  readers: 0,
  blockedBy: null,
};

/** Returns the status after an event. */
export function nextStatus(status: LoopStatus, event: CaptureEvent): LoopStatus {
  switch (event.kind) {
    case 'standby':
      return { ...status, role: 'standby' };
    case 'blocked':
      return { ...status, blockedBy: event.by };
    case 'connecting':
      return { ...status, role: 'connecting', blockedBy: null };
    case 'capturing':
      return { ...status, role: 'capturing', lastError: null, lastRemedy: null, readers: status.readers + 1 };
    case 'moved':
      return { ...status, halt: null, failures: 0 };
    case 'halted':
      return { ...status, role: 'halted', halt: event.halt };
    case 'resumed':
      return { ...status, halt: null };
    case 'failed':
      return {
        ...status,
        ...failureOf(event.error),
        // A standby that cannot query the lease would not notice that it is free.
        role: status.role === 'halted' ? 'halted' : 'connecting',
        failures: status.failures + 1,
      };
  }
}

function failureOf(error: unknown): Pick<CaptureStatus, 'lastError' | 'lastRemedy'> {
  return { lastError: messageOf(error), lastRemedy: error instanceof AppError ? error.remedy : null };
}
