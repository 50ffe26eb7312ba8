import { EditedRowError } from '../../db/proof/stored-json.ts';
import { SubjectKeyError } from '../../outbox/payload/subject-key-error.ts';
import type { SealedLog } from '../seal/entry.ts';

export type FlawKind =
  | 'edited'
  | 'deleted'
  | 'inserted'
  | 'reordered'
  | 'truncated'
  /** The chain was signed by another key, or not at all; or a row was not written by this program. */
  | 'forged'
  /** It is not the log whose head or key was given. */
  | 'rewritten'
  /** No act on record explains it. */
  | 'unexplained';

/** The first flaw that was found. */
export interface Flaw {
  kind: FlawKind;
  /** Names the entry or the seal and the fields, never their content. */
  message: string;
  /** Null if the flaw is not in one seal. */
  seal: number | null;
  log: SealedLog | null;
  entryId: number | null;
  delivery: number | null;
  /** Columns that were changed, or that contradict the sealed data. */
  fields: readonly string[];
}

export interface Place extends Partial<Pick<Flaw, 'seal' | 'log' | 'entryId' | 'delivery' | 'fields'>> {
  message: string;
}

class FlawError extends Error {
  readonly flaw: Flaw;

  constructor(kind: FlawKind, { message, seal, log, entryId, delivery, fields }: Place) {
    super(message);
    this.flaw = {
      ...{ kind, message, seal: seal ?? null, log: log ?? null, entryId: entryId ?? null },
      ...{ delivery: delivery ?? null, fields: fields ?? [] },
    };
  }
}

/** Converts an error to a flaw; undefined for an error that says nothing about the log. */
export function toFlaw(error: unknown): Flaw | undefined {
  if (error instanceof FlawError) return error.flaw;
  if (error instanceof SubjectKeyError)
    return new FlawError('edited', { message: error.message, fields: [error.column] }).flaw;
  if (!(error instanceof EditedRowError)) return undefined;
  const { message, table, column, row } = error;
  const seal = table === 'seals' ? row : null;
  return new FlawError('edited', { message, seal, fields: [column] }).flaw;
}

export function fail(kind: FlawKind, place: Place): never {
  throw new FlawError(kind, place);
}

const nouns: Readonly<Record<SealedLog, string>> = {
  attempts: 'attempt',
  audit_log: 'act',
  event_log: 'event',
  delivery_log: 'delivery',
};

export function nameOf(log: SealedLog, entryId: number): string {
  return `${nouns[log]} ${entryId}`;
}

export function whenOf({ number, sealedAt }: { number: number; sealedAt: string }): string {
  return `sealed ${sealedAt} in seal ${number}`;
}
