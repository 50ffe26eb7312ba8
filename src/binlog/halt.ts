import { AppError } from '../lib/errors.ts';
import { acceptGapCommand, steps } from './remedy.ts';
import type { Position } from './types.ts';

/** Why capture stopped. These codes are stable: the checkpoint, `status` and the README contain them. */
export type HaltReason =
  | 'partial-json'
  | 'statement-format'
  | 'truncate'
  | 'absent-columns'
  | 'metadata-missing'
  | 'column-changed'
  | 'unsupported-type'
  | 'unknown-event'
  | 'unknown-statement'
  | 'incident'
  | 'xa-transaction'
  | 'undecodable'
  | 'event-too-large'
  | 'foreign-server'
  | 'diverged'
  | 'purged'
  | 'ahead-of-source'
  | 'decoder-difference'
  | 'checkpoint-edited';

export interface Halt {
  reason: HaltReason;
  message: string;
  /** How to end the halt, see remedy.ts. */
  remedy: string;
  /** The start of the transaction that could not be read. */
  position: Position | null;
  /** The unreadable transaction, which an accepted gap skips. Null when the log itself is missing. */
  transactionId: string | null;
  /** `schema.table`; null if the halt concerns no table. */
  table: string | null;
  /** The missing part of the log: a GTID set, or file and offset from and to. Null if a transaction is unreadable, or if unknown. */
  missing: string | null;
  /** When the missing part was committed, ms since 1970 UTC, as precisely as known; a null bound is open. */
  span: TimeSpan;
}

export interface TimeSpan {
  fromMs: number | null;
  untilMs: number | null;
}

/** Continuing would lose, invent or misread a change. Thrown before the transaction's checkpoint. */
export class HaltError extends AppError {
  readonly halt: Halt;

  constructor(halt: Halt, cause?: unknown) {
    super('ERR_HALTED', halt.message, { remedy: halt.remedy, cause });
    this.halt = halt;
  }
}

/** A fault in the bytes or the schema, found where the position is unknown; the assembler adds the position. */
export class CaptureFault extends Error {
  readonly reason: HaltReason;
  readonly remedy: string;
  readonly table: string | null;

  constructor(reason: HaltReason, message: string, options: { remedy: string; table?: string }) {
    super(message);
    this.reason = reason;
    this.remedy = options.remedy;
    this.table = options.table ?? null;
  }
}

/** For bytes that remain unreadable however often they are read. */
const undecodableRemedy = steps(
  'Report it, with the versions of odontology-webhooks and of the server.',
  'Then give up the transaction:',
  acceptGapCommand('undecodable event'),
);

/** The CaptureFault for an event that contradicts the format of the log. */
export function undecodable(message: string): CaptureFault {
  return new CaptureFault('undecodable', message, { remedy: undecodableRemedy });
}

/** Converts an error thrown while reading the bytes. The error's text may contain some of them, so it is not repeated. */
function toCaptureFault(error: unknown): CaptureFault {
  if (error instanceof CaptureFault) return error;
  const kind = error instanceof Error ? error.name : 'fault';
  return new CaptureFault('undecodable', `an event of the log could not be read (${kind})`, {
    remedy: undecodableRemedy,
  });
}

/** Builds the halt for a fault, at the position before the transaction (or the part of the log) that it concerns. */
export function haltOf(
  { reason, message, remedy, table }: CaptureFault,
  position: Position,
  transaction?: { id: string; committedAtMs: number | null },
): Halt {
  const { gtid, file, offset } = position;
  const at = transaction && `before the transaction at ${gtid === null ? '' : `GTID ${transaction.id}, `}`;
  const committedAtMs = transaction?.committedAtMs ?? null;
  return {
    reason,
    message: `Capture stopped ${at ?? ''}after ${file}:${offset}: ${message}.`,
    remedy,
    position,
    transactionId: transaction?.id ?? null,
    table,
    missing: null,
    span: { fromMs: committedAtMs, untilMs: committedAtMs },
  };
}

/**
 * Builds the halt for an error in the bytes of a transaction or of a standalone event; without an id for neither. The position is the
 * one before it. The message contains nothing from the row or the statement.
 */
export function haltedAt(
  error: unknown,
  position: Position,
  { id, committedAtMs }: { id: string; committedAtMs: number },
): HaltError {
  if (error instanceof HaltError) {
    // Found in the group that an XA COMMIT caused to be reread: an operator can accept the loss of the commit.
    const span = { fromMs: committedAtMs, untilMs: committedAtMs };
    return new HaltError({ ...error.halt, position, transactionId: id, span }, error);
  }
  const tripwire = toCaptureFault(error);
  const halt = haltOf(tripwire, position, id === '' ? undefined : { id, committedAtMs });
  return new HaltError(halt, tripwire === error ? undefined : error);
}
