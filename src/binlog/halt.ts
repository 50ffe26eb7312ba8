import { AppError } from '../lib/errors.ts';
import { acceptGapCommand, steps } from './remedy.ts';
import type { Position } from './types.ts';

/** Why capture stopped. Stable words: the checkpoint, `status` and the README have them. */
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
  /** What ends the halt, see remedy.ts. */
  remedy: string;
  /** Where the transaction begins that could not be read. */
  position: Position | null;
  /** The transaction that could not be read: what an accepted gap passes over. Null when the log itself is missing. */
  transactionId: string | null;
  /** `schema.table`, where one is concerned. */
  table: string | null;
  /** What the log lacks: a set of GTIDs, or file and offset from and to. Null when it is a transaction, or cannot be told. */
  missing: string | null;
  /** When that was committed, ms since 1970 UTC, as closely as it is known; null ends are open. */
  span: TimeSpan;
}

export interface TimeSpan {
  fromMs: number | null;
  untilMs: number | null;
}

/** Reading on would lose, invent or misread a change. Thrown before the transaction's checkpoint. */
export class HaltError extends AppError {
  readonly halt: Halt;

  constructor(halt: Halt, cause?: unknown) {
    super('ERR_HALTED', halt.message, { remedy: halt.remedy, cause });
    this.halt = halt;
  }
}

/** A fault in the bytes or the schema, found where the position is not known; the assembler adds it. */
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

/** Of bytes that another reading does not make readable. */
const undecodableRemedy = steps(
  'Report it, with the versions of odontology-webhooks and of the server.',
  'Then give up the transaction:',
  acceptGapCommand('undecodable event'),
);

/** The CaptureFault for an event that contradicts the format of the log. */
export function undecodable(message: string): CaptureFault {
  return new CaptureFault('undecodable', message, { remedy: undecodableRemedy });
}

/** Of an error that reading the bytes threw. Its own text may hold some of them, and is not repeated. */
function toCaptureFault(error: unknown): CaptureFault {
  if (error instanceof CaptureFault) return error;
  const kind = error instanceof Error ? error.name : 'fault';
  return new CaptureFault('undecodable', `an event of the log could not be read (${kind})`, {
    remedy: undecodableRemedy,
  });
}

/** The halt of a tripwire, at the position before the transaction (or the log) that it concerns. */
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
 * The halt for what went wrong in the bytes of a transaction, or of an event that stands alone; without an id for neither. The position is
 * the one before it. Nothing of the row or the statement goes into the message.
 */
export function haltedAt(
  error: unknown,
  position: Position,
  { id, committedAtMs }: { id: string; committedAtMs: number },
): HaltError {
  if (error instanceof HaltError) {
    // Found in the group that an XA COMMIT had read again: it is the commit whose loss can be accepted.
    const span = { fromMs: committedAtMs, untilMs: committedAtMs };
    return new HaltError({ ...error.halt, position, transactionId: id, span }, error);
  }
  const tripwire = toCaptureFault(error);
  const halt = haltOf(tripwire, position, id === '' ? undefined : { id, committedAtMs });
  return new HaltError(halt, tripwire === error ? undefined : error);
}
