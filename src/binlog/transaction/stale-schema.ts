import { AppError } from '../../lib/errors.ts';
import { HaltError } from '../halt.ts';
import type { Baseline, ShownColumn } from '../types.ts';

/**
 * A transaction has columns that the rules name and that this reader was not opened for, since the live schema has them not, or not
 * any more: another reader must read on, from before it.
 */
export class StaleSchemaError extends Error {
  /** What the log shows beyond what was known of it. */
  readonly shown: Baseline;

  constructor(table: string, columns: Readonly<Record<string, ShownColumn>>) {
    super(`the log shows more of ${table} than the reader was opened for`);
    this.shown = { [table]: columns };
  }
}

/**
 * A file of the log lacks a domain that was read before it: the domain was retired, and may be used again under the same numbers.
 * Another reader must prove that and give the transactions behind it other ids.
 */
export class RetiredDomainError extends Error {
  readonly file: string;

  constructor(file: string) {
    super(`the list of GTIDs of ${file} lacks a domain that was read before`);
    this.file = file;
  }
}

/** Whether another reader can read what this one could not. A broken connection is no fault of the log either. */
export function isForNextReader(error: unknown): boolean {
  if (error instanceof StaleSchemaError || error instanceof RetiredDomainError) return true;
  return error instanceof AppError && !(error instanceof HaltError);
}

/** Two accounts of what the log has shown: of a column that both have, the first one's, with the type from the second where it lacks one. */
export function mergeBaselines(first: Baseline, second: Baseline): Baseline {
  const merged = { ...second };
  for (const [table, columns] of Object.entries(first)) {
    const others = second[table] ?? {};
    const known = Object.entries(columns).map(([name, column]) => [name, mergeColumn(column, others[name])]);
    merged[table] = { ...others, ...(Object.fromEntries(known) as typeof columns) };
  }
  return merged;
}

function mergeColumn(first: ShownColumn, second: ShownColumn | undefined): ShownColumn {
  return first.type === undefined && second?.kind === first.kind ? { ...second, ...first } : first;
}
