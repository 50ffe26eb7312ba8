import { AppError } from '../lib/errors.ts';
import type { Position } from './types.ts';

/** Why capture stopped rather than went on. Stable words: they stand in the checkpoint, in metrics and in the README. */
export type HaltReason =
  | 'partial-json'
  | 'statement-format'
  | 'truncate'
  | 'absent-columns'
  | 'metadata-missing'
  | 'column-changed'
  | 'unsupported-type'
  | 'unknown-event'
  | 'incident'
  | 'xa-transaction'
  | 'undecodable'
  | 'foreign-server'
  | 'diverged'
  | 'purged'
  | 'ahead-of-source';

export interface Halt {
  reason: HaltReason;
  message: string;
  /** The statement or the command that mends it, ready to paste. */
  remedy: string;
  /** Where the transaction begins that could not be read. */
  position: Position | null;
  /** The transaction that could not be read: what an accepted gap passes over. Null when the log itself is missing. */
  transactionId: string | null;
  /** `schema.table`, where one is concerned. */
  table: string | null;
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
export class Tripwire extends Error {
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
